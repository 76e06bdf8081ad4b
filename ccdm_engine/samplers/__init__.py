"""Samplers of one law behind one contract: a :class:`Task` in, :class:`Draws` out.

========  ============================================  =====  ===================
name      method                                        order  default evaluations
========  ============================================  =====  ===================
`ode`     probability flow, exponential multistep       2      see :data:`STEPS`
`sde`     reverse diffusion, exponential multistep      weak   see :data:`STEPS`
`rk45`    probability flow, adaptive Runge-Kutta        5      as tolerances demand
`exact`   the mixture itself                            --     none
========  ============================================  =====  ===================
"""

from ccdm_engine.samplers import exact, multistep, rk45, sde
from ccdm_engine.samplers.contract import Draws, Sampler, Task

SAMPLERS: dict[str, Sampler] = {
    "ode": multistep.sample,
    "sde": sde.sample,
    "rk45": rk45.sample,
    "exact": exact.sample,
}

__all__ = ["SAMPLERS", "Draws", "Sampler", "Task"]
