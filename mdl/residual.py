"""What a prediction's place between two grid points says about the residual.

A prediction x̂ on the grid of step delta leaves the fraction f = x̂/delta − round(x̂/delta), which the
receiver knows as well. Near f = 1/2 the target is nearly as often the next integer up; near f = 0 hardly
ever. So the residual r may have a code for each of four distances |f|, and −r stands for r where f < 0 (the
mirror image). Without it, a basis that is not aligned with the grid (a rotation, say) pays for that.

A tally of residuals counts the pairs (coordinate · 8 + cell, residual); cell = 4 [f < 0] + distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from .grid import scaled
from .keyed import Sharing, keyed, linear_sharings, sharings, split
from .tally import Histogram, Ints

DISTANCES = 4
CELLS = 2 * DISTANCES
BY_FRACTION = " by fraction"


def on_grid(predicted: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Predictions on the grid, and which cell (0..7) the fraction of each lies in; both int64."""
    nearest, cell = nearest_cell(predicted, step)
    return nearest.long(), cell.long()


def nearest_cell(predicted: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """The same as float64 and int8: fewer passes over memory."""
    steps = scaled(predicted, step)
    nearest = steps.round()
    f = steps.sub_(nearest)
    below = f < 0
    distance = f.mul_(CELLS).to(torch.int8).abs_().clamp_(max=DISTANCES - 1)
    return nearest, distance.add_(below, alpha=DISTANCES)


def folded_keys(keys: Ints) -> tuple[Ints, Ints]:
    """coordinate · 4 + distance of coordinate · 8 + cell, and the sign of the mirror."""
    sign = 1 - 2 * (keys % CELLS // DISTANCES)
    return keys // CELLS * DISTANCES + keys % DISTANCES, sign


def plain(tally: Histogram) -> Histogram:
    """Residuals by coordinate alone."""
    keys, symbols = split(tally)
    return keyed(keys // CELLS, symbols, tally.counts)


def folded(tally: Histogram) -> Histogram:
    """Residuals by coordinate and distance, mirrored where f < 0."""
    keys, symbols = split(tally)
    keys, sign = folded_keys(keys)
    return keyed(keys, sign * symbols, tally.counts)


def residual_sharings(tally: Histogram, width: int) -> Iterator[Sharing]:
    """The ways to code the residuals of so many coordinates: as they are, or by fraction."""
    for way in sharings(plain(tally), width):
        yield replace(way, view=plain)
    yield from _by_fraction(sharings(folded(tally), width, contexts=DISTANCES))


def linear_residuals(tally: Histogram, width: int) -> Iterator[Sharing]:
    """Those whose cost is linear in the data."""
    for way in linear_sharings(plain(tally), width):
        yield replace(way, view=plain)
    yield from _by_fraction(sharings(folded(tally), width, frozen=True, contexts=DISTANCES))


def _by_fraction(ways: Iterator[Sharing]) -> Iterator[Sharing]:
    for way in ways:
        yield replace(way, name=way.name + BY_FRACTION, view=folded)


def shortest_residuals(tally: Histogram, width: int) -> Sharing:
    """The shortest way to code these residuals, all headers included."""
    ways = residual_sharings(tally, width)
    return min(ways, key=lambda way: (way.header + way.bits(tally), way.name))
