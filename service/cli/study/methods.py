"""Methods by name, with their options spelled out behind colons.

::

    ccdm                                   defaults: what a user gets
    ccdm:radius=6:inflation=1.02           localized with the coordinates of the setting
    ccdm:preconditioner=none:state_bandwidth=0.5:measurement_bandwidth=2
    ccdm-paper:state_bandwidth=1:measurement_bandwidth=4:max_bandwidth=100
    ccdm_r                                 given R, and exact simulated measurements
    enkf, enkf_r, letkf, etkf, sir, sir_plain

``radius`` is the localization radius; every other word is a field of
:class:`~ccdm_engine.AnalysisOptions`. The text is the method's name in every table, so
that a table says what was run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ccdm_engine import Analysis, AnalysisOptions, OptionsError, assimilate
from ccdm_engine.baselines import enkf, enkf_r, letkf, sir, sir_plain
from ccdm_engine.twin.cycle import Method
from service.cli.output import USAGE, CommandError

# Who makes the analysis, and whether it is told R.
KNOWN: dict[str, tuple[Callable[..., Analysis], bool]] = {
    "ccdm": (assimilate, False),
    "ccdm_r": (assimilate, True),
    "ccdm-paper": (assimilate, False),
    "enkf": (enkf, False),
    "enkf_r": (enkf_r, True),
    "letkf": (letkf, True),
    "etkf": (letkf, True),
    "sir": (sir, True),
    "sir_plain": (sir_plain, True),
}

# DAPPER's usual radius of 4 grid points, as the half-width of Gaspari and Cohn.
LETKF_RADIUS = 7.28


def parse(text: str) -> Method:
    """The method that ``text`` names.

    Raises:
        CommandError: for an unknown name, or options that do not fit.
    """
    name, *words = text.strip().split(":")
    if name not in KNOWN:
        raise CommandError(
            f"--method {text}: {name!r} is unknown; wanted one of {', '.join(KNOWN)}",
            USAGE,
        )
    analyse, knows_error = KNOWN[name]
    values = dict(_pair(text, word) for word in words)
    radius = values.pop("radius", LETKF_RADIUS if name == "letkf" else None)
    if radius is not None and not (isinstance(radius, (int, float)) and radius > 0):
        raise CommandError(f"--method {text}: radius must be positive", USAGE)
    return Method(text.strip(), analyse, knows_error, _options(text, values), radius)


def _options(text: str, values: dict[str, Any]) -> AnalysisOptions:
    try:
        if text.startswith("ccdm-paper"):
            return AnalysisOptions.paper(**values)
        return AnalysisOptions.from_dict(values)
    except (OptionsError, TypeError) as error:
        raise CommandError(f"--method {text}: {error}", USAGE) from None


def _pair(text: str, word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not equals:
        raise CommandError(f"--method {text}: wanted NAME=VALUE, got {word!r}", USAGE)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
