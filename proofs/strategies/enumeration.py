"""The strategy that runs the network on every sequence: what other proofs are compared with."""

from __future__ import annotations

import torch
from assay.proofs.faults import InputError

from .bounding import Semantics
from .costs import Meter
from .listing import LIMIT
from .max_of_k import Shape
from .strategy import Subject

__all__ = ["BruteForce"]

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


def _listable(shape: Shape, name: str) -> Shape:
    if shape.sequences > LIMIT:
        raise InputError(
            f"strategy {name}: {shape.v}^{shape.K} sequences are too many to list, expected at most {LIMIT}"
        )
    return shape
