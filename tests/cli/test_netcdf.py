"""NetCDF in and out: grids come back as grids, with their coordinates."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccdm_engine import assimilate
from service.cli.files import NAMES, check_output, read_triple, write_samples
from service.cli.netcdf import STATES
from service.cli.output import CommandError
from tests.cli.conftest import Ccdm

xarray = pytest.importorskip("xarray", reason="needs xarray: pip install '.[netcdf]'")
pytest.importorskip("h5netcdf", reason="needs h5netcdf: pip install '.[netcdf]'")

MEMBERS, ROWS, COLUMNS = 12, 2, 3


@pytest.fixture
def dataset() -> Any:
    """An ensemble on a grid, two buoys, of which one is silent."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((MEMBERS, ROWS, COLUMNS))
    buoys = states[:, 0, :2] + 0.3 * rng.standard_normal((MEMBERS, 2))
    grid = ("member", "lat", "lon")
    return xarray.Dataset(
        {
            "forecast_states": (grid, states, {"units": "K"}),
            "simulated_measurements": (("member", "buoy"), buoys),
            "observation": ("buoy", [0.4, np.nan]),
        },
        coords={"lat": [50.0, 51.0], "lon": [5.0, 6.0, 7.0], "member": range(MEMBERS)},
    )


def test_a_grid_goes_in_and_a_grid_comes_out(
    ccdm: Ccdm, tmp_path: Path, dataset: Any
) -> None:
    dataset.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    done = ccdm("assimilate", "in.nc", "-o", "out.nc", "--seed", "4")
    assert "12 x 6" in re.sub(r"\s+", " ", done.stdout)
    states = dataset["forecast_states"].values.reshape(MEMBERS, -1)
    expected = assimilate(
        states,
        dataset["simulated_measurements"].values,
        dataset["observation"].values,
        seed=4,
    ).samples
    with xarray.open_dataset(tmp_path / "out.nc") as out:
        samples = out["analysis_samples"]
        assert samples.dims == ("member", "lat", "lon")
        assert samples.attrs["units"] == "K"
        assert samples.values.reshape(MEMBERS, -1).tobytes() == expected.tobytes()
        assert out["lon"].values.tolist() == [5.0, 6.0, 7.0]
        facts = json.loads(out.attrs["diagnostics"])
    assert facts["observation_status"] == ["assimilated", "missing"]


def test_three_files_and_the_classic_format(tmp_path: Path, dataset: Any) -> None:
    files = [tmp_path / f"{name}.nc" for name in NAMES]
    for name, file in zip(NAMES, files, strict=True):
        # The format of 1990, under any name, alone in its file.
        dataset[[name]].rename({name: "anything"}).to_netcdf(file, engine="scipy")
    read = read_triple(files)
    assert read["forecast_states"].shape == (MEMBERS, ROWS * COLUMNS)
    np.testing.assert_array_equal(read["observation"], [0.4, np.nan])


def test_samples_of_other_files_have_plain_dimensions(tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    check_output(out)
    write_samples(out, np.eye(3)[:2], {"seed": 1}, tmp_path / "states.npy")
    with xarray.open_dataset(out) as held:
        assert held["analysis_samples"].dims == ("member", "state")
        np.testing.assert_array_equal(held["analysis_samples"], np.eye(3)[:2])


def test_mistakes_are_told_in_a_sentence(tmp_path: Path, dataset: Any) -> None:
    file = tmp_path / "some.nc"
    with pytest.raises(CommandError, match="there is no such file"):
        read_triple([file])
    file.write_bytes(b"no NetCDF")
    with pytest.raises(CommandError, match=r"cannot be read as \.nc: it is plain"):
        read_triple([file])
    dataset.drop_vars("observation").to_netcdf(file, engine="h5netcdf")
    with pytest.raises(CommandError, match=r"there is no observation in it; it holds"):
        read_triple([file])


def test_without_the_extra_it_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "xarray":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CommandError, match=r"pip install '\.\[netcdf\]'"):
        read_triple([tmp_path / "some.nc"])


@pytest.mark.filterwarnings("error")
def test_damaged_files_are_one_error_or_none(tmp_path: Path, dataset: Any) -> None:
    good = tmp_path / "good.nc"
    dataset.to_netcdf(good, engine="h5netcdf")
    content, refused = good.read_bytes(), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(changed.size, size=8)] = rng.integers(256, size=8)
        bad = tmp_path / f"bad{seed}.nc"
        bad.write_bytes(changed.tobytes())
        try:
            read_triple([bad])
            write_samples(tmp_path / "out.nc", np.ones((2, ROWS * COLUMNS)), {}, bad)
        except CommandError as error:
            assert str(bad) in str(error)
            refused += 1
    assert refused > 5
    left = {file.name for file in tmp_path.iterdir() if file.name.startswith(".")}
    assert not left


def hdf5(file: Path, **arrays: Any) -> Any:
    """An open file of plain HDF5, as other programs write it."""
    opened = pytest.importorskip("h5py").File(file, "w")
    for name, values in arrays.items():
        opened[name] = values
    return opened


@pytest.mark.filterwarnings("error")
def test_plain_hdf5_is_read_without_a_word(tmp_path: Path) -> None:
    file = tmp_path / "plain.nc"
    arrays = dict(zip(NAMES, ([[1.0], [2.0]], [[3.0], [4.0]], [5.0]), strict=True))
    hdf5(file, **arrays).close()
    read = read_triple([file])
    assert {name: values.tolist() for name, values in read.items()} == arrays


@pytest.mark.parametrize("shape", [(2 * 10**5, 2 * 10**5), (10**15,)])
def test_what_no_memory_holds_is_refused_by_its_head(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    file = tmp_path / "huge.nc"
    with hdf5(file, simulated_measurements=[[1.0]], observation=[1.0]) as opened:
        opened.create_dataset(STATES, shape, "f8", chunks=(1000,) * len(shape))
    with pytest.raises(CommandError, match=r"huge\.nc: forecast_states takes"):
        read_triple([file])


def test_values_of_other_files_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    file, other = tmp_path / "some.nc", tmp_path / "other.bin"
    other.write_bytes(np.ones(4).tobytes())
    hdf5(tmp_path / "other.nc", forecast_states=np.ones((2, 2))).close()
    rest = {"simulated_measurements": np.ones((2, 1)), "observation": [1.0]}
    with hdf5(file, **rest) as opened:
        opened[STATES] = h5py.ExternalLink(str(tmp_path / "other.nc"), STATES)
    with pytest.raises(CommandError, match="forecast_states lies in another file"):
        read_triple([file])
    with hdf5(file, **rest) as opened:
        opened.create_dataset(STATES, (2, 2), "f8", external=[(str(other), 0, 32)])
    with pytest.raises(CommandError, match="forecast_states lies in another file"):
        read_triple([file])


def test_what_is_read_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "all.nc"
    file.write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    check_output(tmp_path / "new.nc", [file])
    with pytest.raises(CommandError, match="would be overwritten"):
        check_output(tmp_path / "folder" / ".." / "all.nc", [file])
