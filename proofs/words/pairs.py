"""Words by pairs of state and symbol: that each is led where it should, in any finite automaton.

Let c_s be the network's state after some word that leads to s (in a group the one symbol s), s x where x
leads from s, κ a number near how much factors stretch, and for all s and x

    c_s M[x] = κ (c_(s x) + Σ_b β_b c_b),   ||β||_1 <= ε.

The β are coordinates in a basis of the c_b. A state κ^(t-1) Σ_s α_s c_s moves by x to κ^t Σ_s α_s (c_(s x) +
Σ β c). So after a word x_1 … x_K that leads to s it is κ^(K-1) (c_s + Σ_b η_b c_b) with ||η||_1 <=
(1 + ε)^(K-1) - 1 = r, and with L = c U, s is told if for every j

    L_ss - L_sj  >  r max_t |L_ts - L_tj|.

Where the c do not span the network's state, the basis has coordinates as well, which may be moved anywhere:
if a factor makes at most ρ of one, r becomes r max(1 + ε, ρ) + ε. Nothing but the automaton is said of the
network: no basis has to be found in which factors are representations, and no norm of a matrix bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from typing import Any

import numpy as np
from assay.models import Network
from assay.models.automata import automaton
from assay.models.products import ComplexProduct
from assay.proofs.faults import InputError
from assay.proofs.strategies import Meter
from numpy.typing import NDArray
from torch import Tensor

from .fixed import ONE, PLACES, scaled
from .reading import Shape, read, whole

__all__ = ["Pairs", "basis"]

Exact = NDArray[Any]
"""Python's whole numbers in an array of objects."""

SPANNED = 1e-3
"""A state that is nearer than this, of the largest, to what others span is not in the basis."""


def basis(network: Network) -> tuple[int, ...]:
    """States whose c_s are a well-conditioned basis, and behind them coordinates for what they do not span.

    Coordinate i has the number of states + i. Found by pivoted QR.
    """
    from scipy.linalg import qr

    states = _states(network)
    _, r, chosen = qr(states.T, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(r))
    if not sizes.max() > 0:
        raise InputError("strategy pairs: the network's states are all zero")
    rank = int((sizes > SPANNED * sizes.max()).sum())
    kept = sorted(int(b) for b in chosen[:rank])
    spanned = qr(states[kept].T, mode="economic")[0]
    _, _, left = qr(np.eye(states.shape[1]) - spanned @ spanned.T, pivoting=True)
    return (*kept, *sorted(len(states) + int(i) for i in left[: states.shape[1] - rank]))


class Pairs:
    """The bound of one network in the coordinates of one basis."""

    def __init__(
        self, network: Network, shape: Shape, chosen: Sequence[int], float32: bool, meter: Meter
    ) -> None:
        self.shape, self.float32, self.meter = shape, float32, meter
        self.M, self.U, self.start, self.shift = _weights(network)
        self.task = automaton(shape.automaton)
        self.C, self.C_shift = self._reached()
        self.atoms = self._with_coordinates(chosen)
        self.moved = [self.atoms @ m for m in self.M]
        self.X = self._inverse(chosen)
        self.kappa = self._stretch()
        defects = [self._defects(x) for x in range(shape.n)]
        self.off, self.stray = (max(column) for column in zip(*defects, strict=True))
        self._metered()

    def answers(self, copies: int) -> list[bool]:
        """Which states are surely told right; no symbols can be apart, as every state is led to by some."""
        assert copies == 0
        rounded = max(map(self._rounded, range(self.shape.n))) if self.float32 else 0
        growth = max(ONE + self.off, self.stray) + rounded
        r = self._first() if self.float32 else 0
        for _ in range(self.shape.K - 1):
            r = scaled(r, growth) + self.off + rounded
        self.meter.each("powers", self.shape.K, times=2)
        return [self._told(s, r) for s in range(self.shape.states)]

    def _reached(self) -> tuple[Exact, int]:
        """c_s [states, D] in units of 2^-places, and the places."""
        words = self.task.representatives
        longest = max(map(len, words)) + (not self.shape.complex)
        reached = []
        for word in words:
            state = self.start
            for x in word:
                state = state @ self.M[x]
            factors = len(word) + (not self.shape.complex)
            reached.append(state << self.shift * (longest - factors))
        return np.array(reached), self.shift * longest

    def _coordinates(self, chosen: Sequence[int]) -> list[int]:
        return [b for b in chosen if b >= self.shape.states]

    def _with_coordinates(self, chosen: Sequence[int]) -> Exact:
        """The c_s, and below them the coordinates that the basis needs, as large as their largest entry."""
        extra = np.zeros((len(self._coordinates(chosen)), self.C.shape[1]), dtype=object)
        for row, b in zip(extra, self._coordinates(chosen), strict=True):
            row[b - self.shape.states] = np.abs(self.C).max()
        return np.concatenate([self.C, extra])

    def _inverse(self, chosen: Sequence[int]) -> Exact:
        """The inverse of the basis, in units of 2^-60, rounded down."""
        from sympy import ZZ
        from sympy.polys.matrices import DomainMatrix

        width = self.C.shape[1]
        rank = sum(b < self.shape.states for b in chosen)  # coordinates come last
        basis = [*self.C[list(chosen[:rank])], *self.atoms[self.shape.states :]]
        rows = [[ZZ(int(e)) for e in row] for row in basis]
        numerators, denominator = DomainMatrix(rows, (width, width), ZZ).inv_den()
        inverse = [
            [(int(e) << PLACES + self.C_shift) // int(denominator) for e in row]
            for row in numerators.to_list()
        ]
        return np.array(inverse, dtype=object)

    def _stretch(self) -> int:
        """κ in units of 2^-60: how much factors stretch states, the least squares of all."""
        kept, all_of_it = 0, 0
        for x, moved in enumerate(self.moved):
            wanted = self.C[self.task.table[:, x].numpy()]
            kept += int((moved[: len(wanted)] * wanted).sum())
            all_of_it += int((wanted * wanted).sum())
        kappa = (kept << PLACES) // (all_of_it << self.shift)
        if kappa <= ONE >> 8:
            raise InputError("strategy pairs: factors all but erase states")
        return kappa

    def _defects(self, x: int) -> tuple[int, int]:
        """ε of one symbol, and how large the coordinates become that it moves; rounded up."""
        states = self.shape.states
        v = self.moved[x] << PLACES
        v[:states] -= self.C[self.task.table[:, x].numpy()] * self.kappa << self.shift
        # The inverse is rounded down by less than a unit.
        norms = (np.abs(v @ self.X).sum(1) + v.shape[1] * np.abs(v).sum(1)).tolist()
        ends = max(norms[:states]), max(norms[states:], default=0)
        off, stray = (-(-int(norm) // (self.kappa << self.C_shift + self.shift)) for norm in ends)
        return off, stray

    def _rounded(self, x: int) -> int:
        """What float32 adds to ε: states are no larger than the largest entries of atoms, times 1 + r."""
        return self._roundings(np.abs(self.atoms).max(0), x, self.kappa << self.C_shift + self.shift)

    def _first(self) -> int:
        """What float32 adds before: the state after the first symbol, if it is not looked up."""
        if self.shape.complex:
            return 0
        unit = ONE << 2 * self.shift
        return max(self._roundings(np.abs(self.start), x, unit) for x in range(self.shape.n))

    def _roundings(self, sizes: Exact, x: int, unit: int) -> int:
        """γ Σ_ij sizes_i |M_ij| ||e_j X||_1, in units of 2^-60; one more covers underflow."""
        reach = np.abs(self.X).sum(1) + len(self.X)
        if (
            reach.max() >= ONE << 30
            or not ONE**self.shape.K >> 20 < self.kappa**self.shape.K < ONE**self.shape.K << 40
        ):
            raise InputError("strategy pairs: a basis or a stretch so extreme that float32 says nothing")
        n = len(self.X) + 4
        weighed = int(sizes @ np.abs(self.M[x]) @ reach) * n << PLACES
        return -(-weighed // (unit * ((1 << 24) - n))) + 1

    @cached_property
    def _logits(self) -> tuple[Exact, list[int], list[int]]:
        """L; for each answer the largest |L_ts - L_tj|; what float32 may do to its logit, before 1 + r."""
        L: Exact = self.atoms @ self.U
        low, high = L.min(1)[:, None], L.max(1)[:, None]
        spread = np.maximum(L - low, high - L).max(0).tolist()
        n = len(self.X) + 4
        size = np.abs(self.atoms).max(0) @ np.abs(self.U) * self.float32
        return L, spread, [-(-int(w) * n // ((1 << 24) - n)) for w in size]

    def _told(self, s: int, r: int) -> bool:
        L, spread, rounded = self._logits
        margin = int(L[s, s]) - max(int(e) for j, e in enumerate(L[s]) if j != s)
        underflow = 1 << max(0, self.C_shift + self.shift - 20) if self.float32 else 0
        return (margin << PLACES) > r * spread[s] + (ONE + r) * (rounded[s] + max(rounded)) + underflow

    def _metered(self) -> None:
        """Operations: a product with a complex factor takes six a coordinate, with a matrix d (2 d - 1)."""
        (states, width), n, d, meter = self.atoms.shape, self.shape.n, self.shape.d, self.meter
        pairs = states * n
        if not self.shape.complex:
            meter.product("states", sum(map(len, self.task.representatives)), d, d)
        meter.each("basis inverted", width**3, times=2)
        if self.shape.complex:
            meter.each("states led on", pairs * d, times=6)
        else:
            meter.product("states led on", pairs, d, d)
        meter.each("stretch", pairs * width, times=4)
        meter.each("defects", pairs * width, times=2)
        meter.product("defects in the basis", pairs, width, width)
        meter.each("defects in the basis", pairs * width, times=2)
        meter.product("logits", states, width, states)
        meter.each("spread and margins", states * states, times=5)
        if self.float32:
            meter.each("float32", n * width * width, times=2)


def _weights(network: Network) -> tuple[Exact, Exact, Exact, int]:
    """Factors M [n, D, D], U [D, n] and start [D] as whole numbers in units of 2^-shift, and the shift."""
    state = {name: tensor.detach().cpu().double() for name, tensor in network.module.state_dict().items()}
    shift = max(max(denominators(t)).bit_length() - 1 for t in state.values())
    exact = {name: np.array(whole(tensor, shift), dtype=object) for name, tensor in state.items()}
    if not isinstance(network.module, ComplexProduct):
        return exact["M"], exact["U"], exact["start"], shift
    a, b = exact["Z"][..., 0], exact["Z"][..., 1]
    n, d = a.shape
    M = np.zeros((n, 2 * d, 2 * d), dtype=object)
    k = np.arange(d)
    M[:, k, k] = M[:, d + k, d + k] = a
    M[:, k, d + k], M[:, d + k, k] = b, -b
    start = np.array([1] * d + [0] * d, dtype=object)
    return M, np.concatenate([exact["W"][:, 0], exact["W"][:, 1]]), start, shift


def denominators(tensor: Tensor) -> list[int]:
    """Of each entry."""
    return [entry.as_integer_ratio()[1] for entry in tensor.flatten().tolist()]


def _states(network: Network) -> NDArray[np.float64]:
    """c_s up to a common factor, as floats [states, D]."""
    M, _, start, shift = _weights(network)
    factors = (M / 2**shift).astype(float)
    words = automaton(read(network).automaton).representatives
    return np.array([reduce(np.matmul, factors[list(word)], start.astype(float)) for word in words])
