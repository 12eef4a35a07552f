"""Check a certificate of Σ C_i <= rank(W): ``python check_capacity.py FILE``. Standard library only.

The certificate holds W [d, n] (hexadecimal floats), ``basis`` (numbers of r rows B) and ``solved``
(S [r, n], fractions). Checked: (B Bᵀ) S = B, so BᵀS is the projection onto B's rows and h_i = Σ_k B_ki S_ki
its diagonal; every row of W is its own projection; Σ h_i = r, so r is the rank; C_i <= h_i for each column.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

FORMAT = "assay.capacity/1"
Row = Sequence[Fraction]


class Rejected(ValueError):
    """A certificate that proves nothing."""


def check(certificate: Any) -> tuple[Fraction, int]:
    """(Σ C_i, rank) of an accepted certificate.  Raises :class:`Rejected`."""
    W, basis, S = _read(certificate)
    B = [W[i] for i in basis]
    columns = range(len(W[0]))
    gram = [[_dot(r, s) for s in B] for r in B]
    for g, b in zip(gram, B, strict=True):
        if any(sum((g[k] * S[k][i] for k in range(len(S))), Fraction(0)) != b[i] for i in columns):
            raise Rejected("(B Bᵀ) S is not B")
    for number, row in enumerate(W):
        weights = [_dot(row, s) for s in S]
        if any(
            sum((w * b[i] for w, b in zip(weights, B, strict=True)), Fraction(0)) != row[i] for i in columns
        ):
            raise Rejected(f"row {number} of W does not lie in the span of the basis")
    h, C = _leverages(B, S), _capacities(W)
    if sum(h, Fraction(0)) != len(B):
        raise Rejected(f"leverages sum to {sum(h, Fraction(0))}, not to the {len(B)} rows of the basis")
    if over := [i for i in columns if C[i] > h[i]]:
        raise Rejected(f"the capacity of column {over[0]} is above its leverage")
    return sum(C, Fraction(0)), len(B)


def _capacities(W: Sequence[Row]) -> list[Fraction]:
    """C_i of the columns of W; 0 for a column of zeros."""
    columns = list(zip(*W, strict=True))
    found = []
    for own in columns:
        total = sum((_dot(own, other) ** 2 for other in columns), Fraction(0))
        found.append(_dot(own, own) ** 2 / total if total else Fraction(0))
    return found


def _leverages(B: Sequence[Row], S: Sequence[Row]) -> list[Fraction]:
    """h_i = Σ_k B_ki S_ki."""
    pairs = [zip(*rows, strict=True) for rows in zip(B, S, strict=True)]
    return [sum((b * s for b, s in column), Fraction(0)) for column in zip(*pairs, strict=True)]


def _dot(a: Row, b: Row) -> Fraction:
    """Σ a_i b_i."""
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def _read(certificate: Any) -> tuple[list[list[Fraction]], list[int], list[list[Fraction]]]:
    if not isinstance(certificate, dict) or certificate.get("format") != FORMAT:
        raise Rejected(f"not a certificate of the format {FORMAT}")
    try:
        W = [[Fraction(float.fromhex(v)) for v in row] for row in certificate["W"]]
        S = [[Fraction(v) for v in row] for row in certificate["solved"]]
        basis = [int(i) for i in certificate["basis"]]
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise Rejected(f"W, basis or solved cannot be read: {error}") from error
    width = len(W[0]) if W else 0
    fits = all(len(row) == width for row in (*W, *S)) and len(S) == len(basis) > 0 and width > 0
    if not fits or not all(0 <= i < len(W) for i in basis) or len(set(basis)) < len(basis):
        raise Rejected("W, basis and solved do not fit together")
    return W, basis, S


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 for an accepted certificate, 1 otherwise."""
    for path in arguments:
        try:
            with open(path, encoding="utf-8") as file:
                total, rank = check(json.load(file))
        except (OSError, ValueError) as error:
            print(f"{path}: rejected: {error}", file=sys.stderr)
            return 1
        print(f"{path}: accepted: the capacities sum to {float(total):.6f} <= rank {rank}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
