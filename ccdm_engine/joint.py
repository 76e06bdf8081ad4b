"""Kernels on state and measurement together.

The paper's kernels are products, one in x and one in y. Here each member carries a
kernel that moves along with its measurement, once the measurements are taken apart into
``f(x_i)`` and noise (:mod:`.noise`)::

    x ~ N(x_i, h^2 V),    y | x ~ N(f(x_i) + H^T (x - x_i), R)

``V`` is the covariance of the states near the observation and ``H`` the slope of ``f``
there. Conditioning on ``y*`` is exact, and leaves a mixture of equal kernels again::

    S = h^2 H^T V H + R              K = h^2 V H S^-1
    w_i  ~  N(y*; f_i, S)            c_i = x_i + K (y* - f_i)
    covariance  h^2 (V - h^2 V H S^-1 H^T V)

One bandwidth leads from the particle filter (h = 0) to the Kalman filter (h = 1): what
the kernels are wide the Kalman gain does, what the members are apart the weights do. In
whitened coordinates centres are drawn towards the mean by ``(I - h^2 V)^1/2`` (West
1993 for ``V = I``), so that kernels and centres together keep the covariance of the
ensemble. This is the ensemble Gaussian mixture filter (Anderson and Anderson 1999;
Stordal et al. 2011; Popov and Zanetti 2022), with ``f`` and ``R`` learned from the
pairs; ``V`` near the observation keeps members far from it, which will weigh nothing,
from widening the kernels of those that will.

Cost, once per analysis: ``O(N (dx + dy)^2)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.bandwidth import silverman
from ccdm_engine.candidate import Candidate
from ccdm_engine.neighbourhood import FARTHEST, Neighbourhood
from ccdm_engine.noise import Noise
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame, fit_frame, symmetric_roots

Array = npt.NDArray[np.float64]

# Shares of the normal reference bandwidth, which is too wide for clouds that are not
# normal (Silverman 1986, section 3.4.2).
SHARES = (0.4, 0.8)
# Beyond, an expansion in the doubt means nothing.
MOST_DOUBT = 0.5


def bandwidths(pairs: Pairs, options: AnalysisOptions) -> tuple[float, ...]:
    """``h`` as fixed, or some to choose from; at most 1."""
    wanted, reference = options.state_bandwidth, silverman(*pairs.states.shape)
    if not isinstance(wanted, str):
        return (min(float(wanted), 1.0),)
    shares = (1.0,) if wanted == "silverman" else SHARES
    return tuple(min(share * reference, 1.0) for share in shares)


class Shape(NamedTuple):
    """What kernels of any bandwidth have in common.

    Attributes:
        whole: the frame in which all members are white.
        z: the states there, ``(N, dx)``.
        covariance: ``V``, ``(dx, dx)``.
        slopes: ``H``, ``(dx, dy)``.
        widening: see :func:`_widening`.
    """

    whole: Frame
    z: Array
    covariance: Array
    slopes: Array
    widening: float


def fit_shape(pairs: Pairs, parts: Noise) -> Shape:
    """The shape of the kernels.

    Args:
        pairs: with members enough to know their covariance.
        parts: the measurements taken apart.
    """
    whole = fit_frame(pairs.states, "whiten")
    z = whole.into(pairs.states)
    gaps = parts.fitted - parts.fitted.mean(axis=0)
    root = _inverse_root(gaps.T @ gaps / (z.shape[0] - 1) + parts.covariance)
    covariance, slopes = _near(z, parts.fitted, pairs.observation, gaps, root)
    widening = _widening(gaps, root, _doubt(parts, pairs))
    return Shape(whole, z, covariance, slopes, widening)


def candidate(
    pairs: Pairs,
    parts: Noise,
    near: Neighbourhood,
    options: AnalysisOptions,
    h: float,
    of: Shape | None = None,
) -> Candidate:
    """The model with joint kernels.

    Args:
        pairs: with members enough to know their covariance.
        parts: the measurements taken apart.
        near: the ``pairs`` kernels, which know the held-out members.
        options: whether centres are drawn together.
        h: the bandwidth.
        of: the shape of the kernels, where it is known already.
    """
    whole, z, shape, slopes, widening = of or fit_shape(pairs, parts)
    drawn = options.shrink is not False
    pulled = z @ _root(np.eye(z.shape[1]) - h**2 * shape) if drawn else z
    fitted = parts.fitted + (pulled - z) @ slopes
    cross = h * shape @ slopes
    root = _inverse_root(h**2 * slopes.T @ shape @ slopes + parts.covariance)
    loads = cross @ root
    gain = h * loads @ root.T  # of whitened states
    inner, inverse = symmetric_roots(shape - loads @ loads.T)
    residuals = whole.out_of(pulled - fitted @ gain.T)
    target = whole.out_of(pairs.observation @ gain.T) - whole.origin
    own = whole.out_of(z - pairs.simulated @ gain.T)
    units = h * root
    kernels = near.around(
        fitted @ units, pairs.simulated @ units, pairs.observation @ units
    )
    widen = widening if options.unbiases else 1.0
    middle = np.exp(kernels.weights(h).given_observation) @ residuals
    residuals = middle + widen * (residuals - middle)
    regression = Regression(
        "linear",
        residuals,
        target,
        np.zeros((z.shape[0], 1)),
        own=own,
        is_unbiased=widen > 1.0,
    )
    frame = Frame(
        residuals.mean(axis=0),
        widen * whole.deviation,
        inner if whole.root is None else inner @ whole.root,
        inverse if whole.inverse_root is None else whole.inverse_root @ inverse,
        "whiten",
    )
    return Candidate(regression, frame, kernels, h, h, is_drawn_together=drawn)


def _widening(gaps: Array, root: Array, doubt: float) -> float:
    """``((1 + doubt) / (1 - k / (N - 1)))^1/2``: what learning from few costs.

    ``k = tr C_ff (C_ff + R)^-1``, the directions of the measurements that tell
    anything: so many degrees of freedom a fit takes from the spread, as the leverages
    of a regression on them would add up to.

    Args:
        gaps: ``f_i`` from their mean, ``(N, dy)``.
        root: of ``(C_ff + R)^-1``, ``(dy, dy)``.
        doubt: see :func:`_doubt`.
    """
    freedom = gaps.shape[0] - 1
    told = float(np.sum((gaps @ root) ** 2)) / freedom
    more = 1.0 + min(doubt, MOST_DOUBT)
    return float((more / (1.0 - min(told / freedom, 0.5))) ** 0.5)


def _doubt(parts: Noise, pairs: Pairs) -> float:
    """What errors of the slopes add to the variance of the states, as a share of it.

    They mix directions: along one in which nothing is to be learned the mean is moved,
    by more the farther out ``y*`` lies, and on average over the members as much spread
    is taken away. From cycle to cycle both add up where the dynamics lets no error
    grow, until the ensemble is far too sure of itself there.
    """
    if parts.doubt is None:
        return 0.0
    mean = pairs.simulated.mean(axis=0)
    gap = np.clip(pairs.observation - mean, -FARTHEST, FARTHEST)
    moved = float(np.sum((gap @ parts.doubt) ** 2))
    taken = np.sum(((pairs.simulated - mean) @ parts.doubt) ** 2, axis=1)
    return moved + float(np.mean(taken))


def _near(
    z: Array, fitted: Array, observation: Array, gaps: Array, root: Array
) -> tuple[Array, Array]:
    """Covariance of the states near the observation, and slopes of ``f`` there.

    Members weigh ``N(y*; f_i, C_ff + R)``, as by the widest kernel there is. What too
    few of them cannot tell is filled in from the whole ensemble, whose covariance is
    never exceeded.

    Args:
        z: whitened states, ``(N, dx)``.
        fitted: ``f_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        gaps: ``f_i`` from their mean, ``(N, dy)``.
        root: of ``(C_ff + R)^-1``, ``(dy, dy)``.

    Returns:
        ``V``, ``(dx, dx)``, and ``H``, ``(dx, dy)``, in whitened coordinates.
    """
    members, dimension = z.shape
    freedom = members - 1
    far = np.clip((fitted - observation) @ root, -FARTHEST, FARTHEST)
    square = np.sum(far**2, axis=1)
    weights = np.exp(-0.5 * (square - square.min()))
    weights /= weights.sum()
    effective = 1.0 / float(np.sum(weights**2))
    trust = effective / (effective + dimension + 1)
    unbiased = max(1.0 - 1.0 / effective, 1.0 / members)
    dz, df = z - weights @ z, fitted - weights @ fitted
    shares = (dz * weights[:, None]).T / unbiased
    square = trust * shares @ dz + (1.0 - trust) * np.eye(dimension)
    cross = trust * shares @ df + (1.0 - trust) * z.T @ gaps / freedom
    values, vectors = np.linalg.eigh(square)
    shape = (vectors * np.minimum(values, 1.0)) @ vectors.T
    return shape, np.linalg.solve(square, cross)


def _root(matrix: Array) -> Array:
    """Symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _inverse_root(covariance: Array) -> Array:
    """``W`` with ``W W^T`` the inverse, of measurements in whatever units."""
    deviation = np.sqrt(np.diag(covariance))
    return (
        symmetric_roots(covariance / np.outer(deviation, deviation))[1]
        / (deviation[:, None])
    )
