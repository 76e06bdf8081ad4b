"""Samples as xarray: the session's names and coordinates stay with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.client import Client
from service.client.labels import labelled
from tests.support.servers import serving

pytest.importorskip("xarray", reason="xarray is missing (extra netcdf)")


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
    array = labelled(ensemble, session.info)
    np.testing.assert_array_equal(array.sel(state="south"), ensemble[:, 2])
    np.testing.assert_array_equal(array["place_1"], [9.0, 5.0, 1.0])
    assert array.attrs["session"] == session.id
    assert set(labelled(ensemble, plain.info).coords) == set()
