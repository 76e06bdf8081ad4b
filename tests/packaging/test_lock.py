"""The lock files: hashes for everything, addresses for nothing, nothing missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def pins(name: str) -> dict[str, str]:
    """Package and version of every pin in a lock file."""
    found = re.findall(r"(?m)^([\w.-]+)==(\S+)", (ROOT / name).read_text())
    return {canonicalize_name(package): version for package, version in found}


def test_there_are_lock_files_for_each_purpose() -> None:
    purposes = ["", "-audit", "-build", "-dask", "-demo", "-dev", "-examples", "-redis"]
    assert sorted(f"requirements{purpose}.lock" for purpose in purposes) == LOCKS


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes_and_no_line_an_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    stanzas = re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]
    assert stanzas
    for stanza in stanzas:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", stanza), stanza[:60]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-demo.lock", PROJECT["dependencies"] + EXTRAS["demo"]),
        (
            "requirements-dev.lock",
            PROJECT["dependencies"] + EXTRAS["demo"] + EXTRAS["bench"] + EXTRAS["dev"],
        ),
        (
            "requirements-dask.lock",
            PROJECT["dependencies"] + EXTRAS["dask"] + EXTRAS["netcdf"],
        ),
        (
            "requirements-examples.lock",
            PROJECT["dependencies"] + EXTRAS["examples"] + EXTRAS["netcdf"],
        ),
    ],
)
def test_the_lock_holds_what_the_project_asks_for(name: str, wanted: list[str]) -> None:
    locked = pins(name)
    for requirement in map(Requirement, wanted):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not locked: make lock"
        assert requirement.specifier.contains(version), f"{requirement}: make lock"


def test_a_package_has_one_version_in_all_of_them() -> None:
    everything = pins("requirements-dev.lock")
    for name in ("requirements.lock", "requirements-demo.lock"):
        assert pins(name).items() <= everything.items()


def test_numpy_can_be_had_for_every_supported_python() -> None:
    """A release has dozens of wheels; a lock of one platform would have one hash."""
    stanza = re.search(
        r"(?m)^numpy==.*?(?=^\S)", (ROOT / "requirements.lock").read_text(), re.DOTALL
    )
    assert stanza and stanza.group().count("--hash") > 20
