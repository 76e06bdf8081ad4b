"""The dashboard's files: what is sent, with which headers, and from where."""

from __future__ import annotations

import re
from pathlib import Path

from service.dashboard import STATIC
from tests.support.servers import in_process

FILES = sorted(path.name for path in STATIC.iterdir())
TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
PAGE = (STATIC / "index.html").read_text()


def policy(header: str) -> dict[str, str]:
    """A content security policy as its directives."""
    parts = (part.strip().partition(" ") for part in header.split(";"))
    return {name: value for name, _, value in parts}


async def test_the_page_allows_nothing_but_its_own_files(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        answer = await http.get("/dashboard")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = policy(answer.headers["content-security-policy"])
    assert found["default-src"] == "'none'"
    for name in ("script-src", "style-src", "img-src", "connect-src"):
        assert found[name] == "'self'"
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert found[name] == "'none'"
    assert found["require-trusted-types-for"] == "'script'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_every_file_is_sent_as_what_it_is(tmp_path: Path) -> None:
    every = {"Accept-Encoding": "gzip, br, zstd"}
    async with in_process(tmp_path) as http:
        for name in FILES:
            path = f"/dashboard/static/{name}"
            answer = await http.get(path, headers=every)
            assert answer.status_code == 200
            assert answer.content == (STATIC / name).read_bytes()
            assert "content-encoding" not in answer.headers
            kind = TYPES.get(name.rpartition(".")[2], "text/html")
            assert answer.headers["content-type"].partition(";")[0] == kind
            # Asked again each time, and not sent again unless changed.
            assert answer.headers["cache-control"] == "no-cache"
            known = {"If-None-Match": answer.headers["etag"]}
            again = await http.get(path, headers=known)
            assert again.status_code == 304 and not again.content
            assert "'none'" in again.headers["content-security-policy"]


async def test_nothing_else_is_sent(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        for path in ("nothing.js", "../__init__.py", "%2e%2e/__init__.py", ""):
            answer = await http.get(f"/dashboard/static/{path}")
            assert answer.status_code == 404
            assert answer.json()["type"] == "/problems/not-found"


async def test_pages_ask_for_no_key_and_show_nothing_without(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=("secret",)) as http:
        assert (await http.get("/dashboard")).status_code == 200
        assert (await http.get("/v1/sessions")).status_code == 401


async def test_the_dashboard_is_no_part_of_the_interface(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if "dashboard" in path or "login" in path]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", PAGE)
    names = re.findall(r'(?:src|href)="(?!#|docs")([^"]+)"', PAGE)
    assert names and all((STATIC / Path(name).name).is_file() for name in names)
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, path.name


def test_no_string_becomes_markup_or_code() -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\("
    for path in STATIC.glob("*.js"):
        assert not re.search(ways, path.read_text()), path.name


def test_modules_import_what_is_there_and_stay_readable() -> None:
    used = {"app.js"}
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert len(text.splitlines()) < 400, path.name
        for name in re.findall(r'from "\./([\w.]+)"', text):
            assert (STATIC / name).is_file(), f"{path.name}: {name}"
            used.add(name)
    assert used == {path.name for path in STATIC.glob("*.js")}
