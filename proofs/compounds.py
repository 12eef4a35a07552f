"""Products of many numbers, and functions of several tensors that torch computes in one go."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arithmetic import broadcast, products, scaled, total
from .faults import RefusalError
from .functions import absolute
from .linear_maps import added_product
from .ramps import less, more, positive, shifted
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
MOST = 64
"""Numbers that are multiplied with one another."""
_LEAST = Fraction(1, 1 << 100)


def running_products(t: Tracer, ids: Ids) -> Ids:
    """Products of all up to each along the last axis; in float32 in whatever order they are taken."""
    if ids.shape[-1] > MOST:
        raise RefusalError(f"{ids.shape[-1]} numbers, at most {MOST} are multiplied")
    made = _chain(t, ids)
    if not t.rounding:
        return made
    sizes = shifted(t, positive(t, shifted(t, t.ids(absolute(t, t.symbol(ids))), -1.0)), 1.0)
    return _with_underflow(t, made, _chain(t, sizes))


def _chain(t: Tracer, ids: Ids) -> Ids:
    found = [ids[..., 0]]
    for k in range(1, ids.shape[-1]):
        found.append(products(t, found[-1], ids[..., k]))
    return np.stack(found, -1)


def _with_underflow(t: Tracer, made: Ids, most: Ids) -> Ids:
    """The products with what parts of them may lose below 2^-126, times `most`, the product of max(|v|, 1).

    It comes in as a multiple of `most` less the same, which is 0 but for the error that float32 is granted.
    No part is larger than `most`, either, so that none may overflow where that does not.
    """
    found, several = made.copy(), np.arange(made.shape[-1]) > 0
    if not several.any():
        return found
    bound = t.tape.units(np.where(most[..., 1:] == -1, t.tape.constant(1.0), most[..., 1:]))
    same = t.tape.apply("sum", bound, factors=("1",))
    factors = ("1", str(_LEAST * MOST), str(-_LEAST * MOST))
    found[..., 1:] = t.tape.apply("sum", t.tape.units(made[..., 1:], True), bound, same, factors=factors)
    return found


def _product(
    t: Tracer, x: Symbol, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Symbol:
    ids = t.ids(x).ravel() if dim is None else np.moveaxis(t.ids(x), dim, -1)
    found = running_products(t, ids)[..., -1]
    return t.symbol(np.expand_dims(found, dim) if keepdim and dim is not None else found)


def _products(t: Tracer, x: Symbol, dim: int, *, dtype: Any = None) -> Symbol:
    return t.symbol(np.moveaxis(running_products(t, np.moveaxis(t.ids(x), dim, -1)), -1, dim))


def between(t: Tracer, start: Any, end: Any, weight: Any) -> Symbol:
    """start + weight (end - start), from whichever end torch starts."""
    a, b = broadcast(t.ids(start), t.ids(end))
    ids = t.ids(weight) if isinstance(weight, Tensor) else np.array(t.tape.constant(float(t.scalar(weight))))
    a, step = broadcast(a, products(t, less(t, b, a), ids))
    copies = _LOOSE if t.rounding else 1
    return t.symbol(total(t, np.stack([a, step], -1), -1, copies=copies))


def _plus_product(t: Tracer, x: Any, y: Any, z: Any, *, value: Any = 1) -> Symbol:
    product = scaled(t, products(t, t.ids(y), t.ids(z)), t.scalar(value), 2)
    return t.symbol(more(t, *broadcast(t.ids(x), product)))


def _plus_quotient(t: Tracer, x: Any, y: Any, z: Any, *, value: Any = 1) -> Symbol:
    return _plus_product(t, x, y, t.symbol(t.tape.apply("reciprocal", t.ids(z))), value=value)


def _plus_outer(t: Tracer, x: Any, y: Any, z: Any, **factors: Any) -> Symbol:
    return added_product(t, x, t.symbol(t.ids(y)[:, None]), t.symbol(t.ids(z)[None]), **factors)


def _plus_products(t: Tracer, x: Any, y: Any, z: Any, **factors: Any) -> Symbol:
    """x plus the sum of products of matrices."""
    a, b = np.concatenate(list(t.ids(y)), -1), np.concatenate(list(t.ids(z)), 0)
    return added_product(t, x, t.symbol(a), t.symbol(b), **factors)


def _crossed(t: Tracer, x: Any, y: Any, *, dim: int = -1) -> Symbol:
    a, b = (np.moveaxis(each, dim, -1) for each in broadcast(t.ids(x), t.ids(y)))
    turned = [products(t, np.roll(a, -k, -1), np.roll(b, k, -1)) for k in (1, -1)]
    return t.symbol(np.moveaxis(less(t, *turned), -1, dim))


def _determinant(t: Tracer, ids: Ids) -> Ids:
    """Of matrices [..., n, n], as Leibniz has it."""
    n = ids.shape[-1]
    if t.rounding or n > 3:
        raise RefusalError("determinants and inverses: only over the reals, of up to three rows")
    if not n:
        return np.full(ids.shape[:-2], t.tape.constant(1.0))
    terms = []
    for order in permutations(range(n)):
        found = ids[..., 0, order[0]]
        for row in range(1, n):
            found = products(t, found, ids[..., row, order[row]])
        odd = sum(order[i] > order[j] for i in range(n) for j in range(i, n)) % 2
        terms.append(scaled(t, found, Fraction(-1 if odd else 1)))
    return total(t, np.stack(terms, -1), -1)


def _inverse(t: Tracer, x: Symbol, *, check_errors: bool = False) -> tuple[Symbol, Tensor]:
    """The adjugate divided by the determinant."""
    ids = t.ids(x)
    below, rows = t.tape.apply("reciprocal", _determinant(t, ids)), range(ids.shape[-1])
    minors = [
        [
            scaled(t, _determinant(t, np.delete(np.delete(ids, i, -2), j, -1)), Fraction((-1) ** (i + j)))
            for i in rows
        ]
        for j in rows
    ]
    adjugate = np.stack([np.stack(row, -1) for row in minors], -2)
    return t.symbol(products(t, adjugate, below[..., None, None])), torch.zeros(
        ids.shape[:-2], dtype=torch.int
    )


COMPOUNDS: dict[Any, Handler] = {
    aten.prod: _product,
    aten.cumprod: _products,
    aten.lerp: between,
    aten.addcmul: _plus_product,
    aten.addcdiv: _plus_quotient,
    aten.addr: _plus_outer,
    aten.addbmm: _plus_products,
    aten.linalg_cross: _crossed,
    aten._linalg_det: lambda t, x: (t.symbol(_determinant(t, t.ids(x))), None, None),
    aten.linalg_inv_ex: _inverse,
}
