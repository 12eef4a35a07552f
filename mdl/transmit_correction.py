"""Corrections on the wire: what the receiver is told beyond its prediction, for each target.

What arrives is the target itself: integers [rows, width] on a grid, answers [rows], or outcomes [rows] that
the sender drew from the model's distribution, since a distribution is not a thing that can be told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .answers import AnswerTarget, answers
from .grid import quantise, restore
from .outcomes import drawn, outcomes
from .residual import on_grid
from .tally import Ints
from .target import CategoricalTarget, GridTarget, Target, kl_bits
from .transmit import flags
from .transmit_keyed import placed, stretches
from .wire import Wire, double
from .wire import bits as plain_bits


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be restored, and for outcomes the rows on which KL is infinite (``denied`` [rows])."""

    integers: Tensor
    denied: Ints | None = None


def wanted(target: Target, predicted: Tensor, truth: Tensor, seed: int, first: int = 0) -> Wanted:
    """What the receiver of predictions has to be told; ``predicted`` and ``truth`` [rows, width].

    Outcomes are drawn from ``truth`` with ``seed``; ``first`` is the place of the first row among all.
    """
    match target:
        case GridTarget(delta):
            return Wanted(quantise(truth, delta).cpu())
        case AnswerTarget():
            return Wanted(answers(truth).cpu())
        case CategoricalTarget():
            denied = ~torch.isfinite(kl_bits(truth, predicted))
            return Wanted(torch.from_numpy(drawn(truth, seed, first)), denied.cpu().numpy().astype(np.int64))
    raise TypeError(f"a target that has no bitstream: {type(target).__name__}")


TARGETS = ("activations", "grid", "outcomes", "answers")


def target_told(wire: Wire, target: Target | None, sending: bool) -> Target | None:
    """Which target is corrected, in two bits, and its grid; None where it is the activations themselves."""
    index = None
    if sending:
        index = np.array([TARGETS.index("activations" if target is None else target.name)])
    match TARGETS[int(wire.uniform(index, len(TARGETS), 1)[0])]:
        case "grid":
            return GridTarget(double(wire, None if target is None else target.delta))
        case "outcomes":
            return CategoricalTarget()
        case "answers":
            return AnswerTarget()
    return None


def target_bits(target: Target | None) -> float:
    """What :func:`target_told` takes, and the flag that says whether outcomes are denied anywhere."""
    match target:
        case GridTarget():
            return 2.0 + 64
        case CategoricalTarget():
            return 2.0 + 1
    return 2.0


def correction(wire: Wire, target: Target, predicted: Tensor, told: Wanted | None) -> Tensor:
    """The target [rows, …] of predictions [rows, width] that both ends made from the message before."""
    match target:
        case GridTarget(delta):
            return _residual(wire, predicted, delta, None if told is None else told.integers)
        case AnswerTarget():
            return answers_told(wire, predicted, None if told is None else told.integers.numpy())
        case CategoricalTarget():
            return _outcomes(wire, predicted, told)
    raise TypeError(f"a target that has no bitstream: {type(target).__name__}")


def values(target: Target, restored: Tensor) -> Tensor:
    """A restored target as numbers: float64 on its grid; outcomes and answers as they are."""
    return restored if target.delta is None else restore(restored, target.delta)


def _residual(wire: Wire, predicted: Tensor, delta: float, told: Tensor | None) -> Tensor:
    """Integer residuals, under codes that may know where each prediction lies between grid points.

    ``told`` is used up: it may be most of what fits into memory.
    """
    expected = torch.empty(predicted.shape, dtype=torch.int64)
    cell = torch.empty(predicted.shape, dtype=torch.uint8)
    for rows in stretches(*predicted.shape):
        expected[rows], cell[rows] = on_grid(predicted[rows], delta)
    residual = None if told is None else told.sub_(expected).numpy()
    expected += torch.from_numpy(placed(wire, cell.numpy(), residual))
    return expected


def answers_told(wire: Wire, predicted: Tensor, told: Ints | None, p: float | None = None) -> Tensor:
    """A flag for each row, then the right answer among the others where the guess is wrong.

    Flags are adaptive, or each is up with the probability ``p`` that both ends know.
    """
    guess, others = answers(predicted).cpu().numpy(), predicted.shape[1] - 1
    up = None if told is None else (told != guess).astype(np.int64)
    wrong = (flags(wire, up, len(guess)) if p is None else wire.bernoulli(up, np.full(len(guess), p))) == 1
    place = None if told is None else told[wrong] - (told[wrong] > guess[wrong])
    right = wire.uniform(place, max(others, 1), int(wrong.sum()))
    guess[wrong] = right + (right >= guess[wrong])
    return torch.from_numpy(guess)


def _outcomes(wire: Wire, predicted: Tensor, told: Wanted | None) -> Tensor:
    """Outcomes under the predicted distribution; where it denies what the model does, flags, and they raw."""
    rows, size = predicted.shape
    denied = np.zeros(rows, dtype=np.int64)
    given = None if told is None else told.denied
    if plain_bits(wire, None if given is None else np.array([int(given.any())]), 1)[0]:
        denied = flags(wire, given, rows)
    received = np.zeros(rows, dtype=np.int64)
    plain, raw = np.nonzero(denied == 0)[0], np.nonzero(denied)[0]
    symbols = None if told is None else told.integers.numpy()
    kept = predicted[torch.from_numpy(plain).to(predicted.device)]
    received[plain] = outcomes(wire, None if symbols is None else symbols[plain], kept)
    received[raw] = wire.uniform(None if symbols is None else symbols[raw], size, raw.size)
    return torch.from_numpy(received)
