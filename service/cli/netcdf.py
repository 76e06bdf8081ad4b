"""NetCDF files, by xarray: an extra, imported when such a file is met.

Members are the first dimension of states and of simulated measurements. Whatever
dimensions follow, a grid say, are one after the other the variables of the analysis,
and come back as they were, with their coordinates.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.version import __version__
from service.cli.output import FAILED, USAGE, CommandError, unlike

if TYPE_CHECKING:
    import xarray

Array = npt.NDArray[np.float64]
SUFFIX = ".nc"
WRITER = "write it with xarray: dataset.to_netcdf(file)"
# What xarray and those it reads by raise for files that are damaged, as was found by
# changing bytes of good ones.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_TOO_LARGE = "it does not fit the memory that is free; give fewer members or variables"
_ELSEWHERE = (
    "lies in another file, or is a link; put the values into this file, with xarray: "
    "dataset.load().to_netcdf(file)"
)
STATES, OBSERVATION, SAMPLES = "forecast_states", "observation", "analysis_samples"


def read_netcdf(file: Path, name: str, *, alone: bool) -> Array:
    """An array of a NetCDF file: ``(N, size)``, and ``(size,)`` for the observation.

    Args:
        file: to read.
        name: of the variable.
        alone: whether the file's only variable will do, whatever its name.
    """
    with _opened(file) as held:
        found = _variable(held, file, name, alone)
        _check_memory(file, str(found.name), found.size, found.dtype.itemsize)
        values = found.values
    if values.dtype.kind not in "fiu":
        raise CommandError(f"{file}: holds {values.dtype}, wanted real numbers", USAGE)
    flat = values.astype(np.float64)
    if name == OBSERVATION:
        return flat.reshape(-1)
    if flat.ndim == 0:
        raise CommandError(f"{file}: {name} is one number, wanted members", USAGE)
    return flat.reshape(len(flat), -1)


def write_netcdf(
    file: Path,
    samples: Array,
    diagnostics: Mapping[str, Any],
    like: Path,
    names: list[str] | None = None,
) -> None:
    """Samples on the dimensions and coordinates of the forecast states.

    Args:
        file: to write.
        samples: ``(n_samples, dx)``.
        diagnostics: kept as JSON among the attributes.
        like: the file that the states came from, of any kind.
        names: of the state variables, where that file has some in a header.
    """
    xarray = _xarray()
    dims: tuple[Any, ...] = ("member", "state")
    sizes: tuple[int, ...] = samples.shape[1:]
    coordinates: dict[Any, Any] = {"state": names} if names else {}
    attributes: dict[Any, Any] = {}
    if like.suffix == SUFFIX:
        with _opened(like) as held:
            states = _variable(held, like, STATES, alone=True)
            for name, values in states.coords.items():
                _check_memory(like, str(name), values.size, values.dtype.itemsize)
            states = states.load()
        member, *others = states.dims
        dims, sizes = (member, *others), states.shape[1:] or (1,)
        dims = dims if others else (member, "state")
        attributes = dict(states.attrs)
        # What belongs to members is not known of samples: they may be more or fewer.
        coordinates = {
            name: values
            for name, values in states.coords.items()
            if member not in values.dims
        }
    array = xarray.DataArray(
        samples.reshape(len(samples), *sizes),
        dims=dims,
        coords=coordinates,
        name=SAMPLES,
        attrs=attributes,
    )
    dataset = array.to_dataset()
    dataset.attrs = {
        "source": f"ccdm {__version__}",
        "diagnostics": json.dumps(dict(diagnostics)),
    }
    try:
        dataset.to_netcdf(file, engine="h5netcdf")
    except OSError:
        raise
    except DAMAGE as error:
        raise CommandError(
            f"the coordinates or attributes of {like} cannot be written to NetCDF; "
            "write the samples to .npy or .npz",
        ) from error


@contextmanager
def _opened(file: Path) -> Iterator[xarray.Dataset]:
    """The file while it is read; whatever is wrong with it becomes one error."""
    found = _xarray()
    try:
        _check_head(file)
        with warnings.catch_warnings():
            # Of HDF5 files without names of dimensions, which do as well.
            warnings.filterwarnings("ignore", ".*phony_dims")
            # h5netcdf reads what is written today, SciPy the classic format.
            opened = found.open_dataset(file)
        with opened:
            yield opened
    except FileNotFoundError as error:
        raise CommandError(f"{file}: there is no such file", USAGE) from error
    except MemoryError as error:
        raise CommandError(f"{file}: {_TOO_LARGE}", USAGE) from error
    except DAMAGE as error:
        raise CommandError(unlike(file, WRITER), USAGE) from error


def _check_head(file: Path) -> None:
    """Refuse values that lie in other files, and places that no memory holds."""
    try:
        with file.open("rb"):
            pass
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", USAGE) from error
    h5py = import_module("h5py")
    if not h5py.is_hdf5(file):
        return
    with h5py.File(file, "r") as opened:
        for name in opened:
            if not isinstance(opened.get(name, getlink=True), h5py.HardLink):
                raise CommandError(f"{file}: {name} {_ELSEWHERE}", USAGE)
            held = opened[name]
            if not isinstance(held, h5py.Dataset):
                continue
            if held.is_virtual or held.external:
                raise CommandError(f"{file}: {name} {_ELSEWHERE}", USAGE)
            # xarray reads these as it opens the file, asked or not.
            if held.ndim == 1:
                _check_memory(file, name, held.size, held.dtype.itemsize)


def _check_memory(file: Path, name: str, count: int, itemsize: int) -> None:
    """Hold an array, and its copy as float64, against the memory that is free."""
    needed, free = count * (itemsize + 8), _free_bytes()
    if needed > free:
        raise CommandError(
            f"{file}: {name} takes {needed} bytes to read, of which {free} are free; "
            "give fewer members or variables",
            USAGE,
        )


def _free_bytes() -> float:
    """Memory that may be had without swapping, where the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        return int(found[0]) * 1024
    except (OSError, LookupError, ValueError):
        return math.inf


def _variable(
    held: xarray.Dataset, file: Path, name: str, alone: bool
) -> xarray.DataArray:
    names = [str(found) for found in held.data_vars]
    if alone and len(names) == 1:
        name = names[0]
    if name not in names:
        listed = ", ".join(names) or "nothing"
        raise CommandError(
            f"{file}: there is no {name} in it; it holds {listed}", USAGE
        )
    return held[name]


def _xarray() -> Any:
    try:
        import xarray

        # The writer and what it writes by, which xarray misses only when it writes.
        import_module("h5netcdf")
        import_module("h5py")
    except ImportError as error:
        raise CommandError(
            "NetCDF needs the extra netcdf: pip install '.[netcdf]' in this project's "
            "folder",
            FAILED,
        ) from error
    return xarray
