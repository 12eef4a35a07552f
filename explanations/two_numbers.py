"""One-layer ReLU RNNs that compare two numbers, worked out exactly from their weights.

h_1 = relu(W_ih x_1), h_2 = relu(W_hh h_1 + W_ih x_2), logits = W_oh h_2, without biases. The difference of
the logits is a homogeneous piecewise linear function of (x_1, x_2): one pair of coefficients on each cone of
directions. Source: J. Hilton, "AlgZoo" (2026), on M(2,2), whose steps :func:`surprise` follows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from assay.mdl.lengths import Floats
from assay.mdl.surprise import Step, Surprise, choices, equality_surprise

from .errors import ExplanationError

DIAGONAL = (math.pi / 4, -3 * math.pi / 4, -7 * math.pi / 4)
"""Directions in which the two numbers are equal; a piece may begin a turn early."""


@dataclass(frozen=True)
class Cone:
    """Directions from one angle to another on which logit_1 − logit_2 = a x_1 + b x_2."""

    start: float
    stop: float
    a: float
    b: float

    @property
    def decides(self) -> bool:
        """Whether the two numbers can be equal inside: there, and only there, a + b has to vanish."""
        return any(self.start < angle < self.stop for angle in DIAGONAL)


@dataclass(frozen=True, eq=False)
class Comparer:
    """The weights W_ih [h], W_hh [h, h], W_oh [2, h]; ``smaller``: logit i is for x_i being the smaller."""

    W_ih: Floats
    W_hh: Floats
    W_oh: Floats
    smaller: bool = True

    def __post_init__(self) -> None:
        h = self.W_ih.size
        shapes = tuple(w.shape for w in (self.W_ih, self.W_hh, self.W_oh))
        if shapes != ((h,), (h, h), (2, h)):
            raise ExplanationError(f"two numbers: weights {shapes}, expected [h], [h, h] and [2, h]")
        if not self.W_ih.all():
            raise ExplanationError("two numbers: a neuron that reads nothing (W_ih = 0) has no scale")

    def standardised(self) -> Comparer:
        """The same function with |W_ih| = 1: a ReLU's scale moves through it."""
        size = np.abs(self.W_ih)
        W_hh = self.W_hh * size[None, :] / size[:, None]
        return Comparer(self.W_ih / size, W_hh, self.W_oh * size[None, :], self.smaller)

    def cones(self) -> list[Cone]:
        """The linear pieces, by angle from −π to π; neighbours with the same neurons on are one."""
        edges = sorted({-math.pi, math.pi, *self._edges()})
        found: list[Cone] = []
        for start, stop in itertools.pairwise(edges):
            a, b = self._coefficients((start + stop) / 2)
            if found and (found[-1].a, found[-1].b) == (a, b):
                found[-1] = Cone(found[-1].start, stop, a, b)
            else:
                found.append(Cone(start, stop, a, b))
        return found

    def _edges(self) -> list[float]:
        """Angles at which some neuron turns on or off at either step."""
        edges = [-math.pi / 2, math.pi / 2]
        for side in (1.0, -1.0):
            first = np.maximum(self.W_ih * side, 0.0)
            edges += [math.atan2(-pre / w, side) for pre, w in zip(self.W_hh @ first, self.W_ih, strict=True)]
        return edges

    def _coefficients(self, angle: float) -> tuple[float, float]:
        side = 1.0 if math.cos(angle) > 0 else -1.0
        per_x1 = side * (self.W_hh @ np.maximum(self.W_ih * side, 0.0))
        on = per_x1 * math.cos(angle) + self.W_ih * math.sin(angle) > 0
        reads = (self.W_oh[0] - self.W_oh[1]) * on
        return float(reads @ per_x1), float(reads @ self.W_ih)

    def error_rate(self) -> float:
        """How often it is wrong on a pair of standard Gaussians: a share of all directions, exactly."""
        wrong = 0.0
        for cone in self.cones():
            root = math.atan2(-cone.a, cone.b)
            turns = [root, root - math.pi, root + math.pi, *DIAGONAL]
            inside = [angle for angle in turns if cone.start < angle < cone.stop]
            edges = sorted({cone.start, cone.stop, *inside})
            for start, stop in itertools.pairwise(edges):
                middle = (start + stop) / 2
                first = cone.a * math.cos(middle) + cone.b * math.sin(middle) >= 0
                smaller = math.cos(middle) < math.sin(middle)
                wrong += stop - start if first != (smaller == self.smaller) else 0.0
        return wrong / (2 * math.pi)


def surprise(comparer: Comparer, given: float = 0.0) -> Surprise:
    """The surprise account of why such a network compares two numbers; ``given``: of what was then seen.

    The network is standardised (free). The signs of all weights, and which recurrent weights exceed 1, tell
    the form of the pieces: a bit each. In a piece where the numbers are never equal it is enough to see
    which coefficient is larger: a bit. Where they can be, the coefficients must cancel.
    """
    standard = comparer.standardised()
    signs = standard.W_ih.size + standard.W_hh.size + standard.W_oh.size
    cones = _around(standard.cones())
    live = [cone for cone in cones if cone.a or cone.b]
    steps = [
        choices("the sign of every weight", signs),
        choices("whether each recurrent weight is larger than 1", standard.W_hh.size),
        choices("which coefficient is larger, in each piece without ties", sum(not c.decides for c in live)),
    ]
    return Surprise((*steps, *(_cancels(cone) for cone in live if cone.decides)), given)


def _around(cones: Sequence[Cone]) -> list[Cone]:
    """The first and the last piece are one where they meet at ±π with the same coefficients."""
    first, last = cones[0], cones[-1]
    if len(cones) < 2 or (first.a, first.b) != (last.a, last.b):
        return list(cones)
    return [Cone(last.start - 2 * math.pi, first.stop, first.a, first.b), *cones[1:-1]]


def _cancels(cone: Cone) -> Step:
    """In a piece with ties, a = −b but for so small a part."""
    return Step(f"coefficients {cone.a:.6g} and {cone.b:.6g} cancel", equality_surprise(-cone.a, cone.b))
