"""Probability-flow ODE by adaptive Runge-Kutta 4(5): the paper's integrator.

``dx/ds = (x - m(x, s)) / s`` with ``s(t) = h_x + t (h_max - h_x)``, t from 1 to 0, all
trajectories as one system, Dormand-Prince pair, error control by ``rtol`` and
``atol``. Steps are adaptive: of the levels only the first and the last are used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import RK45

from ccdm_engine.errors import NumericalError
from ccdm_engine.samplers.contract import Draws, Task

# The paper's tolerances need one or two hundred; more than this never ends.
MOST_EVALUATIONS = 10_000


def sample(task: Task) -> Draws:
    """Integrate the flow adaptively.

    Raises:
        NumericalError: when the step size underflows.
    """
    shape = task.start.shape
    smallest, largest = float(task.levels[-1]), float(task.levels[0])

    def slope(t: float, flat: npt.NDArray[Any]) -> npt.NDArray[Any]:
        x = flat.reshape(shape)
        s = smallest + t * (largest - smallest)
        return np.asarray((x - task.denoise(x, s)) * ((largest - smallest) / s)).ravel()

    start = np.asarray(task.start, dtype=np.float64).ravel()
    solver = RK45(
        slope,
        1.0,
        start,
        0.0,
        rtol=task.rtol,
        atol=task.atol,
    )
    while solver.status == "running":
        message = solver.step()
        # A step size of NaN never falls below the smallest, so look for it as well.
        lost = not np.isfinite(solver.h_abs)
        if solver.status == "failed" or lost or solver.nfev > MOST_EVALUATIONS:
            raise NumericalError(
                "sampler",
                got=f"rk45 at t = {solver.t:g} after {solver.nfev} evaluations"
                + (f": {message}" if message else ""),
                wanted="a solution down to the state bandwidth",
                remedy="Raise rtol and atol, or use sampler='ode'.",
            )
    return Draws(solver.y.reshape(shape), int(solver.nfev))
