"""Worst case over explanations: what tells the trusted data D within a tolerance, and a datum x worst.

    max over θ of bits(x; θ), subject to bits(D; θ) <= (1 + tolerance) · least bits(D)

On the Lagrangian curve bits(x; θ) − λ bits(D; θ) the best θ of an exponential family is the fit to D from
which u = 1/λ copies of x are taken away, as the gradient is linear in the sufficient statistics. So each
family needs one search along u. Tables of counts (:class:`WorstCase`) lose x's symbols; Gaussians
(:class:`WorstGaussian`) lose x's share of mean and covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code
from torch import Tensor

from .classical import mahalanobis
from .observations import Observations
from .prices import Cells
from .site_bits import SiteBits, coordinates

HALVINGS = 40
AT_ONCE = 64
"""Data whose worst codes are searched for together."""

Along = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From u [n] to what x costs more, and what D costs more, in bits [n] each."""


class Fitted(Protocol):
    """An explanation of a site with codes fixed on trusted data."""

    @property
    def trusted_bits(self) -> float:
        """The whole message about the trusted data."""

    @property
    def prices(self) -> SiteBits:
        """Its codes."""

    def told(self, x: Tensor) -> tuple[Code, Tensor]:
        """How rows x [n, d] are told, and their bits [n]."""


@dataclass(frozen=True)
class WorstCase:
    """Over the explanations, and over all re-fits of each one's codes, within the tolerance.

    ``tolerance`` is relative: messages about the trusted data up to (1 + tolerance) times the shortest one
    count. Dictionary and steps stay, each datum is told by the integers that its explanation chose, and
    headers of codes are not counted. The slack is thousands of times a datum's own bits where D is large, so
    a tolerance of more than some thousandths makes every datum look bad.
    """

    explanations: tuple[Fitted, ...]
    tolerance: float = 0.001
    name: str = "worst case over explanations"

    def __post_init__(self) -> None:
        if not self.explanations or not self.tolerance >= 0:
            raise ExplanationError(
                f"worst case: {len(self.explanations)} explanations, tolerance {self.tolerance}; "
                "expected at least one, and a tolerance of 0 or more"
            )

    @property
    def allowed(self) -> float:
        """The longest message about the trusted data that counts."""
        return min(one.trusted_bits for one in self.explanations) * (1 + self.tolerance)

    def admitted(self) -> list[Fitted]:
        """Those within the tolerance as they are."""
        return [one for one in self.explanations if one.trusted_bits <= self.allowed]

    def score(self, seen: Observations) -> Tensor:
        """The largest bits of every datum [n]."""
        return torch.stack([self._worst(one, seen) for one in self.admitted()]).amax(0)

    def _worst(self, one: Fitted, seen: Observations) -> Tensor:
        slack = self.allowed - one.trusted_bits
        pieces = [seen.take(some) for some in torch.split(torch.arange(seen.size), AT_ONCE)]
        return torch.cat([_refitted(one, piece, slack) for piece in pieces])


def _refitted(one: Fitted, seen: Observations, slack: float) -> Tensor:
    """Bits of each datum [n] under the re-fit that is worst for it, at ``slack`` more bits for D."""
    x, prices = seen.rows(), one.prices
    code, bits = one.told(x)
    residual = prices.channel.residual(x, code)
    datum = torch.arange(len(x)) // seen.positions
    lines = (
        prices.support.cells(datum[code.row.cpu()], code.part.cpu(), seen.size, seen.positions),
        prices.values.cells(datum[code.row.cpu()], code.part, code.value),
        prices.residual.cells(datum[:, None].expand(residual.shape), coordinates(residual), residual),
    )

    def along(u: Tensor) -> tuple[Tensor, Tensor]:
        told = [without(cells, u) for cells in lines]
        return sum((x for x, _ in told), torch.zeros_like(u)), sum((D for _, D in told), torch.zeros_like(u))

    most = max(float((c.weight / c.times).amax()) for c in lines if len(c.weight))
    return seen.by_datum(bits) + farthest(along, torch.full((seen.size,), most), slack)


def without(cells: Cells, u: Tensor) -> tuple[Tensor, Tensor]:
    """What data [n] and D cost more when u [n] copies of each datum leave the tables (what is there of them).

    p(s) = max(W_s − u c_s, floor) / (1 + M − what left): D's change is exact, as all other symbols of a table
    gain alike.
    """
    taken = torch.minimum(u[cells.datum] * cells.times, cells.weight - cells.floor)
    shrunk = torch.log2(cells.weight / (cells.weight - taken))
    tables = len(cells.size)
    left = torch.zeros(tables, dtype=torch.float64).index_add(0, cells.table, taken)
    times = torch.zeros(tables, dtype=torch.float64).index_add(0, cells.table, cells.times)
    gain = torch.log2((cells.size + 1 - left) / (cells.size + 1))
    none = torch.zeros(len(u), dtype=torch.float64)
    x = none.index_add(0, cells.datum, cells.times * shrunk).index_add(0, cells.owner, times * gain)
    D = none.index_add(0, cells.datum, cells.seen * shrunk).index_add(0, cells.owner, cells.size * gain)
    return x, D


def farthest(along: Along, most: Tensor, slack: float) -> Tensor:
    """The largest extra bits of x [n] at u in [0, most] where D costs at most ``slack`` bits more."""
    low, high, best = torch.zeros_like(most).double(), most.double(), torch.zeros_like(most).double()
    u = high
    for _ in range(HALVINGS):
        x, D = along(u)
        held = slack >= D
        best = torch.where(held, torch.maximum(best, x), best)
        low, high = torch.where(held, u, low), torch.where(held, high, u)
        u = (low + high) / 2
    return best


@dataclass(frozen=True, eq=False)
class WorstGaussian:
    """Over all Gaussians: in closed form, and a function of Mahalanobis' distance alone.

    With z = x − μ, q = zᵀS⁻¹z and v = u / (n − u), the fit without u copies of x has mean μ − v z and
    covariance (1 + v)(S − v z zᵀ), v < 1/q. Against the fit to D (μ, S) that costs, in nats,

        x: ½ [d ln(1+v) + ln(1 − vq) + (1+v) q / (1 − vq) − q],
        D: n/2 [d ln(1+v) + ln(1 − vq) + d / (1+v) − d + vq / (1 − vq)].

    Bits are those of a grid of step ``delta`` under the density; S must have full rank.
    """

    trusted: Observations
    delta: float
    tolerance: float = 0.001
    name: str = "worst case over Gaussians"

    def score(self, seen: Observations) -> Tensor:
        """Bits of every row, summed over positions: [n]."""
        rows = self.trusted.rows().double()
        n, d = rows.shape
        S = torch.cov(rows.T, correction=0).reshape(d, d)
        plain = 0.5 * d * _log2(2 * torch.pi) + 0.5 * float(torch.logdet(S)) * LOG2E - d * _log2(self.delta)
        least = n * (plain + 0.5 * d * LOG2E)
        if not 0 < least < float("inf"):
            raise ExplanationError(
                f"worst case over Gaussians: trusted data of {n} rows take {least:g} bits; expected a "
                "covariance of full rank, and a step finer than the data's spread"
            )
        one = Observations(seen.rows())
        q = mahalanobis(Observations(rows)).score(one)

        def along(v: Tensor) -> tuple[Tensor, Tensor]:
            rest = 1 - v * q
            shape = d * torch.log1p(v) + torch.log(rest)
            x = shape + (1 + v) * q / rest - q
            D = n * (shape + d / (1 + v) - d + v * q / rest)
            return x * LOG2E / 2, D * LOG2E / 2

        most = (1 - 1e-12) / q.clamp_min(1e-12)
        return seen.by_datum(plain + q * LOG2E / 2 + farthest(along, most, self.tolerance * least))


LOG2E = 1.4426950408889634


def _log2(x: float) -> float:
    return float(torch.log2(torch.tensor(x, dtype=torch.float64)))
