"""Sums modulo n by Fourier modes: a proof whose length is linear in the number of parameters.

The explanation: coordinate k turns by one frequency, Z_k[x] = a_k ω^(f_k x) up to e_k[x], and answers are
read off by it, V_k[j] = w_k ω^(f_k j) up to η_k[j], with ω = exp(2πi / n). Then, for the sum s,

    |h_k - a_k^K ω^(f_k s)| <= Π_t (|a_k| + e_k[x_t]) - |a_k|^K = R_k,
    logit_s - logit_j >= Re Σ_k a_k^K conj(w_k) (1 - ω^(f_k (s - j)))
                         - Σ_k R_k |w_k| |1 - ω^(f_k (s - j))| - H_s - H_j,

where H_j = Σ_k (|a_k|^K + R_k) |η_k[j]|. All but H depends on s - j alone: n numbers in place of n². Yip et
al. 2024 (Modular addition without black-boxes, arXiv 2412.03773) have a bound that is linear in the
parameters for the MLP of a transformer that adds two numbers; here there are K of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.models import Network
from assay.proofs.faults import InputError
from assay.proofs.strategies import Meter

from .fixed import ONE, PLACES, Complex, modulus, power, roots, scaled
from .reading import Shape, whole

__all__ = ["Waves", "frequencies", "outlying"]

COARSE = 30
"""Amplitudes have so many places: any would be sound."""
FLOAT32_STEP = 22
"""One product of complex numbers in float32 is off by at most 2^-22 of its modulus: √2 γ_2 and a fused
multiply-add or not."""
UNDERFLOW = 1 << 10
"""Units that cover underflow: 2^-126 a product, grown by at most 2^40, 2^12 times."""


def frequencies(network: Network) -> tuple[int, ...]:
    """The frequency that each coordinate's factors are nearest to: the explanation, found by a transform."""
    import numpy as np

    Z = network.parameters()["Z"].detach().cpu().double().numpy()
    spectrum = np.abs(np.fft.fft(Z[..., 0] + 1j * Z[..., 1], axis=0))
    return tuple(int(f) for f in spectrum.argmax(0))


def outlying(network: Network, chosen: Sequence[int], many: int) -> tuple[int, ...]:
    """The symbols furthest from those modes, whose amplitudes are medians, which outliers do not move."""
    import numpy as np

    state = {name: t.detach().cpu().double().numpy() for name, t in network.parameters().items()}
    Z = state["Z"][..., 0] + 1j * state["Z"][..., 1]
    still = Z * np.exp(-2j * np.pi * np.arange(len(Z))[:, None] * np.array(chosen) / len(Z))
    off = np.abs(still - (np.median(still.real, axis=0) + 1j * np.median(still.imag, axis=0)))
    badness = off @ np.linalg.norm(state["W"], axis=(1, 2))
    return tuple(sorted(int(x) for x in np.argsort(-badness, kind="stable")[:many]))


@dataclass(frozen=True)
class Mode:
    """Amplitudes a (of factors) and w (of answers) in units of 2^-30, and what they leave over, in units.

    Attributes:
        A: |a|, rounded up.
        off: e[x] for each symbol, rounded up.
        w_off: |η[j]| for each answer, rounded up.
    """

    f: int
    a: Complex
    w: Complex
    A: int
    off: list[int]
    w_off: list[int]

    @cached_property
    def w_size(self) -> int:
        """|w|, rounded up."""
        return modulus(self.w) << PLACES - COARSE


class Waves:
    """The bound of one network under one choice of frequencies."""

    def __init__(
        self,
        network: Network,
        shape: Shape,
        chosen: Sequence[int],
        apart: Sequence[int],
        float32: bool,
        meter: Meter,
    ) -> None:
        self.shape, self.float32, self.meter, self.roots = shape, float32, meter, roots(shape.n)
        self.good = [x for x in range(shape.n) if x not in frozenset(apart)]
        state = network.module.state_dict()
        Z = whole(state["Z"].permute(1, 0, 2), PLACES)
        V = whole(state["W"].transpose(1, 2), PLACES)
        meter.each("roots of unity", shape.n, times=2)
        self.modes = [self._mode(f, z, v) for f, z, v in zip(chosen, Z, V, strict=True)]
        if float32 and max(mode.A + max(mode.off) for mode in self.modes) ** shape.K >= ONE**shape.K << 40:
            raise InputError("strategy fourier: factors so large that float32 might overflow")
        self.chords = [modulus((ONE - c, s)) + 2 for c, s in self.roots]
        meter.each("chords", shape.n, times=5)

    def answers(self, copies: int) -> list[bool]:
        """Which sums are surely told right, for words with so many of the symbols set apart."""
        n, d = self.shape.n, self.shape.d
        grown = [self._grown(mode, copies) for mode in self.modes]
        gap = min(self._gap(delta, grown) for delta in range(1, n))
        self.meter.each("margins by difference", (n - 1) * d, times=6)
        H = [self._read_off(j, grown) for j in range(n)]
        self.meter.each("answers read off", n * d, times=5 if self.float32 else 2)
        worst = max(H)
        self.meter.each("comparison", n, times=3)
        return [gap - worst - h > 0 for h in H]

    def _mode(self, f: int, z: list[list[int]], v: list[list[int]]) -> Mode:
        a, off = self._fitted(f, z, self.good)
        w, w_off = self._fitted(f, v, range(self.shape.n))
        A = modulus(a) << PLACES - COARSE
        if self.float32:
            off = [e + (A + e >> FLOAT32_STEP) + 1 for e in off]
            self.meter.each("float32", len(off), times=3)
        return Mode(f, a, w, A, off, w_off)

    def _fitted(self, f: int, values: list[list[int]], at: Sequence[int]) -> tuple[Complex, list[int]]:
        """The amplitude of a frequency in some of n complex numbers, and by how much each of all is off."""
        n = self.shape.n
        turned = [self.roots[f * x % n] for x in range(n)]
        fitted = [(*values[i], *turned[i]) for i in at]
        real = sum(x * c + y * s for x, y, c, s in fitted)
        imaginary = sum(y * c - x * s for x, y, c, s in fitted)
        unit = len(at) << 2 * PLACES - COARSE
        a, b = real // unit, imaginary // unit
        # Rounded are: the value, the root (times the amplitude), their product.
        slack = 5 + 2 * (-(-modulus((a, b)) >> COARSE))
        off = [
            modulus((x - (a * c - b * s >> COARSE), y - (a * s + b * c >> COARSE))) + slack
            for (x, y), (c, s) in zip(values, turned, strict=True)
        ]
        self.meter.each("amplitudes", n, times=8)
        self.meter.each("what modes leave over", n, times=14)
        return (a, b), off

    def _grown(self, mode: Mode, copies: int) -> tuple[int, int]:
        """(|a|^K + R, R), rounded up."""
        K = self.shape.K
        good = max(mode.off[x] for x in self.good)
        most = (mode.A + good) ** (K - copies) * (mode.A + max(mode.off)) ** copies
        self.meter.reduce("largest leftover", 1, self.shape.n)
        self.meter.each("powers", 1, times=2 * K + 3)
        places = PLACES * (K - 1)
        extra = UNDERFLOW if self.float32 else 0
        return -(-most >> places) + extra, -(-(most - mode.A**K) >> places) + extra

    def _gap(self, delta: int, grown: Sequence[tuple[int, int]]) -> int:
        """The difference of logits at s - j = delta, but for what answers leave over: rounded down."""
        total = 0
        for mode, (_, R), (x, y) in zip(self.modes, grown, self._products, strict=True):
            at = mode.f * delta % self.shape.n
            c, s = self.roots[at]
            total += (x * (ONE - c) + y * s >> PLACES) - 5 - 2 * (-(-modulus((x, y)) >> PLACES))
            total -= scaled(scaled(R, mode.w_size), self.chords[at])
        return total

    @cached_property
    def _products(self) -> list[Complex]:
        """a_k^K conj(w_k), rounded down."""
        K, found = self.shape.K, []
        for mode in self.modes:
            (x, y), (u, v) = power(mode.a, K), mode.w
            right = COARSE * (K + 1) - PLACES
            found.append((x * u + y * v >> right, y * u - x * v >> right))
        self.meter.each("powers", self.shape.d, times=6 * K + 6)
        return found

    def _read_off(self, j: int, grown: Sequence[tuple[int, int]]) -> int:
        """H_j: what the leftover of an answer, and float32's sum, can move its logit by."""
        total = sum(scaled(most, mode.w_off[j]) for mode, (most, _) in zip(self.modes, grown, strict=True))
        if not self.float32:
            return total
        sizes = sum(
            scaled(most, mode.w_size + mode.w_off[j])
            for mode, (most, _) in zip(self.modes, grown, strict=True)
        )
        terms = 2 * self.shape.d + 2
        return total + -(-sizes * terms // ((1 << 24) - terms)) + UNDERFLOW
