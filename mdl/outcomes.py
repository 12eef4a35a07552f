"""Outcomes under a predicted distribution: integer tables, drawing, and the wire.

A receiver that computes the same logits must read the same code, on any machine. So a logit becomes an
integer depth below the largest of its row, in steps of 2⁻²⁰ bits, by operations that IEEE 754 fixes; 2^−depth
becomes an integer through tables that decimal arithmetic fixes. No machine's own exponential is used.

An outcome of any probability, however small, costs what it should: depths are cut into levels of 16 bits, a
flag goes one level down, and an outcome is found in its level by halving. A level, with all below it, counts
at least as much as the most probable outcome that it might hold, so that no flag is rarer than a 24-bit coder
can tell; that costs 2·10⁻⁵ bits a row. Where a level holds less than it counts, one more flag says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from torch import Tensor

from .lengths import Floats
from .tally import Ints
from .wire import BitstreamError, Wire

LOG2E = 1.4426950408889634  # log2 e, the nearest double: not left to a machine's own logarithm
FINE = 20  # a depth is counted in 2⁻²⁰ bits
MANTISSA = 30
LEVEL = 16  # bits of depth in a level
DEEPEST = 4096  # depths beyond so many bits are as deep as that
NEVER = -1  # the depth of an outcome of probability 0
ROOM = 2**22  # cells of the tables that are held at a time


class PredictionError(ValueError):
    """Logits that are no distribution."""


def depths(logits: Tensor) -> Ints:
    """How far each logit lies below the largest of its row, in 2⁻²⁰ bits: [rows, K]; :data:`NEVER` for −inf.

    Raises :class:`PredictionError` for NaN, +inf, and rows in which nothing can happen.
    """
    given = logits.detach().cpu().double().numpy()
    top = given.max(1, keepdims=True)
    if not np.isfinite(top).all():
        bad = int((~np.isfinite(top)).sum())
        raise PredictionError(
            f"{bad} of {len(given)} rows of logits are no distribution (NaN, +inf, all −inf)"
        )
    below = np.minimum((top - given) * (LOG2E * 2.0**FINE), DEEPEST * 2.0**FINE)
    return np.where(np.isneginf(given), NEVER, np.rint(below).astype(np.int64))


@lru_cache(maxsize=1)
def _powers() -> tuple[Ints, Ints]:
    """2^(30 − k/2¹⁰) and 2^(30 − k/2²⁰) for k < 2¹⁰, rounded from decimals of 40 digits."""
    with localcontext() as context:
        context.prec = 40
        coarse, fine = (
            [
                int((Decimal(2) ** (MANTISSA - Decimal(k) / 2**places)).to_integral_value())
                for k in range(1024)
            ]
            for places in (10, 20)
        )
    return np.array(coarse), np.array(fine)


def mantissas(depth: Ints) -> Ints:
    """2^(30 − the fraction of a depth in bits), as integers above 2²⁹."""
    coarse, fine = _powers()
    fraction = depth & (2**FINE - 1)
    product: Ints = (coarse[fraction >> 10] * fine[fraction & 1023]) >> MANTISSA
    return product


def drawn(logits: Tensor, seed: int, first: int = 0) -> Ints:
    """Outcomes [rows] drawn from softmax(logits [rows, K]), row by row, the same on every machine.

    Row i takes the (first + i)-th number of the counter-based generator Philox 4×64 with the key ``seed``
    (Salmon et al., SC 2011), and finds it in the cumulated integer weights.
    """
    depth = depths(logits)
    weight = np.where(depth == NEVER, 0, (mantissas(depth) << 10) >> np.minimum(depth >> FINE, 62))
    cumulated = np.cumsum(weight, axis=1)
    total = cumulated[:, -1]
    at = np.floor(_uniform(seed, first, len(depth)) * total.astype(np.float64)).astype(np.int64)
    return np.asarray((cumulated <= np.minimum(at, total - 1)[:, None]).sum(1), dtype=np.int64)


def _uniform(seed: int, first: int, count: int) -> Floats:
    """Numbers first … first + count − 1 of the stream of a seed, in [0, 1)."""
    generator = np.random.Philox(key=seed % 2**64)
    generator.advance(first // 4)  # four numbers for each value of the counter
    raw = generator.random_raw(first % 4 + count)[first % 4 :]
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True, eq=False)
class Table:
    """Predicted distributions as integers: ``level`` and ``weight`` [rows, K]; what cannot be weighs 0.

    ``own`` and ``mass`` [rows, levels + 1], in units of each level: what its outcomes weigh, and what it
    counts together with all below it; 0 below the deepest.
    """

    level: Ints
    weight: Ints
    own: Floats
    mass: Floats

    @classmethod
    def of(cls, logits: Tensor) -> Table:
        """From logits [rows, K]."""
        depth = depths(logits)
        possible = depth != NEVER
        level = np.where(possible, depth >> (FINE + 4), 0)
        weight = np.where(possible, mantissas(depth) >> (depth >> FINE & LEVEL - 1), 0)
        return cls(level, weight, *_masses(level, weight))

    @property
    def deepest(self) -> Ints:
        """The last level of each row that holds an outcome."""
        return np.asarray((self.mass > 0).sum(1) - 1, dtype=np.int64)


def _masses(level: Ints, weight: Ints) -> tuple[Floats, Floats]:
    rows, steps = len(level), int(level.max(initial=0)) + 2
    cell = (np.arange(rows)[:, None] * steps + level).ravel()
    own = np.bincount(cell, weight.ravel(), minlength=rows * steps).reshape(rows, steps)
    mass = np.zeros((rows, steps))
    for step in reversed(range(steps - 1)):
        here = own[:, step] + mass[:, step + 1] * 2.0**-LEVEL
        mass[:, step] = np.where(here > 0, np.maximum(here, 2.0**MANTISSA), 0.0)
    return own.astype(np.float64), mass


def outcomes(wire: Wire, symbols: Ints | None, logits: Tensor) -> Ints:
    """Outcomes [rows] under softmax(logits [rows, K]); what has probability 0 cannot be said."""
    rows, size = logits.shape
    step = max(1, ROOM // max(size, 1))
    told = [
        _outcomes(wire, None if symbols is None else symbols[i : i + step], Table.of(logits[i : i + step]))
        for i in range(0, rows, step)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *told])


def _outcomes(wire: Wire, symbols: Ints | None, table: Table) -> Ints:
    wanted = None
    if symbols is not None:
        every = np.arange(len(symbols))
        if (table.weight[every, symbols] == 0).any():
            raise PredictionError("an outcome of predicted probability 0 has no code")
        wanted = table.level[every, symbols]
    level = _levels(wire, wanted, table)
    return _halved(wire, symbols, np.where(table.level == level[:, None], table.weight, 0))


def _levels(wire: Wire, wanted: Ints | None, table: Table) -> Ints:
    """The level of each row's outcome, one flag for each level above the deepest."""
    found, deepest = np.zeros(len(table.mass), dtype=np.int64), table.deepest
    going, step = np.nonzero(deepest > 0)[0], 0
    while going.size:
        p = table.mass[going, step + 1] * 2.0**-LEVEL / table.mass[going, step]
        deeper = wire.bernoulli(None if wanted is None else (wanted[going] > step).astype(np.int64), p)
        step += 1
        found[going[deeper == 1]] = step
        going = going[(deeper == 1) & (deepest[going] > step)]
    _check_held(wire, wanted is not None, table, found)
    return found


def _check_held(wire: Wire, sending: bool, table: Table, found: Ints) -> None:
    """One flag, always up, for each row whose level counts more than it holds."""
    every = np.arange(len(found))
    own, mass = table.own[every, found], table.mass[every, found]
    below = table.mass[every, found + 1] * 2.0**-LEVEL
    light = np.nonzero(own + below < mass)[0]
    p = own[light] / (mass[light] - below[light])
    if not wire.bernoulli(np.ones(light.size, dtype=np.int64) if sending else None, p).all():
        raise BitstreamError("an outcome that cannot be: the stream is damaged")


def _halved(wire: Wire, symbols: Ints | None, weight: Ints) -> Ints:
    """Which column of weights [rows, K], by one flag for each halving that leaves a choice."""
    rows, size = weight.shape
    bits = (size - 1).bit_length()
    sums = [np.pad(weight, ((0, 0), (0, 2**bits - size)))]
    for _ in range(bits):
        sums.append(sums[-1][:, ::2] + sums[-1][:, 1::2])
    node, every = np.zeros(rows, dtype=np.int64), np.arange(rows)
    for place, pairs in zip(reversed(range(bits)), reversed(sums[:-1]), strict=True):
        left, right = pairs[every, 2 * node], pairs[every, 2 * node + 1]
        choice = np.nonzero((left > 0) & (right > 0))[0]
        node = 2 * node + (left == 0)
        given = None if symbols is None else symbols[choice] >> place & 1
        node[choice] += wire.bernoulli(given, right[choice] / (left[choice] + right[choice]))
    if (node >= size).any():
        raise BitstreamError("an outcome that cannot be: the stream is damaged")
    return node
