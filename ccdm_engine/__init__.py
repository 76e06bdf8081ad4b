"""CCDM engine: closed-form conditional diffusion for data assimilation.

Arrays in, arrays out; NumPy and SciPy only::

    from ccdm_engine import AnalysisOptions, assimilate

    analysis = assimilate(forecast_states, simulated_measurements, observation)
    analysis.samples            # (N, dx)
    analysis.diagnostics.model  # what was chosen, and why it can be trusted
"""

from ccdm_engine.analysis import Advice, Analysis, ChosenModel, Diagnostics, Predicted
from ccdm_engine.assimilate import assimilate
from ccdm_engine.errors import (
    CcdmError,
    DtypeError,
    InputError,
    NonFiniteError,
    NumericalError,
    OptionsError,
    ShapeError,
    TooFewMembersError,
)
from ccdm_engine.localization import Localization
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.version import __version__

__all__ = [
    "Advice",
    "Analysis",
    "AnalysisOptions",
    "CcdmError",
    "ChosenModel",
    "Diagnostics",
    "DtypeError",
    "InputError",
    "Localization",
    "NonFiniteError",
    "NumericalError",
    "OptionsError",
    "Predicted",
    "ShapeError",
    "TooFewMembersError",
    "__version__",
    "assimilate",
]
