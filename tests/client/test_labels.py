"""Samples as xarray: the session's names and coordinates stay with them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from service.client import Client, CycleResult, Job, Session, UsageError
from tests.client.pairs import FIXED, pairs
from tests.support.servers import serving

xarray = pytest.importorskip("xarray", reason="needs xarray: pip install '.[netcdf]'")


def test_names_and_coordinates_stay_with_the_samples(tmp_path: Path) -> None:
    ensemble = np.random.default_rng(0).standard_normal((8, 3))
    with serving(tmp_path) as server, Client(server.url) as client:
        session = client.create_session(
            state_dim=3,
            measurement_dim=1,
            initial_ensemble=ensemble,
            names={"states": ["north", "middle", "south"]},
            coordinates={"states": [[0.0, 9.0], [0.0, 5.0], [0.0, 1.0]]},
        )
        plain = client.create_session(state_dim=3, measurement_dim=1)
    array = session.labelled(ensemble)
    np.testing.assert_array_equal(array.sel(state="south"), ensemble[:, 2])
    np.testing.assert_array_equal(array["place_1"], [9.0, 5.0, 1.0])
    assert array.attrs["session"] == session.id
    assert set(plain.labelled(ensemble).coords) == set()


STATES, PLACES = ["north", "south"], [[0.0, 9.0], [0.0, 1.0]]


def named(client: Client) -> Session:
    """A session that knows what its variables are called, and where they are."""
    return client.create_session(
        state_dim=2,
        measurement_dim=2,
        options=FIXED,
        names={"states": STATES},
        coordinates={"states": PLACES},
    )


def is_labelled(array: xarray.DataArray, session: Session) -> None:
    assert list(array["state"].values) == STATES
    np.testing.assert_array_equal(array["place_1"], [9.0, 1.0])
    assert array.name == "analysis_samples" and array.attrs["session"] == session.id


def test_every_result_of_a_session_knows_its_names(client: Client) -> None:
    session = named(client)
    result = session.cycle(*pairs())
    is_labelled(result.to_xarray(), session)
    assert result.to_xarray()["cycle"] == 1
    some = session.labelled(session.analysis(members=slice(3, 6)), first=3)
    is_labelled(some, session)
    np.testing.assert_array_equal(some.sel(member=4), result.samples[4])
    states, simulated, observation = pairs(1)
    for i, (state, measurement) in enumerate(zip(states, simulated, strict=True)):
        session.put_member(i, state, measurement)
    is_labelled(session.gather(observation).to_xarray(), session)
    job = session.submit(*pairs(2))
    assert isinstance(job, Job)
    # Whoever takes the job up elsewhere has the names as well.
    for taken_up in (job, client.job(job.id)):
        done = taken_up.wait(60)
        assert isinstance(done, CycleResult)
        is_labelled(done.to_xarray(), session)


def test_an_analysis_keeps_the_names_that_were_sent(client: Client) -> None:
    states, simulated, observation = pairs()
    sent = xarray.DataArray(
        states,
        dims=("draw", "site"),
        coords={"site": STATES, "depth": ("site", [1, 2])},
    )
    result = client.analyse(sent, simulated, observation, options=FIXED, seed=1)
    job = client.submit(sent, simulated, observation, options=FIXED, seed=1)
    for array in (result.to_xarray(), job.wait(60).to_xarray()):
        assert array.dims == ("draw", "site")
        np.testing.assert_array_equal(array.sel(site="south"), result.samples[:, 1])
        np.testing.assert_array_equal(array["depth"], [1, 2])
    plain = client.analyse(states, simulated, observation, options=FIXED, seed=1)
    assert plain.samples.tobytes() == result.samples.tobytes()
    assert plain.to_xarray().dims == ("member", "state")


def test_without_xarray_it_says_what_to_install(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = client.analyse(*pairs(), options=FIXED)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[netcdf\]'"):
        result.to_xarray()
