"""The inference rules of these strategies, each a template that z3 discharges."""

from __future__ import annotations

from typing import Any

__all__ = ["RULES"]


def _reals(names: str) -> Any:
    import z3

    return z3.Reals(names)


def _abs(x: Any) -> Any:
    import z3

    return z3.If(x < 0, -x, x)


def _product_of_factors() -> tuple[Any, Any]:
    """|z1 z2 - a1 a2| <= (A1 + e1) (A2 + e2) - A1 A2, if |a| <= A and |z - a| <= e.

    Stated for the moduli that occur: z1 z2 - a1 a2 = a1 δ2 + δ1 a2 + δ1 δ2, and the modulus of a product is
    the product of the moduli.
    """
    import z3

    a1, a2, d1, d2, A1, A2, e1, e2 = _reals("a1 a2 d1 d2 A1 A2 e1 e2")
    sizes = z3.And(a1 >= 0, a1 <= A1, a2 >= 0, a2 <= A2, d1 >= 0, d1 <= e1, d2 >= 0, d2 <= e2)
    return sizes, a1 * d2 + d1 * a2 + d1 * d2 <= (A1 + e1) * (A2 + e2) - A1 * A2


def _triangle() -> tuple[Any, Any]:
    """The modulus of a sum of complex numbers is at most the sum of moduli."""
    import z3

    x, y, u, v, r, s = _reals("x y u v r s")
    sizes = z3.And(r >= 0, s >= 0, x * x + y * y <= r * r, u * u + v * v <= s * s, x * u + y * v <= r * s)
    return sizes, (x + u) * (x + u) + (y + v) * (y + v) <= (r + s) * (r + s)


def _larger_amplitude() -> tuple[Any, Any]:
    """(A + e) (A + f) - A² grows with A: any upper bound of the amplitude will do."""
    import z3

    a, A, e, f = _reals("a A e f")
    return z3.And(a >= 0, a <= A, e >= 0, f >= 0), (a + e) * (a + f) - a * a <= (A + e) * (A + f) - A * A


def _cauchy_schwarz() -> tuple[Any, Any]:
    """Re E conj(V) <= |E| |V|, squared."""
    import z3

    x, y, u, v = _reals("x y u v")
    return z3.BoolVal(True), (x * u + y * v) ** 2 <= (x * x + y * y) * (u * u + v * v)


def _answers_read_off() -> tuple[Any, Any]:
    """With the gap at a difference, less what each answer may be moved by, positive, the logit is larger."""
    import z3

    main, moved_s, moved_j, H_s, H_j, most, gap = _reals("main moved_s moved_j H_s H_j most gap")
    known = z3.And(_abs(moved_s) <= H_s, _abs(moved_j) <= H_j, H_j <= most, gap <= main)
    return z3.And(known, gap - most - H_s > 0), main + moved_s - moved_j > 0


def _atoms() -> tuple[Any, Any]:
    """Coordinates η of ||η||_1 <= r move a difference of logits by r times the largest of an atom at most."""
    import z3

    n1, n2, l1, l2, r, D, margin = _reals("n1 n2 l1 l2 r D margin")
    known = z3.And(_abs(n1) + _abs(n2) <= r, _abs(l1) <= D, _abs(l2) <= D)
    return z3.And(known, margin > r * D), margin + n1 * l1 + n2 * l2 > 0


def _growth_of_atoms() -> tuple[Any, Any]:
    """η of norm r, moved by a factor with defects of at most ε that makes at most ρ of a coordinate."""
    import z3

    r, n, m, e, b0, b1, c, rho, growth = _reals("r n m e b0 b1 c rho growth")
    norms = z3.And(n >= 0, m >= 0, n + m <= r, b0 >= 0, b0 <= e, b1 >= 0, b1 <= e, c >= 0, c <= rho)
    return z3.And(norms, growth >= 1 + e, growth >= rho), n + b0 + n * b1 + m * c <= r * growth + e


def _words_by_symbols_apart() -> tuple[Any, Any]:
    """Errors by class are at least those by symbol: two of one class, one of the other."""
    import z3

    x, y, z, good, bad = _reals("x y z good bad")
    sizes = z3.And(x >= 0, x <= good, y >= 0, y <= good, z >= 0, z <= bad)
    return sizes, (1 + x) * (1 + y) * (1 + z) <= (1 + good) * (1 + good) * (1 + bad)


def _float32_step() -> tuple[Any, Any]:
    """A factor that arithmetic stretches by 1 + u: its error grows by u (A + e)."""
    import z3

    z, a, d, A, e, u = _reals("z a d A e u")
    known = z3.And(a >= 0, a <= A, d >= 0, d <= e, z <= a + d, u >= 0, z >= 0)
    return known, d + u * z <= e + u * (A + e)


RULES = {
    "product of factors": _product_of_factors,
    "triangle": _triangle,
    "larger amplitude": _larger_amplitude,
    "Cauchy-Schwarz": _cauchy_schwarz,
    "answers read off": _answers_read_off,
    "atoms": _atoms,
    "growth of atoms": _growth_of_atoms,
    "words by symbols apart": _words_by_symbols_apart,
    "float32 step": _float32_step,
}
"""By name, as arguments of strategies cite them."""
