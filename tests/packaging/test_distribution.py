"""The wheel holds the whole package, and the scripts around it are sound."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ccdm_engine import __version__

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted(ROOT.glob("scripts/*.sh")), ROOT / ".ci" / "run"]


def package_files() -> set[str]:
    """Every file of the two packages as they lie here."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("ccdm_engine", "service")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    # From a copy, since building leaves files beside the source.
    source = tmp_path / "source"
    for name in sorted(package_files() | {"pyproject.toml", "README.md", "LICENSE"}):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps"]
    subprocess.run(
        [*build, "--no-build-isolation", "-w", tmp_path, source],
        check=True,
        timeout=120,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"ccdm-{__version__}-py3-none-any")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "ccdm = service.cli:main" in archive.read(entry).decode()
    assert inside == package_files()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_run_and_stop_at_the_first_error(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True, timeout=10)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert script.stat().st_mode & 0o111


def test_without_any_redis_server_the_tests_do_not_go_on(tmp_path: Path) -> None:
    """No server, no package manager, no index: a reason and a failure, not a skip."""
    for tool in ("bash", "dirname", "id", "uname", "cat", "rm", "mkdir", "env", "cut"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/bin/false")
    script = tmp_path / "scripts" / "redis_server.sh"
    script.write_text((ROOT / "scripts" / "redis_server.sh").read_text())
    done = subprocess.run(
        ["/usr/bin/env", "bash", script],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "no redis-server was found" in done.stderr


def test_the_image_runs_without_root_and_starts_the_service() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last_stage = lines[max(i for i, line in enumerate(lines) if line[:5] == "FROM ") :]
    assert "ARG BASE_IMAGE=python:3.12-slim-bookworm" in lines
    assert "USER 10001:10001" in last_stage
    assert "VOLUME /data" in last_stage
    assert 'CMD ["ccdm", "serve", "--host", "0.0.0.0"]' in last_stage
    assert any(line.startswith("HEALTHCHECK ") for line in last_stage)
