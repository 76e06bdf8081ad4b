"""Published settings, one per file; each file defines one ``EXPERIMENT``.

>>> from ccdm_engine.twin.experiments import find, names
>>> find("L63_03").error
2.0
"""

from __future__ import annotations

import importlib
import pkgutil

from ccdm_engine.errors import OptionsError
from ccdm_engine.twin.experiment import Experiment


def _discover() -> dict[str, Experiment]:
    found: dict[str, Experiment] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        setting = loaded.EXPERIMENT
        if setting.name in found:
            raise RuntimeError(f"two experiments are called {setting.name!r}")
        found[setting.name] = setting
    return found


EXPERIMENTS = _discover()


def names() -> tuple[str, ...]:
    """Names of all settings, in the order of their files."""
    return tuple(EXPERIMENTS)


def find(name: str) -> Experiment:
    """The setting called ``name``, whatever the case of its letters.

    Raises:
        OptionsError: when there is none of that name.
    """
    by_lower = {known.lower(): known for known in EXPERIMENTS}
    if name.lower() not in by_lower:
        raise OptionsError(
            "experiment", got=repr(name), wanted="one of " + ", ".join(EXPERIMENTS)
        )
    return EXPERIMENTS[by_lower[name.lower()]]


__all__ = ["EXPERIMENTS", "find", "names"]
