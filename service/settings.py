"""Every setting of the service, from the environment (``CCDM_*``) or by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.operators.registry import RegisteredModel
from service.places import checked
from service.schemas.base import ModelName
from service.stored.locations import parse
from service.stores.opening import default_store_url

MEBIBYTE = 1024 * 1024
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


PREFIX = "CCDM_"
# Variables that are not the service's: of clients, of Compose, of a script here.
OTHERS = frozenset(
    {"URL", "API_KEY", "PUBLISH", "REDIS_FSYNC", "REDIS_MAXMEMORY", "IMAGE_WORK"}
)


def data_folder() -> Path:
    """Where this user's data live when nothing else is said."""
    return user_data_path("ccdm")


class Settings(BaseSettings):
    """Settings of one service. Read when it is built, never at import."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, allow_inf_nan=False
    )

    store_url: str = Field(
        default_factory=default_store_url,
        description="Where sessions are kept: `sqlite:///file` or `redis://host/0`.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")

    max_body_bytes: int = Field(
        64 * MEBIBYTE, ge=1024, description="Longest request body."
    )
    max_held_bytes: int = Field(
        512 * MEBIBYTE,
        ge=1024,
        description="Most bytes of bodies held at once; besides, half as much of "
        "answers that wait for their readers.",
    )
    max_members: int = Field(100_000, ge=2, description="Largest ensemble, N.")
    max_samples: int = Field(100_000, ge=1, description="Most analysis samples.")
    max_state_dim: int = Field(100_000, ge=1, description="Largest state, dx.")
    max_measurement_dim: int = Field(
        20_000, ge=0, description="Largest observation, dy."
    )
    max_steps: int = Field(10_000, ge=1, description="Most denoiser evaluations.")
    max_memory_bytes: int = Field(
        2048 * MEBIBYTE,
        ge=64 * MEBIBYTE,
        description="Most memory that one analysis may take.",
    )
    max_metadata_bytes: int = Field(
        16 * 1024, ge=2, description="Longest metadata of a session."
    )
    max_session_document_bytes: int = Field(
        8 * MEBIBYTE,
        ge=1024,
        description="Most bytes of JSON that a session keeps besides its arrays: "
        "names, coordinates, options, metadata; and the parameters of one cycle. They "
        "are read and written with every cycle: three coordinates of 100 000 variables "
        "fit, those of more are better kept in files of stored analyses.",
    )

    max_running: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        description="Analyses of requests that run at the same time; the number of "
        "processors. Jobs do so beside them.",
    )
    analysis_threads: int = Field(
        1,
        ge=1,
        description="With `processes`: threads that share the parts of one large "
        "analysis. More make one alone faster, on processors that are idle.",
    )
    compute: str = Field(
        "processes",
        description="Where large analyses run: `processes`, which a deadline can kill, "
        "`threads` of the service, which stop between two parts, or the workers of a "
        "Dask scheduler, `dask://host:port` or `dask+tls://host:port`; needs the extra "
        "`dask`.",
    )
    dask_ca_file: Path | None = Field(
        None, description="With `dask+tls`: the certificate authority."
    )
    dask_cert_file: Path | None = Field(
        None, description="With `dask+tls`: the service's certificate."
    )
    dask_key_file: Path | None = Field(
        None, description="With `dask+tls`: the key of that certificate."
    )
    locations: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated `name=/folder`, or `name+write=/folder` for "
        "results: where `POST /v1/stored-analyses` may read and write files. They know "
        "no tenants: every key that may write reaches every file in them. Workers of a "
        "Dask scheduler have to see the same folders. One that is not there at the "
        "start is logged as a warning, and its requests are answered 503 until it is; "
        "`ccdm check` tells it, too.",
    )
    max_queued: int = Field(64, ge=0, description="Analyses that wait for their turn.")
    deadline_seconds: float = Field(
        300.0, gt=0, description="Longest time for an analysis, waiting included."
    )
    body_seconds: float = Field(
        60.0, gt=0, description="Longest time for a request body to arrive."
    )
    head_seconds: float = Field(
        20.0, gt=0, description="Longest time for the head of a request to arrive."
    )
    stall_seconds: float = Field(
        30.0,
        gt=0,
        description="Longest time for a client to take nothing of its answer.",
    )
    answer_seconds: float = Field(
        600.0, gt=0, description="Longest time for a client to take all of its answer."
    )
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        description="How long an idle connection is kept; longer than clients keep "
        "theirs, or they may write to one that is just being closed.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="Most connections per process; beyond it the one that has been "
        "idle longest is closed.",
    )
    max_head_bytes: int = Field(
        64 * 1024, ge=1024, description="Longest head of a request."
    )
    max_headers: int = Field(100, ge=8, description="Most headers of a request.")
    drain_seconds: float = Field(
        1.0,
        ge=0,
        description="After SIGTERM, how long new requests are still answered while "
        "`/readyz` says 503, so that proxies turn elsewhere.",
    )
    shutdown_seconds: int = Field(
        20, ge=0, description="Then, how long running requests may take to finish."
    )

    job_workers: int = Field(
        1,
        ge=0,
        description="Jobs that run at the same time in each process of the service; "
        "0 leaves them to `ccdm worker`.",
    )
    job_ttl_seconds: float = Field(
        86_400.0,
        gt=0,
        description="How long a job, its inputs and its result are kept after its "
        "last change.",
    )
    job_deadline_seconds: float = Field(
        86_400.0,
        gt=0,
        description="Longest time for a job to run, from when it is begun; a client "
        "may ask for less with `Ccdm-Timeout`.",
    )
    job_lease_seconds: float = Field(
        15.0,
        ge=1,
        description="A job whose worker gives no sign for this long is run by another.",
    )
    job_attempts: int = Field(
        3, ge=1, description="Workers that may die of a job before it has failed."
    )
    max_jobs: int = Field(
        1000, ge=0, description="Most jobs of all tenants that wait or run."
    )
    max_tenant_jobs: int = Field(
        100, ge=0, description="Most jobs of one tenant that wait or run."
    )

    session_ttl_seconds: float = Field(
        86_400.0, gt=0, description="How long an unused session is kept."
    )
    max_session_ttl_seconds: float = Field(
        30 * 86_400.0, gt=0, description="The most a client may ask for."
    )
    keep_analyses: int = Field(
        10, ge=1, description="Analyses of a session whose samples are kept."
    )
    keep_inputs: int = Field(
        1,
        ge=0,
        description="Cycles of a session whose forecasts are kept, for `ccdm replay`; "
        "each takes about as much room as an analysis.",
    )

    max_keep_analyses: int = Field(
        1000, ge=1, description="The most a client may ask for."
    )

    max_tenant_sessions: int | None = Field(
        None, ge=0, description="Most sessions that one tenant may keep."
    )
    max_tenant_bytes: int | None = Field(
        None,
        ge=0,
        description="Most bytes of sessions that one tenant may keep, and besides "
        "as many of jobs, with the arrays and results that they keep.",
    )
    requests_per_second: float | None = Field(
        None,
        gt=0,
        description="Most requests a second of one tenant, in each process; probes, "
        "metrics and pages are not counted.",
    )
    request_burst: int = Field(
        20, ge=1, description="Requests that one tenant may make at once after a pause."
    )

    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated keys, each `[tenant[+scope...]:]secret` or "
        "`[tenant[+scope...]:]sha256=hex`; scopes are read, write and admin "
        "(to see how the service is); without any, a key has read and write.",
        repr=False,
    )
    api_keys_file: Path | None = Field(
        None, description="A file with one such key per line."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names clients may use in Host; `*` is any. "
        "Without keys: the loopback names; with keys: any.",
    )
    metrics: Literal["key", "open", "off"] = Field(
        "key",
        description="Who may read `/metrics`: with `key`, keys of the scope `admin` "
        "(anybody where no key is asked for); with `open`, everybody; with `off`, "
        "nobody.",
    )
    tracing: bool = Field(
        False,
        description="Send traces to `OTEL_EXPORTER_OTLP_ENDPOINT`; needs the extra "
        "`tracing`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important level that is logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto` writes text to a terminal and JSON elsewhere."
    )

    max_wait_seconds: float = Field(
        60.0,
        ge=0,
        description="The longest that `?wait=` holds a request; more is cut to this.",
    )
    max_streams: int = Field(
        64,
        ge=1,
        description="Event streams and waiting requests of one tenant, per process.",
    )
    heartbeat_seconds: float = Field(
        15.0,
        gt=0,
        description="A quiet event stream says so this often, so that proxies and "
        "readers do not take it for dead.",
    )
    max_staged_bytes: int = Field(
        256 * MEBIBYTE,
        ge=1024,
        description="Most bytes of members that wait for their cycle in one session.",
    )
    umbridge: bool = Field(
        False, description="Answer UM-Bridge clients under `/umbridge`, too."
    )
    umbridge_models: dict[ModelName, RegisteredModel] = Field(
        {},
        description="UM-Bridge models that cycles may name as `forecast_model` and "
        '`measurement_model`, in JSON: `{"tank": {"url": "http://10.0.0.5:4242", '
        '"model": "forward", "config": {}}}`.',
    )
    max_model_calls: int = Field(
        8, ge=1, description="Calls to such models under way at once, per process."
    )
    model_seconds: float = Field(
        30.0, gt=0, description="Longest time for one call to such a model."
    )
    max_model_answer_bytes: int = Field(
        16 * MEBIBYTE, ge=1024, description="Longest answer of such a model."
    )
    open_inference: bool = Field(
        False, description="Answer clients of the Open Inference Protocol under `/v2`."
    )

    @field_validator("compute")
    @classmethod
    def _place(cls, value: str) -> str:
        return checked(value)

    @field_validator("job_lease_seconds")
    @classmethod
    def _lease(cls, value: float, info: ValidationInfo) -> float:
        kept = info.data.get("job_ttl_seconds", value)
        if kept < value:
            raise ValueError(
                f"got {value:g}, wanted at most {PREFIX}JOB_TTL_SECONDS, {kept:g}: a "
                "job that runs would be forgotten between two signs of its worker"
            )
        return value

    @field_validator("locations")
    @classmethod
    def _locations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse(value)
        return value

    @field_validator("api_keys", "allowed_hosts", "locations", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("log_level", "log_format", "metrics", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in LOOPBACK_HOSTS


def check_names(environment: Mapping[str, str]) -> None:
    """Refuse variables that look like settings and are none: a slip would be silent.

    Raises:
        ValueError: naming the first of them, and the setting that was perhaps meant.
    """
    names = {name.upper() for name in environment}
    asked = {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    known = {name.upper() for name in Settings.model_fields}
    for name in sorted(asked - known - OTHERS):
        near = get_close_matches(name, sorted(known), 1)
        hint = f"; perhaps {PREFIX}{near[0]} is meant" if near else ""
        raise ValueError(f"{PREFIX}{name} is no setting of the service{hint}.")
    if "API_KEY" in asked and not asked & {"API_KEYS", "API_KEYS_FILE"}:
        raise ValueError(
            f"{PREFIX}API_KEY is what clients present; keys of the service are set by "
            f"{PREFIX}API_KEYS or {PREFIX}API_KEYS_FILE, and neither is set."
        )
