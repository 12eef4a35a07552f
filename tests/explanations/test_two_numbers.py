"""Pieces and error rates of RNNs that compare two numbers, against running them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from assay.explanations import ExplanationError
from assay.explanations.two_numbers import Comparer, surprise


def drawn(seed: int, h: int, smaller: bool = True) -> Comparer:
    g = np.random.default_rng(seed)
    return Comparer(g.normal(size=h), g.normal(size=(h, h)), g.normal(size=(2, h)), smaller)


def difference(c: Comparer, x: np.ndarray) -> np.ndarray:
    h = np.maximum(x[:, :1] * c.W_ih, 0)
    h = np.maximum(h @ c.W_hh.T + x[:, 1:] * c.W_ih, 0)
    return h @ (c.W_oh[0] - c.W_oh[1])


def circle(n: int) -> tuple[np.ndarray, np.ndarray]:
    angle = (np.arange(n) + 0.5) * (2 * math.pi / n) - math.pi
    return angle, np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize("h", [1, 2, 5])
@pytest.mark.parametrize("seed", range(8))
def test_pieces_are_the_network(seed, h):
    made = drawn(seed, h, smaller=bool(seed % 2))
    angle, x = circle(2**14)
    wanted = difference(made, x)
    for network in (made, made.standardised()):
        cones = network.cones()
        edges = [c.stop for c in cones[:-1]]
        piece = np.searchsorted(edges, angle)
        a, b = (np.array([getattr(c, key) for c in cones])[piece] for key in "ab")
        assert a * x[:, 0] + b * x[:, 1] == pytest.approx(wanted, abs=1e-9)
        wrong = (wanted >= 0) != ((x[:, 0] < x[:, 1]) == made.smaller)
        assert network.error_rate() == pytest.approx(wrong.mean(), abs=1e-3)
    assert np.abs(made.standardised().W_ih) == pytest.approx(1)


def test_a_looser_equality_is_less_surprising():
    """A weight that fits to a part in ten thousand was harder to find than one that fits to a tenth."""
    c = 1.0001
    W = np.array([1.0, -1.0])
    read = np.array([[1.0, -1.0], [-1.0, 1.0]])
    tight = Comparer(W, np.array([[-0.5 * c, 1.5], [1.5, -0.5 * c]]), read)
    loose = Comparer(W, np.array([[-0.5 * c, 1.5], [1.5, -0.6]]), read)
    assert surprise(tight).total > surprise(loose).total + 5


def test_weights_of_other_shapes_are_refused():
    with pytest.raises(ExplanationError, match=r"expected \[h\], \[h, h\] and \[2, h\]"):
        Comparer(np.ones(2), np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(ExplanationError, match="has no scale"):
        Comparer(np.array([1.0, 0.0]), np.ones((2, 2)), np.ones((2, 2)))
