"""The worst explanation within a tolerance: against closed forms, and a general optimiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from assay.explanations import ExplanationError
from assay.explanations.anomalies import Observations, SiteBits, WorstCase, WorstGaussian, mahalanobis
from assay.explanations.anomalies.prices import KeyedPrices, SupportPrices
from assay.explanations.anomalies.worst import LOG2E, farthest, without
from assay.explanations.pca import pca
from scipy.optimize import brentq, minimize
from torch import Tensor


def told(cells, slack: float, most: float) -> float:
    return float(farthest(lambda u: without(cells, u), torch.tensor([most]), slack))


@pytest.mark.parametrize(("used", "slack"), [(4000, 5.0), (900, 40.0), (9000, 800.0)])
def test_one_part_has_the_probability_that_the_tolerance_allows(used: int, slack: float) -> None:
    """x uses the part: the least p with D's cross-entropy within the slack, by a root finder."""
    n = 10_000
    prices = SupportPrices.fit(torch.tensor([float(used)]), n)
    cells = prices.cells(torch.tensor([0]), torch.tensor([0]), 1, 1)

    def message(p: float) -> float:
        return -used * math.log2(p) - (n - used) * math.log2(1 - p)

    p = brentq(lambda p: message(p) - message((used + 0.5) / (n + 1)) - slack, 1e-9, used / n)
    expected = math.log2((used + 0.5) / (n + 1) / p)
    assert told(cells, slack, 2.0 * used) == pytest.approx(expected, rel=2e-3)


def test_tables_give_up_the_symbols_of_a_datum_as_a_general_optimiser_does() -> None:
    """x holds one symbol twice and two others once; softmax tables under a constraint, by SLSQP."""
    generator = np.random.default_rng(0)
    symbols = torch.from_numpy(generator.binomial(9, 0.4, 40_000) - 3)
    prices = KeyedPrices.fit(torch.zeros_like(symbols), symbols, 1)
    x = torch.tensor([0, 0, 1, -1])
    cells = prices.cells(torch.zeros(4, dtype=torch.int64), torch.zeros_like(x), x)
    values, counts = np.unique(symbols.numpy(), return_counts=True)
    own = np.array([(x == v).sum() for v in values], float)
    start = np.log(counts / counts.sum())
    slack = 300.0

    def logs(t: np.ndarray) -> np.ndarray:
        return (t - np.log(np.exp(t).sum())) * LOG2E

    done = minimize(
        lambda t: float(own @ logs(t)),
        start,
        constraints={"type": "ineq", "fun": lambda t: slack + counts @ (logs(t) - logs(start))},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-10},
    )
    gained = float(own @ (logs(start) - logs(done.x)))
    assert told(cells, slack, 2.0 * counts.max()) == pytest.approx(gained, rel=0.01)


@pytest.fixture(scope="module")
def rows() -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(600, 3, generator=g) @ torch.randn(3, 3, generator=g) + 1.0


def gaussian_bits(x: Tensor, mean: Tensor, covariance: Tensor, delta: float) -> Tensor:
    drawn = torch.distributions.MultivariateNormal(mean, covariance)
    return -drawn.log_prob(x) * LOG2E - x.shape[1] * math.log2(delta)


def test_no_gaussian_within_the_tolerance_is_worse(rows: Tensor) -> None:
    """The closed form against gradients over all means and covariances, at the same slack."""
    D, delta, tolerance = Observations(rows), 0.05, 0.01
    x = torch.tensor([[2.0, -1.0, 3.0]], dtype=torch.float64)
    found = float(WorstGaussian(D, delta, tolerance).score(Observations(x)))
    data = rows.double()
    mean, covariance = data.mean(0), torch.cov(data.T, correction=0)
    least = float(gaussian_bits(data, mean, covariance, delta).sum())
    factor = torch.linalg.cholesky(covariance)

    def split(theta: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        t = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
        L = factor @ (torch.eye(3) + torch.zeros(3, 3).double().index_put((low[0], low[1]), t[3:]))
        return t, mean + t[:3], L @ L.T

    low = torch.tril_indices(3, 3)

    def bits(theta: np.ndarray, of: Tensor) -> tuple[float, np.ndarray]:
        t, m, C = split(theta)
        total = gaussian_bits(of, m, C, delta).sum()
        (slope,) = torch.autograd.grad(total, t)
        return float(total.detach()), slope.numpy()

    room = {
        "type": "ineq",
        "fun": lambda t: (least * (1 + tolerance) - bits(t, data)[0]) / 100,
        "jac": lambda t: -bits(t, data)[1] / 100,
    }
    done = minimize(
        lambda t: (-bits(t, x)[0], -bits(t, x)[1]),
        np.full(9, 1e-3),
        jac=True,
        constraints=room,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found == pytest.approx(-done.fun, rel=1e-4)
    assert found > float(gaussian_bits(x, mean, covariance, delta)) + 1


def test_over_gaussians_the_worst_case_is_mahalanobis(rows: Tensor) -> None:
    D, x = Observations(rows), torch.randn(50, 3, generator=torch.Generator().manual_seed(1)) * 3
    order = mahalanobis(D).score(Observations(x)).argsort()
    scores = [WorstGaussian(D, 0.05, tolerance).score(Observations(x)) for tolerance in (0.0, 0.01, 0.1)]
    assert all(torch.equal(s.argsort(), order) for s in scores)
    mean, covariance = rows.double().mean(0), torch.cov(rows.double().T, correction=0)
    assert torch.allclose(scores[0], gaussian_bits(x.double(), mean, covariance, 0.05), rtol=1e-5)
    assert bool((scores[2] > scores[1]).all())


def test_a_tolerance_makes_every_datum_worse_and_nothing_else(rows: Tensor) -> None:
    seen = Observations(rows, positions=2)
    fitted = tuple(SiteBits.fit(e, seen, 0.1) for e in (pca(rows), pca(rows, 1, "one")))
    best = min(fitted, key=lambda f: f.trusted_bits)
    none, some, more = (WorstCase(fitted, t).score(seen) for t in (0.0, 0.01, 0.1))
    assert bool((none >= best.score(seen) - 1e-9).all())
    assert bool((some > none).all())
    assert bool((more > some).all())
    assert len(WorstCase(fitted, 0.0).admitted()) == 1
    with pytest.raises(ExplanationError, match="tolerance -1"):
        WorstCase(fitted, -1.0)
    with pytest.raises(ExplanationError, match="full rank"):
        WorstGaussian(Observations(rows[:, :1].expand(-1, 2)), 0.1).score(seen)


def test_the_trusted_message_grows_by_what_is_said(rows: Tensor) -> None:
    """Every trusted row priced anew under the tables without u copies of x: the growth of D, exactly."""
    prices = KeyedPrices.fit(torch.zeros(500, dtype=torch.int64), torch.arange(500) % 7 - 3, 1)
    x, u = torch.tensor([0, 0, 2, 40]), torch.tensor([9.0])
    cells = prices.cells(torch.zeros(4, dtype=torch.int64), torch.zeros_like(x), x)
    weight = {
        int(s): float(501 * 2 ** -prices.prices(torch.zeros(1, dtype=torch.int64), torch.tensor([s])))
        for s in range(-3, 41)
    }
    lost = dict.fromkeys(weight, 0.0)
    for s, c, W, floor in zip(
        (0, 2, 40), (2, 1, 1), *(t[[0, 1, 2]] for t in (cells.weight, cells.floor)), strict=True
    ):
        lost[s] = min(9.0 * c, float(W - floor))
    total = 501 - sum(lost.values())
    growth = sum(
        math.log2(weight[int(s)] / 501) - math.log2((weight[int(s)] - lost[int(s)]) / total)
        for s in torch.arange(500) % 7 - 3
    )
    assert float(without(cells, u)[1]) == pytest.approx(growth, abs=1e-6)
