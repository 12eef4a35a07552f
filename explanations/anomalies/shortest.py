"""The bits of activations under a dictionary, each row told by the shortest of many sparse codes.

An encoder that codes badly makes ordinary data look strange. Here the sender tries many sets of parts for
each row and tells it in the way that is shortest under the prices, and prices are fitted again to what was
told: the message about trusted data shrinks in every round (as in entropy-constrained quantisation, P. Chou,
T. Lookabaugh, R. Gray, IEEE Trans. ASSP 37, 1989). Everything is chosen by trusted data alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code, Dictionary, GridTarget, SiteProblem
from assay.mdl.calibrate import calibrate
from assay.mdl.site import Channel
from torch import Tensor

from .beam import AT_ONCE, Beam, Candidates
from .observations import Observations
from .site_bits import SiteBits

ROUNDS = 10
PENALTIES = (0.0, 4.0, 8.0, 16.0)
"""Bits that a part is taken to cost at first; of the ends that these starts lead to the shortest is kept."""

CALIBRATED = 512


class Pursuit:
    """A dictionary [parts, d] of unit rows whose codes are found by search: a site explanation.

    Of the candidates it takes the one that is shortest at a rough price: 2 log2(1 + |residual| / delta) bits
    for each coordinate and ``penalty`` bits for each part.
    """

    kind, open_ended = "pursuit", False

    def __init__(self, rows: Tensor, delta: float, search: Beam, penalty: float, name: str) -> None:
        self.rows = torch.nn.functional.normalize(rows.detach().double(), dim=1)
        self.delta, self.search, self.penalty, self.name = delta, search, penalty, name

    def dictionary(self) -> Dictionary:
        """The rows; there is no bias."""
        return Dictionary(self.rows, torch.zeros(self.rows.shape[1], dtype=torch.float64))

    def code(self, x: Tensor) -> Code:
        """The roughly shortest candidate of each row."""
        return self.chosen(x, self.search.candidates(x, self.rows))

    def chosen(self, x: Tensor, tried: Candidates) -> Code:
        """The same from candidates that are there already."""
        rows = self.rows.to(x.device)
        best = [
            self._best(x[some], tried.rows(some), rows)
            for some in (slice(start, start + AT_ONCE) for start in range(0, len(x), AT_ONCE))
        ]
        part, value = torch.cat([c.part for c in best]), torch.cat([c.value for c in best])
        return Candidates(part, value).code(len(self.rows))

    def _best(self, x: Tensor, tried: Candidates, rows: Tensor) -> Candidates:
        left = x.double()[:, None] - (tried.value[..., None] * rows[tried.part.clamp_min(0)]).sum(2)
        price = 2 * torch.log2(1 + left.abs() / self.delta).sum(-1)
        return tried.take((price + self.penalty * (tried.part >= 0).sum(-1)).argmin(1))

    def recipe(self) -> dict[str, object]:
        """How it searches."""
        return {"kind": self.kind, "depth": self.search.depth, "width": self.search.width}


@dataclass(frozen=True, eq=False)
class ShortestCode:
    """A dictionary with fixed prices, and the search for each row's shortest code."""

    prices: SiteBits
    search: Beam

    @classmethod
    def fit(
        cls, rows: Tensor, trusted: Observations, delta: float, name: str, search: Beam | None = None
    ) -> ShortestCode:
        """Of rows [parts, d], on a grid of step ``delta``.  Raises :class:`ExplanationError`."""
        x = trusted.rows()
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != x.shape[1]:
            raise ExplanationError(f"dictionary {tuple(rows.shape)}, expected [parts, {x.shape[1]}]")
        search = search or Beam(min(4, x.shape[1]))
        pursuits = [Pursuit(rows, delta, search, penalty, name) for penalty in PENALTIES]
        tried = search.candidates(x, pursuits[0].rows)
        return min((cls._from(p, trusted, tried) for p in pursuits), key=lambda one: one.trusted_bits)

    @classmethod
    def _from(cls, start: Pursuit, trusted: Observations, tried: Candidates) -> ShortestCode:
        x = trusted.rows()
        problem = SiteProblem(x, GridTarget(start.delta), start.delta, trusted.positions)
        channel = Channel(start, start.delta, calibrate(start, problem, "auto", CALIBRATED).knobs)
        best = cls(SiteBits.of(channel, channel.rounded(start.chosen(x, tried)), x), start.search)
        for _ in range(ROUNDS):
            again = cls(SiteBits.of(channel, best.told(x, tried)[0], x), start.search)
            if again.trusted_bits >= best.trusted_bits - 1:
                break
            best = again
        return best

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.prices.name

    @property
    def parts_bits(self) -> float:
        """What the dictionary costs."""
        return self.prices.parts_bits

    @property
    def trusted_bits(self) -> float:
        """The whole message about the trusted data."""
        return self.prices.trusted_bits

    def named(self, name: str) -> ShortestCode:
        """The same under another name."""
        return replace(self, prices=replace(self.prices, name=name))

    def score(self, seen: Observations) -> Tensor:
        """Bits of every datum [n]: its rows told by their shortest codes."""
        return seen.by_datum(self.told(seen.rows())[1])

    def told(self, x: Tensor, tried: Candidates | None = None) -> tuple[Code, Tensor]:
        """The shortest codes of rows x [n, d] as integers, and their bits [n]."""
        pursuit = self.prices.channel.explanation
        assert isinstance(pursuit, Pursuit)
        tried = tried or self.search.candidates(x, pursuit.rows)
        starts, parts = range(0, len(x), AT_ONCE), self.prices.channel.parts
        pieces = [slice(start, start + AT_ONCE) for start in starts]
        done = [self._told(x[some], tried.rows(some)) for some in pieces]
        row = torch.cat([c.row + start for (c, _), start in zip(done, starts, strict=True)])
        part, value = (torch.cat([getattr(c, key) for c, _ in done]) for key in ("part", "value"))
        return Code(row, part, value, len(x), parts), torch.cat([bits for _, bits in done])

    def _told(self, x: Tensor, tried: Candidates) -> tuple[Code, Tensor]:
        channel, many = self.prices.channel, tried.part.shape[1]
        code = channel.rounded(tried.code(channel.parts))
        repeated = x.repeat_interleave(many, dim=0)
        bits = self.prices.bits(code, channel.residual(repeated, code)).reshape(len(x), many)
        least, chosen = bits.min(1)
        number = torch.arange(len(x)) * many + chosen
        kept = code.keep(torch.isin(code.row, number.to(code.row.device)))
        return Code(kept.row // many, kept.part, kept.value, len(x), code.parts), least
