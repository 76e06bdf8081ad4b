"""The only module that knows the HTTP library (httpx).

It sends a :class:`Request` once and gives back what came of it: a :class:`Reply`, or
a :class:`TransportError` as a value, because whoever decides on repeating wants both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.client.errors import (
    ConnectionFailedError,
    ReplyLostError,
    TimedOutError,
    TransportError,
    UsageError,
)
from service.client.messages import Reply, Request

Outcome = Reply | TransportError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service is and how to speak to it.

    Attributes:
        url: root of the service, without a trailing slash.
        api_key: sent as a bearer token, or ``None``.
        timeout: seconds to wait for an answer.
        connect_timeout: seconds to wait for a connection.
        connections: how many may be open at once; they are kept and used again.
    """

    url: str
    api_key: str | None
    timeout: float
    connect_timeout: float
    connections: int

    def __post_init__(self) -> None:
        """Refuse an address that is none."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"url: got {self.url!r}, wanted something like http://127.0.0.1:8000"
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))


class SyncTransport:
    """Sends requests, waiting for each."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = httpx.Client(**_settings(endpoint))

    def send(self, request: Request) -> Outcome:
        """Send once."""
        try:
            return _reply(self._http.request(**_arguments(request)))
        except httpx.HTTPError as error:
            return _translate(error, self._endpoint, request)

    def stream(self, request: Request) -> Iterator[bytes | Outcome]:
        """Send once; bytes as they come, then a refusal or how it broke, if it did."""
        try:
            with self._http.stream(**_arguments(request)) as response:
                if response.status_code != 200:
                    response.read()
                    yield _reply(response)
                    return
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            yield _translate(error, self._endpoint, request)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """Sends requests on an event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(**_settings(endpoint))

    async def send(self, request: Request) -> Outcome:
        """Send once."""
        try:
            return _reply(await self._http.request(**_arguments(request)))
        except httpx.HTTPError as error:
            return _translate(error, self._endpoint, request)

    async def stream(self, request: Request) -> AsyncIterator[bytes | Outcome]:
        """Send once; bytes as they come, then a refusal or how it broke, if it did."""
        try:
            async with self._http.stream(**_arguments(request)) as response:
                if response.status_code != 200:
                    await response.aread()
                    yield _reply(response)
                    return
                async for chunk in response.aiter_bytes():
                    yield chunk
        except httpx.HTTPError as error:
            yield _translate(error, self._endpoint, request)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _settings(endpoint: Endpoint) -> dict[str, Any]:
    headers = {"User-Agent": "ccdm-client", "Accept-Encoding": "identity"}
    if endpoint.api_key is not None:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    return {
        "base_url": endpoint.url,
        "headers": headers,
        "timeout": httpx.Timeout(endpoint.timeout, connect=endpoint.connect_timeout),
        "limits": httpx.Limits(
            max_connections=endpoint.connections,
            max_keepalive_connections=endpoint.connections,
        ),
        # A proxy from the environment cannot reach this machine's own loopback.
        "trust_env": not _is_loopback(urlsplit(endpoint.url).hostname or ""),
        "follow_redirects": False,
    }


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _arguments(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "params": dict(request.query) or None,
        "headers": dict(request.headers),
        "content": request.body or None,
    }


def _reply(response: httpx.Response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def _translate(
    error: httpx.HTTPError, endpoint: Endpoint, request: Request
) -> TransportError:
    what = f"{request.method} {endpoint.url}{request.path}"
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return ConnectionFailedError(
            f"{what}: no connection within {endpoint.connect_timeout:g} s"
        )
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return ConnectionFailedError(
            f"{what}: no connection ({reason}). Is the service running there? "
            "`ccdm serve` starts one."
        )
    if isinstance(error, httpx.TimeoutException):
        return TimedOutError(f"{what}: no answer within {endpoint.timeout:g} s")
    return ReplyLostError(f"{what}: the connection broke ({reason})")
