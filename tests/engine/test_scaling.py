"""Frames and subspaces: invertible maps, in which the ensemble is simple."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logsumexp

from ccdm_engine.mixture import Mixture
from ccdm_engine.scaling import fit_frame, fit_weighted, symmetric_roots
from ccdm_engine.subspace import fit_subspace

Array = npt.NDArray[np.float64]


def ensemble(members: int = 80, d: int = 4) -> Array:
    rng = np.random.default_rng([10, members, d])
    mixing = rng.standard_normal((d, d)) * np.geomspace(1e-3, 1e3, d)
    return rng.standard_normal((members, d)) @ mixing + 10


@pytest.mark.parametrize("kind", ["none", "standardize", "whiten"])
def test_frames_go_there_and_back(kind: str) -> None:
    x = ensemble()
    frame = fit_frame(x, kind)
    u = frame.into(x)
    assert np.max(np.abs(frame.out_of(u) - x) / x.std(axis=0)) < 1e-8
    assert np.max(np.abs(u.mean(axis=0))) < 1e-9
    if kind != "none":
        assert np.allclose(u.std(axis=0, ddof=1), 1.0)
    if kind == "whiten":
        assert np.allclose(np.cov(u.T), np.eye(4), atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "standardize", "whiten"])
def test_log_volume_is_that_of_the_map(kind: str) -> None:
    frame = fit_frame(ensemble(), kind)
    jacobian = frame.into(np.eye(4)) - frame.into(np.zeros(4))
    assert frame.log_volume == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-8)


def test_weights_count_members() -> None:
    """Integer weights are copies, but for the count in the unbiased variance."""
    x = ensemble(30)
    counts = np.random.default_rng(1).integers(0, 4, 30)
    copies = np.repeat(x, counts, axis=0)
    shares = counts[None] / counts.sum()
    prior = fit_frame(x, "standardize")
    weighted = fit_weighted(x[None], shares, [prior], np.ones(1)).at(0)
    assert np.allclose(weighted.origin, copies.mean(axis=0))
    share = 1 - np.sum((counts / counts.sum()) ** 2)
    expected = copies.std(axis=0) / np.sqrt(share)
    assert np.allclose(weighted.deviation, expected)


def test_whitening_needs_enough_members() -> None:
    for members, d, kind in (
        (100, 4, "whiten"),
        (25, 4, "whiten"),
        (24, 4, "standardize"),
        (100, 1, "standardize"),
        (10, 200, "standardize"),
    ):
        assert fit_frame(ensemble(members, d), "auto").kind == kind
    assert fit_frame(ensemble(4, 4), "whiten").kind == "standardize"
    assert fit_frame(ensemble(5, 4), "whiten").kind == "whiten"


def test_constant_columns_keep_unit_deviation() -> None:
    x = ensemble()
    x[:, 2] = 0.1
    for kind in ("standardize", "whiten"):
        frame = fit_frame(x, kind)
        assert frame.deviation[2] == 1.0
        assert np.all(np.isfinite(frame.into(x)))


def test_symmetric_roots() -> None:
    matrix = np.cov(ensemble().T / np.geomspace(1e-3, 1e3, 4)[:, None])
    root, inverse = symmetric_roots(matrix)
    assert np.allclose(root, root.T) and np.allclose(inverse, inverse.T)
    assert np.allclose(root @ root, matrix)
    assert np.allclose(root @ inverse, np.eye(4), atol=1e-6)
    singular = np.ones((3, 3))
    root, inverse = symmetric_roots(singular)
    assert np.all(np.isfinite(inverse))
    assert np.allclose(root @ root, singular, atol=1e-8)


def wide_mixture(members: int = 6, d: int = 30) -> Mixture:
    rng = np.random.default_rng(11)
    logs = rng.standard_normal(members)
    return Mixture(rng.standard_normal((members, d)), logs - logsumexp(logs), 0.4)


def test_the_span_of_the_members_holds_all_there_is_to_sample() -> None:
    """Inside: the same distances. Across: the kernels alone."""
    mixture = wide_mixture()
    subspace = fit_subspace(mixture)
    inside = subspace.mixture
    assert inside.centres.shape == (6, 5)
    gaps = mixture.centres[:, None] - mixture.centres
    inner = inside.centres[:, None] - inside.centres
    assert np.allclose(np.sum(gaps**2, axis=2), np.sum(inner**2, axis=2))
    zeros = np.zeros((6, 30))
    assert np.allclose(
        subspace.embed(inside.centres, np.zeros((6, 5)), zeros), mixture.centres
    )


def test_projection_is_orthonormal_and_embedding_its_inverse() -> None:
    mixture = wide_mixture()
    subspace = fit_subspace(mixture)
    basis = subspace.combine @ (mixture.centres - subspace.origin)
    assert np.allclose(basis @ basis.T, np.eye(5), atol=1e-10)
    rng = np.random.default_rng(12)
    inside, latents = rng.standard_normal((50, 5)), rng.standard_normal((50, 30))
    points = subspace.embed(inside, subspace.project(latents), latents)
    assert np.allclose(subspace.project(points - subspace.origin), inside)
    across = points - subspace.origin - inside @ basis
    expected = 0.4 * (latents - latents @ basis.T @ basis)
    assert np.allclose(across, expected)


def test_duplicates_do_not_add_dimensions() -> None:
    mixture = wide_mixture()
    copies = Mixture(
        np.repeat(mixture.centres[:3], 2, axis=0), np.full(6, -np.log(6)), 0.4
    )
    assert fit_subspace(copies).mixture.centres.shape == (6, 2)
