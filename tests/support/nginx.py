"""A real nginx with the proxy configuration of this project, on loopback ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.redis import free_port

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "deploy" / "proxy" / "nginx.conf"
PATIENCE = 20.0
_WHOLE = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{proxy}
}}
"""


def find_nginx() -> str | None:
    """Its binary, where there is one."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def written(folder: Path, urls: Sequence[str], port: int) -> Path:
    """The configuration of the project for services at these addresses."""
    text = CONFIGURATION.read_text()
    servers = re.findall(r"server (replica-\d:8000)", text)
    assert len(servers) == len(urls)
    for name, url in zip(servers, urls, strict=True):
        text = text.replace(name, urlsplit(url).netloc)
    text, changed = re.subn(r"listen \d+;", f"listen 127.0.0.1:{port};", text)
    assert changed == 1
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    # As root it would give up its rights, and with them those to its own folder.
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(_WHOLE.format(folder=folder, proxy=text, user=user))
    return path


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """What ``nginx -t`` says."""
    binary = find_nginx()
    assert binary is not None
    return subprocess.run(
        [binary, "-t", "-q", "-p", str(path.parent), "-c", str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@contextmanager
def proxied(folder: Path, urls: Sequence[str]) -> Iterator[str]:
    """A proxy before these services, for the length of a block; its address."""
    binary = find_nginx()
    assert binary is not None
    port = free_port()
    path = written(folder, urls, port)
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([binary, "-p", str(folder), "-c", str(path)])
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{url}/livez").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)
