"""A cluster that only talks to those with a certificate of its authority."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from service.compute import Compute
from service.errors import ClusterUnavailableError
from service.settings import Settings
from tests.scale.cluster import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl"),
]
pytest.importorskip("distributed")

OPTIONS = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 3.0,
    "n_samples": 9000,
}


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key."""
    file, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(file)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return file, key


async def test_a_scheduler_with_certificates(tmp_path: Path) -> None:
    file, key = certificate(tmp_path)
    options = ("--tls-ca-file", str(file), "--tls-cert", str(file))
    cluster = Cluster(tmp_path, (*options, "--tls-key", str(key)))
    states = np.random.default_rng(1).standard_normal((2000, 3))
    triple = states, states[:, :1] + 0.1, np.array([0.2])
    try:
        cluster.add_worker()
        known = {"dask_ca_file": file, "dask_cert_file": file, "dask_key_file": key}
        settings = Settings(store_url="x", compute=cluster.setting, **known)  # type: ignore[arg-type]
        found = await Compute(settings).analyse(*triple, OPTIONS, 3)
        plain = await Compute(Settings(store_url="x")).analyse(*triple, OPTIONS, 3)
        assert found.samples.tobytes() == plain.samples.tobytes()
        stranger = Settings(store_url="x", compute=f"dask://{cluster.address}")
        with pytest.raises(ClusterUnavailableError):
            await Compute(stranger).analyse(*triple, OPTIONS, 3)
    finally:
        cluster.close()
