"""Who may do what.

On loopback no key is asked for; anywhere else one is. Keys are known by their SHA-256
digests and compared in constant time. Each belongs to a tenant, and tenants do not see
each other's sessions.

Without keys, what protects a local service from web pages is that pages cannot hide
where they come from: a foreign Host or a foreign Origin is refused.

Browsers cannot add headers to server-sent events, so the pages of the service itself
present their key in a cookie. No page can read it, no other site makes the browser
send it, and what changes something needs the Origin of this service besides.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request

from service.errors import (
    BadRequestError,
    ForbiddenError,
    UnauthorizedError,
    UnknownHostError,
)
from service.rates import Rates
from service.settings import LOOPBACK_HOSTS, Settings, data_folder

READ, WRITE, ADMIN = "read", "write", "admin"
SCOPES = frozenset({READ, WRITE, ADMIN})
# Of keys that name none.
USUAL_SCOPES = frozenset({READ, WRITE})
DEFAULT_TENANT = "default"
# Secret that may be used where other machines can reach the service, in characters.
SHORTEST = 16
# Keys that are not known, from anybody, in each process.
GUESSES_PER_SECOND, GUESSES_AT_ONCE = 10, 100
_GUESSES = "unknown keys a second are looked at."
_NO_KEY = "Send an API key: Authorization: Bearer <key>, or X-API-Key: <key>."
_UNKNOWN_KEY = "This API key is not known."
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_ENTRY = re.compile(
    r"(?:(?P<tenant>[A-Za-z0-9_-]{1,64})(?P<scopes>(?:\+[a-z]+)*):)?(?P<key>\S+)"
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that is known, by its digest."""

    digest: bytes
    tenant: str
    scopes: frozenset[str]


class Gate:
    """Decides on requests, from the settings it was made with."""

    def __init__(self, settings: Settings) -> None:
        entries = _entries(settings)
        if settings.api_keys_file and not _lines(settings.api_keys_file):
            # Without keys everybody on this machine would be let in.
            raise ValueError(
                f"{settings.api_keys_file} (CCDM_API_KEYS_FILE) is missing or holds no "
                "key; write one [tenant[+scope...]:]secret to a line, or unset it"
            )
        self.keys = tuple(parse_key(entry) for entry in entries)
        if not settings.is_loopback and any(map(_is_short, entries)):
            raise ValueError(
                f"a secret has fewer than {SHORTEST} characters; beyond loopback that "
                "is too easy to guess. A good one: python3 -c "
                "'import secrets; print(secrets.token_urlsafe(32))'"
            )
        self._guesses = Rates(GUESSES_PER_SECOND, GUESSES_AT_ONCE, what=_GUESSES)
        self._any_host = "*" in settings.allowed_hosts or (
            bool(self.keys) and not settings.allowed_hosts
        )
        allowed = settings.allowed_hosts or LOOPBACK_HOSTS
        self._hosts = frozenset(name.lower() for name in allowed)

    def tenant(self, request: Request, scope: str | None = None) -> str:
        """Whose request this is.

        Args:
            request: what came.
            scope: what its key has to be for; by the method when not given.

        Raises:
            UnknownHostError, UnauthorizedError, ForbiddenError: when it is nobody's,
                or not theirs to make.
        """
        self.check_host(request.headers)
        if not self.keys:
            _check_local(request)
            return DEFAULT_TENANT
        key = self._key(_presented(request.headers) or self._from_cookie(request))
        needed = scope or (READ if request.method in _SAFE_METHODS else WRITE)
        if needed not in key.scopes:
            raise ForbiddenError(f"This key does not have the scope {needed!r}.")
        request.state.tenant = key.tenant
        return key.tenant

    def cookie(self, request: Request, secret: str) -> tuple[str, str] | None:
        """Name and value of the cookie that stands for a key from now on.

        Returns:
            ``None`` where no key is asked for.

        Raises:
            UnknownHostError, UnauthorizedError: for a key that is not known.
            TooManyRequestsError: for too many of these.
        """
        self.check_host(request.headers)
        if not self.keys:
            return None
        self._key(secret)
        value = base64.urlsafe_b64encode(secret.encode()).decode()
        return cookie_name(request), value.rstrip("=")

    def _from_cookie(self, request: Request) -> str:
        value = request.cookies.get(cookie_name(request), "")
        if value and request.method not in _SAFE_METHODS and not _same_origin(request):
            raise ForbiddenError(
                "A key in a cookie changes something only from the service's own pages."
            )
        try:
            return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
        except (binascii.Error, ValueError):
            return ""

    def check_origin(self, request: Request) -> None:
        """Refuse a page of another origin; who names none is no page.

        Raises:
            ForbiddenError: for such a page.
        """
        if "origin" in request.headers and not _same_origin(request):
            raise ForbiddenError("Only the service's own pages log in and out.")

    def check_host(self, headers: Headers) -> None:
        """Refuse a Host that this service does not answer to.

        Raises:
            BadRequestError, UnknownHostError: when it is not a host, or another one.
        """
        name = host_name(headers.get("host", ""))
        if name is None:
            raise BadRequestError("The Host header is not the name of a host.")
        if not self._any_host and name not in self._hosts:
            raise UnknownHostError(
                "The Host of this request is not one the service answers to."
            )

    def _key(self, secret: str) -> Key:
        digest = hashlib.sha256(secret.encode()).digest()
        found = None
        for key in self.keys:
            # All are compared, so that time tells nothing of which one fitted.
            if secrets.compare_digest(digest, key.digest):
                found = key
        if found is None and secret:
            # Only of keys that fit nothing: who has a good one is never locked out.
            self._guesses.take("")
        if found is None:
            raise UnauthorizedError(_UNKNOWN_KEY if secret else _NO_KEY)
        return found


def parse_key(entry: str) -> Key:
    """A key as settings have it: ``[tenant[+scope...]:]secret`` or ``...sha256=hex``.

    Raises:
        ValueError: without the key in its text.
    """
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError("an API key is not of the form [tenant[+scope...]:]secret")
    scopes = frozenset(filter(None, (match["scopes"] or "").split("+")))
    if not scopes <= SCOPES:
        raise ValueError(f"an API key has scopes other than {sorted(SCOPES)}")
    return Key(
        _digest(match["key"]), match["tenant"] or DEFAULT_TENANT, scopes or USUAL_SCOPES
    )


def _is_short(entry: str) -> bool:
    """Whether a secret could be found by trying; of a digest nobody can tell."""
    match = _ENTRY.fullmatch(entry)
    return bool(
        match
        and len(match["key"]) < SHORTEST
        and not match["key"].startswith("sha256=")
    )


def first_key(settings: Settings) -> str | None:
    """Make sure that a service beyond loopback has a key.

    Where none is set and other machines can reach the service, a key is made once; its
    digest is written to a file that later starts read, and the key itself is returned
    to be shown this one time.

    Returns:
        The new key, if one was made.
    """
    if settings.is_loopback or _entries(settings):
        return None
    path = _keys_file(settings)
    if path.exists() and path.read_text().strip():
        raise ValueError(f"{path} holds no key; write one, or remove the file")
    secret = new_key()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"# Made at first start.\n{DEFAULT_TENANT}:sha256={digest}\n")
    return secret


def new_key() -> str:
    """A key nobody could guess."""
    return "ccdm_" + secrets.token_urlsafe(32)


def _digest(key: str) -> bytes:
    if not key.startswith("sha256="):
        return hashlib.sha256(key.encode()).digest()
    digest = bytes.fromhex(key.removeprefix("sha256="))
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a digest of an API key is not 64 hexadecimal digits")
    return digest


def _entries(settings: Settings) -> list[str]:
    lines = list(settings.api_keys)
    path = _keys_file(settings)
    if settings.api_keys_file or not settings.is_loopback:
        lines += _lines(path)
    return lines


def _lines(path: Path) -> list[str]:
    """Keys in a file, one a line; comments are left out."""
    text = path.read_text() if path.exists() else ""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _keys_file(settings: Settings) -> Path:
    return settings.api_keys_file or data_folder() / "api-keys"


def _presented(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key", "").strip()


def _check_local(request: Request) -> None:
    """Without keys, only this machine, and none of the web pages it looks at."""
    server = request.scope.get("server")
    if server is not None and not _is_loopback(server[0]):
        raise UnauthorizedError(
            "The service has no API keys and therefore answers on loopback only. "
            "Set CCDM_API_KEYS to open it to other machines."
        )
    if "origin" not in request.headers or request.method in _SAFE_METHODS:
        return
    if not _same_origin(request):
        raise ForbiddenError(
            "Pages of another origin may not use a service that asks for no key."
        )


def cookie_name(request: Request) -> str:
    """The cookie of this service: a host's cookies are shared by all of its ports."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"ccdm_key_{port}" if port.isdecimal() else "ccdm_key"


def _same_origin(request: Request) -> bool:
    """Whether a page of this service sent the request, as far as the browser says.

    Scheme, host and port have to be the same. A proxy in front may speak https for a
    service that sees http; the other way round there is no excuse.
    """
    scheme, _, rest = request.headers.get("origin", "").partition("://")
    if scheme not in (request.url.scheme, "https") or scheme not in _PORTS:
        return False
    page, service = _place(rest, scheme), _place(request.headers.get("host"), scheme)
    return page is not None and page == service


def _place(netloc: str | None, scheme: str) -> tuple[str, int] | None:
    """Host and port, if that is what it is."""
    match = _HOST.fullmatch(netloc or "")
    return match and (match["name"].lower(), int(match["port"] or _PORTS[scheme]))


def host_name(netloc: str) -> str | None:
    """The name in a Host header; ``None`` when that is not one (RFC 9110, 7.2).

    No user, no path, nothing that one parser may read as one host and the next as
    another.
    """
    match = _HOST.fullmatch(netloc)
    return match["name"].strip("[]").lower() if match else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
