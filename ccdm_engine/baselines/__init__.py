"""Reference methods, called exactly as :func:`ccdm_engine.assimilate` is.

=============  ==================================  ===============================
name           what it is                          what it needs
=============  ==================================  ===============================
``enkf``       stochastic ensemble Kalman filter   pairs only, as CCDM does
``enkf_r``     stochastic EnKF of the literature   noise-free measurements and R
``letkf``      (local) ensemble transform filter   noise-free measurements and R
``sir``        regularised particle filter         noise-free measurements and R
``sir_plain``  bootstrap particle filter           noise-free measurements and R
=============  ==================================  ===============================

R is given by ``options.measurement_error`` (standard deviations). For ``enkf`` that
option means what it means for ``assimilate``: the simulated measurements are
noise-free and are to be perturbed.
"""

from ccdm_engine.baselines.enkf import enkf, enkf_r
from ccdm_engine.baselines.letkf import letkf
from ccdm_engine.baselines.sir import sir, sir_plain

__all__ = ["enkf", "enkf_r", "letkf", "sir", "sir_plain"]
