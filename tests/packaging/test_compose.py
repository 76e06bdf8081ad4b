"""docker-compose.yml: valid, and as careful as the README says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator, ValidationError

from service.settings import Settings, check_names
from tests.support.servers import PATIENCE, started_worker

ROOT = Path(__file__).resolve().parents[2]
Compose = dict[str, Any]


@pytest.fixture
def compose() -> Compose:
    loaded: Compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def validate(compose: Compose) -> None:
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
    Draft201909Validator(schema).validate(compose)


def test_it_follows_the_compose_specification(compose: Compose) -> None:
    validate(compose)


def test_the_schema_refuses_a_slip(compose: Compose) -> None:
    slips = ({"read_onyl": True}, {"cap_drop": "ALL"}, {"healthcheck": ["CMD"]})
    for slip in slips:
        broken = deepcopy(compose)
        broken["services"]["ccdm"] |= slip
        with pytest.raises(ValidationError):
            validate(broken)


SCALE = (*("proxy", "replica-1", "replica-2", "jobs", "scheduler", "dask-1", "dask-2"),)


@pytest.mark.parametrize("name", ["ccdm", "redis", *SCALE])
def test_every_service_is_confined_and_watched(compose: Compose, name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged") and service.get("user") != "root"
    assert service["healthcheck"]["test"][0] == "CMD"


def test_redis_keeps_what_it_acknowledged(compose: Compose) -> None:
    redis = compose["services"]["redis"]
    said = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert said["--appendonly"] == "yes"
    assert "everysec" in said["--appendfsync"]
    assert said["--maxmemory-policy"] == "noeviction"
    assert any(volume.endswith(":/data") for volume in redis["volumes"])
    # Nobody reaches it but the service.
    assert "ports" not in redis
    assert compose["networks"]["store"]["internal"] is True
    assert redis["networks"] == ["store"]


def test_the_service_waits_for_redis_and_publishes_on_loopback(
    compose: Compose,
) -> None:
    service = compose["services"]["ccdm"]
    assert service["depends_on"]["redis"]["condition"] == "service_healthy"
    assert "-127.0.0.1:8000}" in service["ports"][0]


def test_a_port_of_the_environment_does_not_move_the_service(compose: Compose) -> None:
    service = compose["services"]["ccdm"]
    port = service["environment"]["CCDM_PORT"]
    assert service["ports"][0].endswith(f":{port}")
    assert f":{port}/readyz" in service["healthcheck"]["test"][-1]


def test_the_service_starts_with_the_example_environment() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    check_names(dict(line.split("=", 1) for line in lines if line[:1].isalpha()))


def test_the_example_environment_names_every_variable() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = {part.split(":-")[0] for part in text.split("${")[1:]}
    example = (ROOT / ".env.example").read_text().splitlines()
    named = {line.partition("=")[0] for line in example if "=" in line[:40]}
    assert used == {name for name in named if not name.startswith("#")}


@pytest.mark.parametrize("proxy", ["nginx.conf", "proxy/nginx.conf"])
def test_the_proxy_waits_longer_than_the_service(proxy: str) -> None:
    """So that it is the service that refuses, with a reason."""
    text = (ROOT / "deploy" / proxy).read_text()

    def seconds(name: str) -> list[float]:
        return [float(x) for x in re.findall(rf"\b{name}\s+([\d.]+)s;", text)]

    field = Settings.model_fields
    assert min(seconds("client_body_timeout")) > field["body_seconds"].default
    assert min(seconds("client_header_timeout")) >= field["head_seconds"].default
    assert min(seconds("send_timeout")) > field["stall_seconds"].default
    assert max(seconds("proxy_read_timeout")) > field["deadline_seconds"].default
    assert min(seconds("proxy_read_timeout")) > 2 * field["heartbeat_seconds"].default
    # The proxy lets go of an idle connection before the service does.
    assert max(seconds("keepalive_timeout")) < field["keep_alive_seconds"].default
    body = int(re.findall(r"client_max_body_size\s+(\d+)m;", text)[0])
    assert body * 2**20 > field["max_body_bytes"].default
    heads = re.findall(r"large_client_header_buffers (\d+) (\d+)k;", text)[0]
    assert int(heads[0]) * int(heads[1]) * 1024 >= field["max_head_bytes"].default


def test_containers_get_more_time_than_the_service_takes_to_stop(
    compose: Compose,
) -> None:
    grace = float(compose["services"]["ccdm"]["stop_grace_period"].rstrip("s"))
    field = Settings.model_fields
    takes = field["drain_seconds"].default + field["shutdown_seconds"].default
    assert grace > takes + 5


def test_a_worker_that_does_not_look_at_the_queue_is_not_well(
    compose: Compose, tmp_path: Path
) -> None:
    jobs = compose["services"]["jobs"]
    file = jobs["command"][jobs["command"].index("--alive") + 1]
    probe = jobs["healthcheck"]["test"][-1].replace(file, str(tmp_path / "alive"))

    def well() -> bool:
        run = [sys.executable, "-c", probe]
        return subprocess.run(run, stderr=subprocess.DEVNULL).returncode == 0

    assert not well()
    with ExitStack() as stack:
        store = {"STORE_URL": f"sqlite:///{tmp_path}/store.sqlite"}
        options = "--alive", str(tmp_path / "alive")
        started_worker(stack, tmp_path, store, *options)
        end = time.monotonic() + PATIENCE
        while not well():
            assert time.monotonic() < end
            time.sleep(0.2)
    before = time.time() - 60
    os.utime(tmp_path / "alive", (before, before))
    assert not well()


def test_the_profile_has_two_services_that_share_everything(compose: Compose) -> None:
    services = compose["services"]
    assert all(services[name]["profiles"] == ["scale"] for name in SCALE)
    assert set(services) == {"ccdm", "redis", *SCALE}
    first, second = services["replica-1"], services["replica-2"]
    for shared in ("environment", "volumes", "image", "networks"):
        assert first[shared] == second[shared] == services["replica-1"][shared]
    assert first["environment"] == services["jobs"]["environment"]
    check_names(first["environment"])
    settings = Settings(
        **{
            name.removeprefix("CCDM_").lower(): value
            for name, value in first["environment"].items()
            if name.startswith("CCDM_") and "$" not in value
        }
    )
    assert settings.job_workers == 0
    # What the build copies is not left out of what it is given.
    lock = first["build"]["args"]["REQUIREMENTS"]
    assert (ROOT / lock).exists()
    assert f"!{lock}" in (ROOT / ".dockerignore").read_text().splitlines()
    proxy = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text()
    port = first["environment"]["CCDM_PORT"]
    for name in ("replica-1", "replica-2"):
        assert f"server {name}:{port} " in proxy
    published = services["proxy"]["ports"][0].rpartition(":")[2]
    assert f"listen {published};" in proxy


def test_the_cluster_is_where_the_service_looks_for_it(compose: Compose) -> None:
    services = compose["services"]
    address = services["replica-1"]["environment"]["CCDM_COMPUTE"]
    name, _, port = address.removeprefix("dask://").partition(":")
    assert port in services[name]["command"]
    for worker in ("dask-1", "dask-2"):
        assert f"tcp://{name}:{port}" in services[worker]["command"]
        # Scheduler and workers run whatever they are sent: nobody else reaches them.
        assert services[worker]["networks"] == services[name]["networks"] == ["cluster"]
        assert "ports" not in services[worker] and "ports" not in services[name]
    assert compose["networks"]["cluster"]["internal"] is True
