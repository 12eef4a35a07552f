"""The strategies that look at every sequence: what other proofs are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from assay.proofs.faults import InputError
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Shape
from .paths import logit_cost, score_cost
from .reals import Reals, reals
from .strategy import Semantics, Subject

__all__ = ["BruteForce", "ByPaths", "right_by_paths"]

LIMIT = 1 << 28
BATCH = 1 << 16


class BruteForce:
    """Run the network on every sequence, as torch computes it here."""

    name = "brute-force"
    argument = "every sequence is run"
    semantics: tuple[Semantics, ...] = ("float32",)

    def cost(self, shape: Shape) -> int:
        """One forward pass for each sequence, read at the last position alone."""
        v, K, d, e = shape.v, shape.K, shape.d, shape.e
        meter = Meter()
        meter.each("embedding", K * d)
        meter.product("keys and values", 2 * K, d, e)
        meter.product("query", 1, d, e)
        meter.product("scores", 1, e, K)
        meter.each("softmax", K, times=5)
        meter.product("mix", 1, K, e)
        meter.product("output", 1, e, d)
        meter.each("residual stream", d)
        meter.product("logits", 1, d, v)
        meter.each("comparison", v)
        return meter.total * shape.sequences

    def unexplained(self, shape: Shape) -> int:
        """Every logit of every sequence."""
        return shape.v * shape.sequences

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many sequences the network gets right.  Raises `InputError` if there are too many."""
        shape = _listable(subject.shape, self.name)
        meter.each("forward passes", self.cost(shape))
        found = 0
        for first in range(0, shape.sequences, BATCH):
            numbers = torch.arange(first, min(first + BATCH, shape.sequences))
            places = shape.v ** torch.arange(shape.K)
            tokens = numbers[:, None] // places % shape.v
            logits = subject.network(tokens.to(subject.network.device))
            logits = (logits if logits.ndim == 2 else logits[:, -1]).cpu()
            best = logits.topk(2, dim=-1)
            right = (best.indices[:, 0] == tokens.amax(1)) & (best.values[:, 0] > best.values[:, 1])
            found += int(right.sum())
        return found


class ByPaths:
    """Add up the numerators of every sequence, one position after the other."""

    name = "by-paths"
    argument = "numerators, for every sequence and output"
    semantics: tuple[Semantics, ...] = ("real",)

    def cost(self, shape: Shape) -> int:
        """A sum and a comparison for each output of each sequence, fewer for what they begin with."""
        meter, v, K = Meter(), shape.v, shape.K
        logit_cost(meter, shape)
        score_cost(meter, shape)
        meter.each("numerators", v * v * v * K, times=3)
        meter.each("sums", sum(v**p for p in range(2, K + 1)) * v)
        meter.each("comparison", v ** (K + 1))
        return meter.total

    def unexplained(self, shape: Shape) -> int:
        """Every logit of every sequence."""
        return shape.v * shape.sequences

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many sequences are right in exact arithmetic.  Raises `InputError` if there are too many."""
        shape = _listable(subject.shape, self.name)
        meter.each("sequences", self.cost(shape))
        table = reals(subject.paths)
        return sum(int(right.sum()) for q in range(shape.v) for right in right_by_paths(table, q))


def right_by_paths(table: Reals, q: int) -> Iterator[NDArray[np.bool_]]:
    """Whether the model is surely right, for sequences that end in q.

    Gives [v, v], over the two positions before the last, for each choice of the others; [v] for K = 2.
    """
    v, K = len(table.EU), len(table.PV)
    factor = np.exp(table.A[q] + table.B[q][:, None] - (table.A[q].max() + table.B[q].max()))  # [p, t]
    logits = table.EU[q] + table.EV + table.PV[:, None]  # [p, t, j]
    # The last column is the softmax denominator.
    terms = np.concatenate([factor[..., None] * logits, factor[..., None]], axis=-1)
    tokens = np.arange(v)
    ends, axes = terms[K - 1, q], min(2, K - 1)
    shared = terms[K - 2] if axes == 1 else terms[K - 3][:, None] + terms[K - 2]
    highest = tokens if axes == 1 else np.maximum(tokens[:, None], tokens)
    for others in product(range(v), repeat=K - 1 - axes):
        sums = shared + (ends + sum(terms[p, t] for p, t in enumerate(others)))
        yield _right(sums, np.maximum(highest, max((q, *others))), table.slack)


def _right(sums: NDArray[np.float64], m: NDArray[np.int64], slack: float) -> NDArray[np.bool_]:
    logits, Z = sums[..., :-1], sums[..., -1]
    at = m[..., None]
    own = np.take_along_axis(logits, at, -1)[..., 0]
    np.put_along_axis(logits, at, -np.inf, -1)
    right: NDArray[np.bool_] = logits.max(-1) - own < -slack * Z
    return right


def _listable(shape: Shape, name: str) -> Shape:
    if shape.sequences > LIMIT:
        raise InputError(
            f"strategy {name}: {shape.v}^{shape.K} sequences are too many to list, expected at most {LIMIT}"
        )
    return shape
