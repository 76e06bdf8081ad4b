"""Who may do what: loopback without keys, tenants, scopes, hosts and origins."""

from __future__ import annotations

import hashlib
import itertools
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from service import auth
from service.settings import Settings, check_names
from tests.service_http.bodies import JSON, STATES, content, json_bytes
from tests.support.servers import in_process

SECRET = "s3cret-of-alice"
DIGEST = hashlib.sha256(b"s3cret-of-bob").hexdigest()
KEYS = (f"alice:{SECRET}", f"bob:sha256={DIGEST}", "eve+read:only-reads", "plain")


def bearer(key: str) -> dict[str, str]:
    """The usual header."""
    return {"Authorization": f"Bearer {key}"}


async def test_a_key_is_needed_where_keys_are_set(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        refused = [
            await http.post("/v1/analyses", json=content(), headers=headers)
            for headers in ({}, bearer("wrong"), bearer(DIGEST), bearer(KEYS[0]),
                            {"Authorization": f"Basic {SECRET}"}, {"X-API-Key": ""})
        ]  # fmt: skip
        for answer in refused:
            assert answer.status_code == 401
            assert answer.json()["type"] == "/problems/unauthorized"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert SECRET not in answer.text
        for headers in (
            bearer(SECRET),
            {"X-API-Key": "s3cret-of-bob"},
            bearer("plain"),
        ):
            answer = await http.post("/v1/analyses", json=content(), headers=headers)
            assert answer.status_code == 200
        for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/problems"):
            assert (await http.get(path)).status_code == 200


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        fields = {"state_dim": 2, "measurement_dim": 1}
        alice, bob = bearer(SECRET), bearer("s3cret-of-bob")
        created = await http.post("/v1/sessions", json=fields, headers=alice)
        path = created.headers["location"]
        assert (await http.get(path, headers=alice)).status_code == 200
        foreign = await http.get(path, headers=bob)
        unknown = await http.get("/v1/sessions/" + "0" * 26, headers=bob)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["type"] == unknown.json()["type"]
        put = await http.put(
            f"{path}/cycles/1", content=json_bytes(), headers={**JSON, **bob}
        )
        assert put.status_code == 404
        assert (await http.delete(path, headers=bob)).status_code == 404
        assert (await http.get("/v1/sessions", headers=bob)).json()["sessions"] == []


async def test_scopes(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS) as http:
        eve = bearer("only-reads")
        assert (await http.get("/v1/sessions", headers=eve)).status_code == 200
        refused = await http.post("/v1/analyses", json=content(), headers=eve)
        assert refused.status_code == 403
        assert refused.json()["type"] == "/problems/forbidden"


@pytest.mark.parametrize("end", ["start", "end"])
async def test_all_of_a_digest_counts(tmp_path: Path, end: str) -> None:
    """Digests that begin, or end, alike are those of different keys."""
    place = slice(0, 2) if end == "start" else slice(-2, None)
    wanted = hashlib.sha256(SECRET.encode()).digest()[place]
    guesses = (f"guess-{number}" for number in itertools.count())
    alike = next(
        guess
        for guess in guesses
        if hashlib.sha256(guess.encode()).digest()[place] == wanted
    )
    async with in_process(tmp_path, api_keys=(f"alice:{SECRET}",)) as http:
        right = await http.get("/v1/sessions", headers=bearer(SECRET))
        wrong = await http.get("/v1/sessions", headers=bearer(alike))
    assert (right.status_code, wrong.status_code) == (200, 401)


@pytest.mark.parametrize(
    ("method", "more", "needed"),
    [
        ("GET", "", "read"),
        ("HEAD", "", "read"),
        ("GET", "/cycles", "read"),
        ("GET", "/cycles/0/analysis", "read"),
        ("PATCH", "", "write"),
        ("DELETE", "", "write"),
        ("PUT", "/cycles/1", "write"),
        ("POST", None, "write"),
    ],
)
async def test_every_verb_needs_its_scope(
    tmp_path: Path, method: str, more: str | None, needed: str
) -> None:
    keys = ("t+read:reader", "t+write:writer", "t:both")
    fields = {"state_dim": 2, "measurement_dim": 1, "initial_ensemble": STATES}
    bodies = {"PATCH": {"metadata": {"a": 1}}, "PUT": content(), "POST": fields}
    for key, scopes in (("reader", "read"), ("writer", "write"), ("both", needed)):
        folder = tmp_path / key
        folder.mkdir()
        async with in_process(folder, api_keys=keys) as http:
            both = bearer("both")
            made = await http.post("/v1/sessions", json=fields, headers=both)
            path = made.headers["location"]
            before = (await http.get("/v1/sessions", headers=both)).json()
            where = "/v1/sessions" if more is None else path + more
            answer = await http.request(
                method, where, json=bodies.get(method), headers=bearer(key)
            )
            if scopes == needed:
                assert answer.is_success, answer.text
                continue
            assert answer.status_code == 403
            after = (await http.get("/v1/sessions", headers=both)).json()
            assert after == before


@pytest.mark.parametrize(
    "entry", ["a+root:key", "a:sha256=00", "a:sha256=xy", "", "a b"]
)
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(ValueError) as caught:
        auth.parse_key(entry)
    assert "key" in str(caught.value) or "hexadecimal" in str(caught.value)


async def test_without_keys_only_loopback_is_answered(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        for address, status in (
            ("http://127.0.0.1:8000", 200),
            ("http://[::1]:8000", 200),
            ("http://localhost", 200),
            ("http://192.0.2.7:8000", 421),
            ("http://rebound.example", 421),
        ):
            answer = await http.get(f"{address}/v1/sessions")
            assert answer.status_code == status, (address, answer.text)
        # Another machine may call itself localhost; the socket knows better.
        far = await http.get(
            "http://192.0.2.7/v1/sessions", headers={"Host": "localhost"}
        )
        assert far.status_code == 401


async def test_pages_of_other_origins_cannot_use_a_service_without_keys(
    tmp_path: Path,
) -> None:
    async with in_process(tmp_path) as http:
        for origin, status in (
            ("http://127.0.0.1:8000", 200),
            ("http://127.0.0.1:8001", 403),
            ("http://127.0.0.1", 403),
            ("ftp://127.0.0.1:8000", 403),
            ("http://me@127.0.0.1:8000", 403),
            ("127.0.0.1:8000", 403),
            ("https://example.org", 403),
            ("null", 403),
            ("", 403),
        ):
            headers = {"Origin": origin}
            answer = await http.post("/v1/analyses", json=content(), headers=headers)
            assert answer.status_code == status, (origin, answer.text)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("service", "origin", "status"),
    [
        ("https://localhost", "https://localhost:443", 200),
        ("https://localhost", "http://localhost", 403),
        ("https://localhost", "http://localhost:443", 403),
        # Behind a proxy that speaks https.
        ("http://localhost", "https://localhost", 200),
    ],
)
async def test_origins_have_a_scheme_and_a_port(
    tmp_path: Path, service: str, origin: str, status: int
) -> None:
    async with in_process(tmp_path) as http:
        answer = await http.post(
            f"{service}/v1/analyses", json=content(), headers={"Origin": origin}
        )
    assert answer.status_code == status, answer.text


async def test_hosts_may_be_named(tmp_path: Path) -> None:
    async with in_process(
        tmp_path, api_keys=KEYS, allowed_hosts=("ccdm.example",)
    ) as http:
        key = bearer(SECRET)
        good = await http.get("https://CCDM.example/v1/sessions", headers=key)
        other = await http.get("https://other.example/v1/sessions", headers=key)
        assert [a.status_code for a in (good, other)] == [200, 421]


@pytest.mark.parametrize(
    "host",
    ["", "[::1", "evil.example@127.0.0.1", "127.0.0.1:8000/x", "127.0.0.1:",
     "127.0.0.1:80:80", "localhost ", "localhost, evil.example", "-", "::1", "%31"],
)  # fmt: skip
async def test_a_host_is_a_name_and_nothing_else(tmp_path: Path, host: str) -> None:
    async with in_process(tmp_path) as http:
        answer = await http.get("/v1/sessions", headers={"Host": host})
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "/problems/bad-request"


async def test_a_request_has_one_host(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        headers = [("Host", "localhost"), ("Host", "localhost")]
        answer = await http.get("/livez", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-request")


def test_a_first_key_is_made_once_and_only_where_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "keys"
    far = Settings(host="0.0.0.0", api_keys_file=path)
    assert auth.first_key(Settings(api_keys_file=path)) is None
    assert auth.first_key(Settings(host="0.0.0.0", api_keys=("a",))) is None
    assert not path.exists()
    secret = auth.first_key(far)
    assert secret is not None and len(secret) > 40
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert auth.first_key(far) is None
    (key,) = auth.Gate(far).keys
    assert key.digest == hashlib.sha256(secret.encode()).digest()
    assert key.scopes == {"read", "write"}


@pytest.mark.parametrize("text", [None, "", "\n# alice left\n"])
def test_a_file_without_keys_opens_no_service(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    for more in ({}, {"host": "0.0.0.0"}, {"api_keys": (f"alice:{SECRET}",)}):
        with pytest.raises(ValueError, match="is missing or holds no key"):
            auth.Gate(Settings(api_keys_file=path, **more))
    if text and text.strip():
        with pytest.raises(ValueError, match="holds no key"):
            auth.first_key(Settings(host="0.0.0.0", api_keys_file=path))
        assert path.read_text() == text


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCDM_API_KEYS", " a:uno , dos,")
    monkeypatch.setenv("CCDM_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("CCDM_MAX_MEMBERS", "7")
    settings = Settings()
    assert settings.api_keys == ("a:uno", "dos")
    assert settings.log_level == "debug" and settings.max_members == 7
    assert "uno" not in repr(settings)
    monkeypatch.setenv("CCDM_MAX_MEMBERS", "-1")
    with pytest.raises(ValidationError):
        Settings()


def test_short_secrets_are_for_this_machine_alone() -> None:
    for entry in ("a", "t+read:" + "x" * 15):
        auth.Gate(Settings(api_keys=(entry,)))
        with pytest.raises(ValueError, match="fewer than 16"):
            auth.Gate(Settings(host="0.0.0.0", api_keys=(entry,)))
    for entry in ("t+read:" + "x" * 16, f"sha256={DIGEST}"):
        auth.Gate(Settings(host="0.0.0.0", api_keys=(entry,)))


def test_names_that_are_no_settings_are_refused() -> None:
    check_names({"CCDM_MAX_MEMBERS": "7", "CCDM_URL": "http://x", "PATH": "/bin"})
    check_names({"ccdm_max_members": "7"})
    check_names({"CCDM_API_KEY": "a", "CCDM_API_KEYS": "a"})
    with pytest.raises(ValueError, match=r"perhaps CCDM_MAX_MEMBERS is meant"):
        check_names({"CCDM_MAX_MEMBER": "7"})
    with pytest.raises(ValueError, match=r"CCDM_XYZ is no setting of the service\.$"):
        check_names({"CCDM_XYZ": ""})
    with pytest.raises(ValueError, match="CCDM_API_KEYS"):
        check_names({"CCDM_API_KEY": "a"})
