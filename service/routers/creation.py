"""From what a client wrote to what the sessions take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from service.initial import gaussian_ensemble
from service.media.errors import TooLargeError
from service.routers.parameters import bad_parameter, validated
from service.schemas.base import Incoming
from service.schemas.coupling import CouplingParams
from service.schemas.options import Options
from service.schemas.sessions import SessionParams, SessionPatch
from service.sessions import Session, SessionSpec
from service.sessions.requests import fresh_seed
from service.settings import Settings
from service.sizes import (
    MAX_METADATA_DEPTH,
    check_coupling_sizes,
    check_lengths,
    check_options_limits,
    check_options_sizes,
    check_sizes,
    nested_deeper,
)

Array = npt.NDArray[np.float64]


def check_lists(params: Mapping[str, Any], settings: Settings) -> None:
    """Refuse lists no variable count here allows, before their elements are looked at.

    Args:
        params: as they came; ``metadata`` have a limit of their own.
        settings: of the service.

    Raises:
        TooLargeError: naming the limit.
    """
    name = max("max_state_dim", "max_measurement_dim", key=partial(getattr, settings))
    limit = getattr(settings, name)
    inside = [value for key, value in params.items() if key != "metadata"]
    for value in inside:
        if isinstance(value, dict):
            inside.extend(value.values())
        elif isinstance(value, list) and len(value) > limit:
            raise TooLargeError(
                f"A list has {len(value)} entries; at most {limit} here.", name, limit
            )


def spec_of(
    params: SessionParams, ensemble: Array | None, settings: Settings
) -> SessionSpec:
    """A session as asked for, held against the service's limits.

    Raises:
        ServiceError, TooLargeError: naming what does not fit.
    """
    # A single number has no length; that it is no ensemble is said later.
    rows = 0 if ensemble is None or not ensemble.ndim else len(ensemble)
    members = params.members or rows
    check_sizes(settings, members, params.state_dim, params.measurement_dim)
    check_coupling_sizes(params.coupling.chosen() if params.coupling else {}, settings)
    check_lengths(params)
    _check_drawn(params, settings)
    _check_kept(params, settings)
    metadata = _small(params.metadata, settings)
    options = params.options.chosen() if params.options else {}
    check_options_limits(options, settings)
    check_options_sizes(options, params.state_dim, params.measurement_dim)
    seed = fresh_seed() if params.seed is None else params.seed
    return SessionSpec(
        state_dim=params.state_dim,
        measurement_dim=params.measurement_dim,
        options=options,
        seed=seed,
        ttl_seconds=params.ttl_seconds or settings.session_ttl_seconds,
        initial_ensemble=_ensemble(params, ensemble, seed),
        names=_plain(params.names),
        coordinates=_plain(params.coordinates),
        metadata=metadata,
        keep_analyses=params.keep_analyses,
        coupling=params.coupling.chosen() if params.coupling else None,
    )


def patch_of(
    patch: SessionPatch, session: Session, settings: Settings
) -> dict[str, Any]:
    """Changes as ``Sessions.update`` takes them.

    Raises:
        ServiceError, TooLargeError: naming what does not fit.
    """
    _check_ttl(patch.ttl_seconds, settings)
    # What the patch leaves out stays, so both have to fit together.
    _small({**(session.metadata or {}), **(patch.metadata or {})}, settings)
    options = patch.options and _model_patch(Options, patch.options, "/options")
    coupling = patch.coupling and _model_patch(
        CouplingParams, patch.coupling, "/coupling"
    )
    check_coupling_sizes(coupling or {}, settings)
    check_options_limits(options or {}, settings)
    check_options_sizes(options or {}, session.state_dim, session.measurement_dim)
    return {
        "ttl_seconds": patch.ttl_seconds,
        "metadata": patch.metadata,
        "options": options,
        "coupling": coupling,
    }


def drawn_bytes(params: SessionParams) -> int:
    """Size of the ensemble that is to be drawn; 0 where none is."""
    if params.initial_mean is None:
        return 0
    return 8 * (params.members or 0) * len(params.initial_mean)


def _check_drawn(params: SessionParams, settings: Settings) -> None:
    """Hold an ensemble to be drawn against what could have been sent instead.

    Raises:
        TooLargeError: naming the limit of bodies.
    """
    size, limit = drawn_bytes(params), settings.max_body_bytes
    if size > limit:
        raise TooLargeError(
            f"The initial ensemble would take {size} bytes; at most {limit} here, as "
            "many as one that is sent may take.",
            "max_body_bytes",
            limit,
        )


def _ensemble(params: SessionParams, ensemble: Array | None, seed: int) -> Array | None:
    if params.initial_mean is None:
        return ensemble
    if ensemble is not None:
        raise bad_parameter(
            "/initial_mean", "wanted either initial_ensemble or initial_mean, not both"
        )
    assert params.initial_std is not None and params.members is not None
    return gaussian_ensemble(
        seed, params.initial_mean, params.initial_std, params.members
    )


def _check_kept(params: SessionParams, settings: Settings) -> None:
    _check_ttl(params.ttl_seconds, settings)
    limit = settings.max_keep_analyses
    if (params.keep_analyses or 0) > limit:
        raise bad_parameter("/keep_analyses", f"wanted at most {limit}")


def _check_ttl(seconds: float | None, settings: Settings) -> None:
    limit = settings.max_session_ttl_seconds
    if (seconds or 0) > limit:
        raise bad_parameter("/ttl_seconds", f"wanted at most {limit:g}")


def _small(
    metadata: Mapping[str, Any] | None, settings: Settings
) -> dict[str, Any] | None:
    """Metadata, if short enough and not nested beyond reason."""
    if metadata is None:
        return None
    limit = settings.max_metadata_bytes
    if nested_deeper(metadata, MAX_METADATA_DEPTH):
        raise bad_parameter("/metadata", f"nested deeper than {MAX_METADATA_DEPTH}")
    length = len(orjson.dumps(metadata))
    if length > limit:
        raise TooLargeError(
            f"The metadata take {length} bytes; at most {limit} here.",
            "max_metadata_bytes",
            limit,
        )
    return dict(metadata)


def _model_patch(
    model: type[Options] | type[CouplingParams], values: Mapping[str, Any], root: str
) -> dict[str, Any]:
    """Values to set, validated, and values to set back, as ``None``."""
    back = {name: None for name, value in values.items() if value is None}
    unknown = [name for name in back if name not in model.model_fields]
    # Unknown names are kept among those to set, where validation finds them.
    given = {name: values[name] for name in values if name not in back}
    given |= dict.fromkeys(unknown)
    chosen = validated(model, given, root).chosen()
    return {**back, **chosen}


def _plain(model: Incoming | None) -> dict[str, Any] | None:
    return model.model_dump(exclude_none=True) if model else None
