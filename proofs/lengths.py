"""Lengths of vectors and distances between them, in squares, sums, maxima and roots."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import torch

from .arithmetic import broadcast, products, rows, scaled, total
from .faults import RefusalError
from .functions import absolute
from .ramps import largest, less, positive, rounded
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
_DIRECT = 25
"""Rows up to which torch takes differences; beyond it multiplies out the squares."""


def root_of_squares(t: Tracer, ids: Ids) -> Ids:
    """sqrt(Σ v²) along the last axis, in whatever order and with whatever scale torch takes."""
    squares = total(t, products(t, ids, ids), -1, copies=_LOOSE if t.rounding else 1)
    return rounded(t, t.tape.apply("sqrt", positive(t, squares)), _LOOSE)


def length(t: Tracer, ids: Ids, order: float) -> Ids:
    """The norm of a given order along the last axis."""
    if order == 2:
        return root_of_squares(t, ids)
    sizes = t.ids(absolute(t, t.symbol(ids)))
    if order == 1:
        return total(t, sizes, -1)
    if order not in (inf, -inf):
        raise RefusalError(f"the norm of order {order}: only 1, 2 and inf")
    sign = 1 if order > 0 else -1
    return scaled(t, largest(t, scaled(t, sizes, t.scalar(sign))), t.scalar(sign))


def vector_norm(
    t: Tracer, x: Symbol, order: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Symbol:
    """Norms along axes."""
    ids, axes = rows(t, x, dim)
    found = length(t, ids, 2 if order is None else float(order))
    return t.symbol(np.expand_dims(found, axes) if keepdim else found)


def _distances(t: Tracer, x: Any, y: Any, order: float = 2, mode: int | None = 1) -> Symbol:
    """Between all rows of x and all of y."""
    squared = mode == 1 or (not mode and max(x.shape[-2], y.shape[-2]) > _DIRECT)
    if t.rounding and order == 2 and squared:
        raise RefusalError("float32 distances from squares that are multiplied out")
    apart = less(t, *broadcast(t.ids(x)[..., :, None, :], t.ids(y)[..., None, :, :]))
    return t.symbol(length(t, apart, order))


def _hypotenuse(t: Tracer, x: Any, y: Any) -> Symbol:
    return t.symbol(root_of_squares(t, np.stack(broadcast(t.ids(x), t.ids(y)), -1)))


LENGTHS: dict[Any, Handler] = {
    aten.linalg_vector_norm: vector_norm,
    aten.norm: vector_norm,
    aten._cdist_forward: _distances,
    aten._euclidean_dist: _distances,
    aten.hypot: _hypotenuse,
}
