"""Sparse codes of rows that a sender may choose among: orthogonal matching pursuit with a beam.

With beam and depth as wide as the dictionary every set of parts is tried. Source: Y. Pati, R. Rezaiifar,
P. Krishnaprasad, Asilomar 1993 (orthogonal matching pursuit); coefficients here are not negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from assay.mdl import Code
from torch import Tensor

RIDGE = 1e-9
OUT = 1e30
AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Candidates:
    """For each row [n] several codes: parts [n, codes, depth], −1 where fewer are used, and their values."""

    part: Tensor
    value: Tensor

    def code(self, parts: int) -> Code:
        """All of them as one code, [n · codes] rows."""
        n, codes, depth = self.part.shape
        row = torch.arange(n * codes, device=self.part.device).repeat_interleave(depth)
        part, value = self.part.flatten(), self.value.flatten()
        used = part >= 0
        return Code(row[used], part[used], value[used], n * codes, parts)

    def rows(self, some: slice) -> Candidates:
        """Those of some rows."""
        return Candidates(self.part[some], self.value[some])

    def take(self, chosen: Tensor) -> Candidates:
        """One code for each row, by its number [n]."""
        rows = torch.arange(len(chosen), device=chosen.device)
        return Candidates(self.part[rows, chosen][:, None], self.value[rows, chosen][:, None])


@dataclass(frozen=True)
class Beam:
    """Up to ``depth`` parts on a row; of each size the ``width`` sets that leave least are kept."""

    depth: int
    width: int = 8

    def candidates(self, x: Tensor, rows: Tensor) -> Candidates:
        """Codes of x [n, d] in rows [parts, d] of unit norm, the empty one first; float64."""
        rows = rows.to(x.device).double()
        found = [self._candidates(some.double(), rows) for some in torch.split(x, AT_ONCE)]
        return Candidates(torch.cat([c.part for c in found]), torch.cat([c.value for c in found]))

    def _candidates(self, x: Tensor, rows: Tensor) -> Candidates:
        sets = torch.zeros(len(x), 1, 0, dtype=torch.int64, device=x.device)
        left, depth = x[:, None], min(self.depth, len(rows))
        part = [torch.full((len(x), 1, depth), -1, device=x.device)]
        value = [torch.zeros_like(part[0], dtype=torch.float64)]
        for size in range(1, depth + 1):
            sets, values, left, possible = self._wider(x, rows, sets, left)
            room = (0, depth - size)
            part.append(torch.nn.functional.pad(torch.where(possible, sets, -1), room, value=-1))
            value.append(torch.nn.functional.pad(torch.where(possible, values, 0.0), room))
        return Candidates(torch.cat(part, 1), torch.cat(value, 1))

    def _wider(
        self, x: Tensor, rows: Tensor, sets: Tensor, left: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sets with one part more [n, width, size], their values, what is left, and which are possible."""
        fit = (left @ rows.T).scatter(2, sets, -OUT)
        more = fit.topk(min(self.width, len(rows)), dim=2).indices
        wide = sets[:, :, None].expand(-1, -1, more.shape[2], -1)
        tried = torch.cat([wide, more[..., None]], -1).flatten(1, 2).sort(-1).values
        values, rest = _least_squares(x, rows[tried])
        cost = rest.square().sum(-1)
        impossible = (values < 0).any(-1) | (tried.diff(dim=-1) == 0).any(-1) | _repeated(tried)
        kept = (cost + OUT * impossible).argsort(1)[:, : self.width]
        sets, values, left = (_pick(t, kept) for t in (tried, values, rest))
        return sets, values, left, ~impossible.gather(1, kept)[..., None]


def _least_squares(x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Values [n, sets, size] of x [n, d] in chosen [n, sets, size, d], and the residual [n, sets, d]."""
    gram = chosen @ chosen.transpose(-1, -2)
    gram = gram + RIDGE * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    values = torch.linalg.solve(gram, chosen @ x[:, None, :, None])[..., 0]
    return values, x[:, None] - (values[..., None] * chosen).sum(2)


def _repeated(sets: Tensor) -> Tensor:
    """Which sets [n, sets, size] (sorted) came before on their row: they are told apart by a hash."""
    weight = torch.arange(1, sets.shape[-1] + 1, device=sets.device, dtype=torch.float64).sqrt()
    key = ((sets.double() + 1).log() * weight).sum(-1)
    order = key.argsort(dim=1, stable=True)
    same = torch.zeros_like(sets[..., 0], dtype=torch.bool)
    same[:, 1:] = key.gather(1, order).diff(dim=1).abs() < 1e-12
    return torch.zeros_like(same).scatter(1, order, same)


def _pick(values: Tensor, kept: Tensor) -> Tensor:
    return values.gather(1, kept[..., None].expand(-1, -1, values.shape[-1]))
