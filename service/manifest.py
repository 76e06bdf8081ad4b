"""What an analysis was made of and by, so that it can be made again.

Digests are SHA-256 over the bytes of an array as little-endian doubles in C order, so
``hashlib.sha256(np.ascontiguousarray(x, "<f8")).hexdigest()`` gives them anywhere.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.version import __version__
from service.stores.codec import pack_document

Array = npt.NDArray[np.float64]

FORMAT = 1
INPUTS = ("forecast_states", "simulated_measurements", "observation")
# Longer lists among the options (coordinates, say) are told by their digest.
_LONGEST_LIST = 64


def manifest_of(
    arrays: tuple[Array, Array, Array],
    options: Mapping[str, Any],
    seed: int,
    samples: Array,
) -> dict[str, Any]:
    """The manifest of one analysis, as JSON values, one or two kilobytes.

    Args:
        arrays: ``(N, dx)``, ``(N, dy)`` and ``(dy,)``, as they came.
        options: as resolved, every one of them.
        seed: as used.
        samples: the result, ``(n_samples, dx)``.
    """
    return {
        "format": FORMAT,
        "inputs": {
            name: described(array) for name, array in zip(INPUTS, arrays, strict=True)
        },
        "options": {name: shortened(value) for name, value in options.items()},
        "seed": seed,
        "samples": described(samples),
        **surroundings(),
    }


def described(array: Array) -> dict[str, Any]:
    """Shape and digest of an array."""
    plain = np.ascontiguousarray(array, dtype="<f8")
    content = plain.data.cast("B") if plain.size else b""
    return {
        "shape": list(array.shape),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@cache
def surroundings() -> dict[str, Any]:
    """Versions, machine and engine of this process."""
    versions = {"ccdm": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "versions": versions,
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "blas": _blas(),
        },
        "engine": engine_fingerprint(),
    }


@cache
def engine_fingerprint() -> str:
    """SHA-256 over the names and contents of the engine's source files."""
    found = hashlib.sha256()
    for name, content in sorted(_sources(files("ccdm_engine"), "")):
        found.update(f"{name}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def _sources(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _sources(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".py"):
            found.append((prefix + item.name, item.read_bytes()))
    return found


def _blas() -> list[str]:
    """The libraries that multiply, with the kernels chosen for this processor.

    Other kernels add in another order, and the last bits differ.
    """
    import threadpoolctl  # type: ignore[import-untyped]

    pools = [
        pool for pool in threadpoolctl.threadpool_info() if "blas" in pool.values()
    ]
    told = (
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}"
        for pool in pools
    )
    return sorted({text.strip() for text in told})


def shortened(value: Any) -> Any:
    """A value as manifests have it: long lists by their digest."""
    if isinstance(value, Mapping):
        return {name: shortened(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        numbers = np.asarray(value, dtype=object).size
        if numbers > _LONGEST_LIST:
            content = pack_document({"value": value})
            return {"numbers": numbers, "sha256": hashlib.sha256(content).hexdigest()}
        return list(value)
    return value
