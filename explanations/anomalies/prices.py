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
class Cells:
    """Which entries of a code's tables some data take: one cell for each datum, table and symbol.

    Of each cell [cells]: its ``datum``; ``table``, a number for each (datum, table); how many ``times`` the
    datum holds the symbol; its ``weight`` W = (M + 1) p and the least weight that it may have, ``floor``; how
    often trusted data hold it, ``seen``. Of each (datum, table) [tables]: its datum, ``owner``, and the M
    symbols that trusted data hold, ``size``.
    """

    datum: Tensor
    table: Tensor
    times: Tensor
    weight: Tensor
    floor: Tensor
    seen: Tensor
    owner: Tensor
    size: Tensor


@dataclass(frozen=True, eq=False)
class KeyedPrices:
    """A code for the integers of each key (a part, a coordinate), shared among keys as is shortest.

    ``trusted`` are the integers that each code was fitted to.
    """

    group: Ints
    codes: tuple[MixedCode, ...]
    trusted: tuple[Histogram, ...]

    @classmethod
    def fit(cls, keys: Tensor, symbols: Tensor, count: int) -> KeyedPrices:
        """From trusted integers and their keys, both [m], with ``count`` keys."""
        tally = keyed(keys.flatten(), symbols.flatten())
        ways = sharings(tally, count, frozen=True)
        few = list(ways) if count <= MOST_SEPARATE else list(itertools.islice(ways, 1))
        way = min(few, key=lambda way: way.header + way.bits(tally))
        owner, told = split(tally)
        mine = [way.code_of[owner] == g for g in range(len(way.codes))]
        seen = tuple(Histogram.merged(told[m], tally.counts[m]) for m in mine)
        pairs = zip(way.codes, seen, strict=True)
        codes = tuple(MixedCode(code, held.total) for code, held in pairs if isinstance(code, Frozen))
        return cls(way.code_of, codes, seen)

    def prices(self, keys: Tensor, symbols: Tensor) -> Tensor:
        """Bits of every integer: float64, in the shape of ``symbols``."""
        key, symbol = (t.cpu().numpy().ravel() for t in (keys, symbols))
        bits = np.zeros(symbol.size)
        for g in np.unique(self.group[key]) if key.size else ():
            mine = self.group[key] == g
            bits[mine] = self.codes[g].prices(symbol[mine])
        return torch.from_numpy(bits).reshape(symbols.shape)

    def cells(self, datum: Tensor, keys: Tensor, symbols: Tensor) -> Cells:
        """The entries that integers take, each with its datum and key; all of one shape."""
        at, key, symbol = (t.cpu().numpy().ravel() for t in (datum, keys, symbols))
        entries = np.stack([at, self.group[key], symbol]) if key.size else np.zeros((3, 0), np.int64)
        (owner, group, told), times = np.unique(entries, axis=1, return_counts=True)
        tables, table = np.unique(np.stack([owner, group]), axis=1, return_inverse=True)
        size = np.array([code.seen for code in self.codes], np.float64)
        price, seen = np.zeros(told.size), np.zeros(told.size)
        for g in np.unique(group):
            mine = group == g
            price[mine] = self.codes[g].prices(told[mine])
            seen[mine] = _counted(self.trusted[g], told[mine])
        weight = (size[group] + 1) * np.exp2(-price)
        floor = np.exp2(-signed_delta(told).astype(np.float64))
        whole = (torch.from_numpy(n.astype(np.int64)) for n in (owner, table.ravel(), tables[0]))
        datum, number, whose = whole
        drawn = (times.astype(np.float64), weight, floor, seen, size[tables[1]])
        held, weights, floors, known, sizes = (torch.from_numpy(f) for f in drawn)
        return Cells(datum, number, held, weights, floors, known, whose, sizes)


def _counted(histogram: Histogram, symbols: Ints) -> Floats:
    """How often a histogram holds each symbol."""
    if not histogram.symbols.size:
        return np.zeros(symbols.size)
    place = np.searchsorted(histogram.symbols, symbols).clip(max=histogram.symbols.size - 1)
    return np.where(histogram.symbols[place] == symbols, histogram.counts[place], 0).astype(np.float64)


@dataclass(frozen=True, eq=False)
class SupportPrices:
    """A Bernoulli for each part, at the Krichevsky–Trofimov estimate of the trusted rows."""

    on: Tensor
    off: Tensor
    counts: Tensor
    trusted: int

    @classmethod
    def fit(cls, counts: Tensor, rows: int) -> SupportPrices:
        """From how many of the trusted ``rows`` use each part [parts]."""
        used = counts.double().cpu()
        p = (used + 0.5) / (rows + 1)
        return cls(-p.log2(), -(1 - p).log2(), used, rows)

    def prices(self, row: Tensor, part: Tensor, rows: int) -> Tensor:
        """Bits of the active set of every row [rows]; (row, part) [m] are what is active."""
        silent = self.off.sum().expand(rows).clone()
        return silent.index_add(0, row.cpu(), (self.on - self.off)[part.cpu()])

    def cells(self, datum: Tensor, part: Tensor, data: int, positions: int) -> Cells:
        """The entries that active sets take: each part is a table of two symbols, on and off."""
        parts, rows = len(self.on), float(self.trusted)
        on = torch.zeros(data, parts, dtype=torch.float64)
        on.index_put_((datum, part), torch.ones(len(part), dtype=torch.float64), accumulate=True)
        times = torch.stack([on, positions - on]).flatten(1)
        seen = torch.stack([self.counts, rows - self.counts])[:, None].expand(2, data, parts).flatten(1)
        taken, table = times > 0, torch.arange(data * parts).expand(2, -1)
        held = seen[taken]
        floor = torch.full_like(held, 0.5)
        owner = torch.arange(data).repeat_interleave(parts)
        size = torch.full((data * parts,), rows, dtype=torch.float64)
        found = table[taken]
        return Cells(owner[found], found, times[taken], held + 0.5, floor, held, owner, size)
