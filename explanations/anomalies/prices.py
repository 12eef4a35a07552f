"""Codes that are fitted to trusted data and then fixed, with a finite price for everything.

A detector must price what the trusted data never held. So each code is the shortest frozen one of the
trusted symbols, mixed with a universal code at 1 in n + 1: p(s) = (n p_fitted(s) + 2^−|δ(s)|) / (n + 1). Both
are prefix codes, so the mixture obeys Kraft's inequality; nothing costs more than
Elias delta and log2(n + 1).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from assay.mdl.keyed import keyed, sharings, split
from assay.mdl.lengths import Floats, signed_delta
from assay.mdl.streams import Frozen
from assay.mdl.tally import Histogram, Ints
from torch import Tensor

MOST_SEPARATE = 32
"""So many keys may have codes of their own; more keys share one, which is fitted quickly."""


@dataclass(frozen=True, eq=False)
class MixedCode:
    """A frozen code fitted to ``seen`` symbols, mixed with Elias delta."""

    fitted: Frozen
    seen: int

    def prices(self, symbols: Ints) -> Floats:
        """Bits of each symbol [n], all finite."""
        n = self.seen
        told = Histogram(*np.unique(symbols, return_counts=True))
        own = self.fitted.prices(told.symbols)
        universal = signed_delta(told.symbols).astype(np.float64)
        mixed = np.log2(n + 1) - np.log2(n * np.exp2(-own) + np.exp2(-universal))
        return np.asarray(mixed[np.searchsorted(told.symbols, symbols)])


@dataclass(frozen=True, eq=False)
class KeyedPrices:
    """A code for the integers of each key (a part, a coordinate), shared among keys as is shortest."""

    group: Ints
    codes: tuple[MixedCode, ...]

    @classmethod
    def fit(cls, keys: Tensor, symbols: Tensor, count: int) -> KeyedPrices:
        """From trusted integers and their keys, both [m], with ``count`` keys."""
        tally = keyed(keys.flatten(), symbols.flatten())
        ways = sharings(tally, count, frozen=True)
        few = list(ways) if count <= MOST_SEPARATE else list(itertools.islice(ways, 1))
        way = min(few, key=lambda way: way.header + way.bits(tally))
        owner = split(tally)[0]
        seen = np.bincount(way.code_of[owner], tally.counts, len(way.codes)) if owner.size else [0]
        pairs = zip(way.codes, seen, strict=True)
        codes = tuple(MixedCode(code, int(n)) for code, n in pairs if isinstance(code, Frozen))
        return cls(way.code_of, codes)

    def prices(self, keys: Tensor, symbols: Tensor) -> Tensor:
        """Bits of every integer: float64, in the shape of ``symbols``."""
        key, symbol = (t.cpu().numpy().ravel() for t in (keys, symbols))
        bits = np.zeros(symbol.size)
        for g in np.unique(self.group[key]) if key.size else ():
            mine = self.group[key] == g
            bits[mine] = self.codes[g].prices(symbol[mine])
        return torch.from_numpy(bits).reshape(symbols.shape)


@dataclass(frozen=True, eq=False)
class SupportPrices:
    """A Bernoulli for each part, at the Krichevsky–Trofimov estimate of the trusted rows."""

    on: Tensor
    off: Tensor

    @classmethod
    def fit(cls, counts: Tensor, rows: int) -> SupportPrices:
        """From how many of the trusted ``rows`` use each part [parts]."""
        p = (counts.double().cpu() + 0.5) / (rows + 1)
        return cls(-p.log2(), -(1 - p).log2())

    def prices(self, row: Tensor, part: Tensor, rows: int) -> Tensor:
        """Bits of the active set of every row [rows]; (row, part) [m] are what is active."""
        silent = self.off.sum().expand(rows).clone()
        return silent.index_add(0, row.cpu(), (self.on - self.off)[part.cpu()])
