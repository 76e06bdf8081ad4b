"""Commands that work on a store directly: opening it, and saying what went wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.cli.output import USAGE, CommandError
from service.portable import PortableError
from service.sessions import SessionError
from service.stores import Store, StoreError, StoreUnavailable, open_store
from service.stores.opening import file_of
from service.stores.places import without_password

Result = TypeVar("Result")


def with_store(
    url: str | None,
    work: Callable[[Store], Awaitable[Result]],
    *,
    create: bool = False,
) -> Result:
    """Open a store, work on it, close it.

    Args:
        url: its address; that of the settings when not given.
        work: what to do with it.
        create: whether a file that does not exist may be made.

    Raises:
        CommandError: for everything that stores, sessions and files refuse.
    """
    address = url or _configured()
    if not create:
        _check_there(address)
    try:
        return asyncio.run(_run(address, work))
    except StoreUnavailable as error:
        raise CommandError(f"{without_password(address)}: {error}") from None
    except (StoreError, SessionError, PortableError) as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(f"store: {error}", USAGE) from None


def _configured() -> str:
    # Only where it is needed: it loads the whole service.
    from service.cli.serve import read_settings

    return read_settings().store_url


async def _run(address: str, work: Callable[[Store], Awaitable[Result]]) -> Result:
    store = open_store(address)
    await store.open()
    try:
        return await work(store)
    finally:
        await store.close()


def _check_there(address: str) -> None:
    file = file_of(address)
    if file is not None and not file.exists():
        raise CommandError(
            f"there is no store at {address}, which is {file}; `ccdm serve` makes one, "
            "and --store (or CCDM_STORE_URL) names another. After sqlite: three "
            "slashes begin a path from the working folder, four one from the root"
        )


def check_tenant(tenant: str) -> str:
    """A tenant's name as keys have it.

    Raises:
        CommandError: when it cannot be one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tenant):
        raise CommandError(f"{tenant!r} is no name of a tenant", USAGE)
    return tenant
