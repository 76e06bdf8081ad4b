"""A key in a cookie: for the service's own pages, and for nobody else's."""

from __future__ import annotations

from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest

from service.auth import GUESSES_AT_ONCE
from service.media.bodies import PARAMS_BYTES
from service.routers.login import LONGEST
from tests.service_http.bodies import JSON, content
from tests.support.servers import in_process

SECRET = 'odd;"key"=with,every=thing'
KEYS = (f"alice:{SECRET}", "eve+read:only-reads")
OWN = {"Origin": "http://127.0.0.1:8000"}


async def logged_in(http: httpx.AsyncClient, key: str = SECRET) -> None:
    """Log in; the client keeps the cookie as a browser does."""
    answer = await http.post("/login", json={"key": key}, headers=OWN)
    assert answer.status_code == 204 and answer.content == b""


async def test_the_cookie_is_the_browsers_secret(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        answer = await http.post("/login", json={"key": f" {SECRET}\n"})
        (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
        assert cookie["httponly"] and cookie["samesite"].lower() == "strict"
        assert cookie["path"] == "/" and not cookie["domain"]
        # Gone when the browser is closed.
        assert not cookie["max-age"] and not cookie["expires"]
        assert not cookie["secure"]
        assert SECRET not in answer.headers["set-cookie"]
        assert (await http.get("/v1/sessions")).status_code == 200


async def test_over_tls_it_never_travels_in_the_open(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        answer = await http.post("https://127.0.0.1:8000/login", json={"key": SECRET})
        (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
        assert cookie["secure"]


@pytest.mark.parametrize("key", ["wrong", "", "alice:" + SECRET])
async def test_a_key_that_is_not_known(tmp_path: Path, key: str) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        answer = await http.post("/login", json={"key": key})
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        assert answer.json()["type"] == "/problems/unauthorized"


@pytest.mark.parametrize("body", [{}, {"key": 3}, {"key": None}])
async def test_what_is_no_key(tmp_path: Path, body: object) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        assert (await http.post("/login", json=body)).status_code == 422


async def test_a_form_of_another_site_cannot_log_anybody_in(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        answer = await http.post("/login", data={"key": SECRET})
        assert answer.status_code == 415 and "set-cookie" not in answer.headers


async def test_changes_need_the_origin_of_the_service(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        await logged_in(http)
        for headers, status in (
            (OWN, 200),
            ({}, 403),
            ({"Origin": "http://127.0.0.1:9000"}, 403),
            ({"Origin": "null"}, 403),
        ):
            answer = await http.post("/v1/analyses", json=content(), headers=headers)
            assert answer.status_code == status, headers


@pytest.mark.parametrize("keys", [KEYS, ()])
async def test_no_page_of_another_site_logs_in_or_out(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    async with in_process(tmp_path, api_keys=keys) as http:
        for origin in ("http://127.0.0.1:9000", "https://elsewhere.example", "null"):
            headers = {"Origin": origin}
            answer = await http.post("/login", json={"key": SECRET}, headers=headers)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers
            assert answer.json()["type"] == "/problems/forbidden"
            answer = await http.delete("/login", headers=headers)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers
        for headers in (OWN, {}):
            answer = await http.post("/login", json={"key": SECRET}, headers=headers)
            assert answer.status_code == 204
            answer = await http.delete("/login", headers=headers)
            assert answer.status_code == 204


async def test_nobody_is_heard_out_before_a_key_is_known(tmp_path: Path) -> None:
    # Read with the settings it has by default, each would be "no JSON".
    async with in_process(
        tmp_path, api_keys=KEYS, allowed_hosts=("127.0.0.1",)
    ) as http:
        long = {"content": b"x" * (LONGEST + 1), "headers": JSON}
        answer = await http.post("/login", **long)
        assert answer.status_code == 413 and answer.json()["limit"] == LONGEST
        answer = await http.post("http://elsewhere:8000/login", **long)
        assert answer.json()["type"] == "/problems/unknown-host"


@pytest.mark.parametrize("where", ["login", "header"])
async def test_guesses_are_slowed_down_and_good_keys_are_not(
    tmp_path: Path, where: str
) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        statuses = set()
        for number in range(GUESSES_AT_ONCE + 50):
            guess = f"guess-{number}"
            answer = (
                await http.post("/login", json={"key": guess})
                if where == "login"
                else await http.get("/v1/sessions", headers={"X-API-Key": guess})
            )
            statuses.add(answer.status_code)
            if answer.status_code == 429:
                break
        assert statuses == {401, 429}
        assert int(answer.headers["retry-after"]) >= 1
        assert (await http.get("/v1/sessions")).status_code == 401
        await logged_in(http)
        assert (await http.get("/v1/sessions")).status_code == 200


async def test_a_patch_has_a_limit_of_its_own(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        made = await http.post(
            "/v1/sessions", json={"state_dim": 1, "measurement_dim": 1}
        )
        answer = await http.patch(
            made.headers["location"],
            content=b"x" * (PARAMS_BYTES + 1),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code == 413 and answer.json()["limit"] == PARAMS_BYTES


async def test_scopes_hold_for_cookies_too(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        await logged_in(http, "only-reads")
        assert (await http.get("/v1/sessions")).status_code == 200
        answer = await http.post("/v1/analyses", json=content(), headers=OWN)
        assert answer.status_code == 403


async def test_a_header_counts_before_a_cookie(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        await logged_in(http)
        headers = {"X-API-Key": "wrong"}
        assert (await http.get("/v1/sessions", headers=headers)).status_code == 401


@pytest.mark.parametrize("value", ["%%%", "A", "w7w", "____", "ccdm"])
async def test_a_cookie_that_is_nothing(tmp_path: Path, value: str) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        headers = {"Cookie": f"ccdm_key_8000={value}"}
        assert (await http.get("/v1/sessions", headers=headers)).status_code == 401


async def test_services_on_other_ports_have_cookies_of_their_own(
    tmp_path: Path,
) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        await logged_in(http)
        assert list(http.cookies) == ["ccdm_key_8000"]
        other = await http.get("http://127.0.0.1:9000/v1/sessions")
        assert other.status_code == 401


async def test_logging_out(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        await logged_in(http)
        assert (await http.delete("/login", headers=OWN)).status_code == 204
        assert (await http.get("/v1/sessions")).status_code == 401


async def test_without_keys_there_is_nothing_to_remember(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        answer = await http.post("/login", json={"key": "anything"})
        assert answer.status_code == 204 and "set-cookie" not in answer.headers
