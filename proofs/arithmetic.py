"""Sums and products of cells."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .faults import RefusalError
from .symbols import Handler, Symbol, Tracer
from .tape import WEIGHTS, Ids

aten = torch.ops.aten
LARGEST = 1 << 22
"""Products that one operation may take."""
WASTE, LEAST = 4, 1 << 12
"""A tensor is laid over cells if it is no more than so many times larger than they are, or this small."""


def broadcast(*arrays: Ids) -> list[Ids]:
    """Arrays of one shape."""
    return [np.ascontiguousarray(each) for each in np.broadcast_arrays(*arrays)]


def add(t: Tracer, x: Any, y: Any, *, alpha: Any = 1) -> Symbol:
    """x + alpha y."""
    a, b = broadcast(t.ids(x), t.ids(y))
    if alpha != 1:
        b = scaled(t, b, Fraction(float(alpha)))
    return t.symbol(_sum(t, a, b))


def _sum(t: Tracer, a: Ids, b: Ids) -> Ids:
    a, b = np.where(a < 0, b, a), np.where(a < 0, a, b)
    found, computed = np.empty_like(a), b >= 0
    if computed.any():
        found[computed] = t.tape.apply("sum", a[computed], b[computed], factors=("1", "1"))
    for each in np.unique(b[~computed]):
        here = b == each
        found[here] = _shifted(t, a[here], t.tape.constants[-1 - int(each)])
    return found


def _shifted(t: Tracer, ids: Ids, number: float) -> Ids:
    """Cells plus a number; of numbers, their sum as torch rounds it."""
    if number == 0:
        return ids
    found, known = np.empty_like(ids), ids < 0
    if known.any():
        total = torch.as_tensor(t.tape.values(ids[known])).to(t.dtype) + number
        found[known] = t.tape.constant_ids(total)
    if (~known).any():
        infinite = not np.isfinite(number)
        found[~known] = (
            t.tape.constant(number)
            if infinite
            else t.tape.apply("sum", ids[~known], factors=("1",), const=str(Fraction(number)))
        )
    return found


def scaled(t: Tracer, ids: Ids, factor: Fraction, roundings: int = 1) -> Ids:
    """Cells times a number, with so many float32 roundings."""
    if factor in (0, 1):
        return ids if factor else np.full_like(ids, -1)
    found, known = np.empty_like(ids), ids < 0
    if known.any():
        product = torch.as_tensor(t.tape.values(ids[known])).to(t.dtype) * float(factor)
        found[known] = t.tape.constant_ids(product)
    if (~known).any():
        times = roundings if t.rounding and roundings > 1 else 1
        share = (str(factor / times),) * times
        found[~known] = t.tape.apply("sum", *[ids[~known]] * times, factors=share)
    return found


def subtract(t: Tracer, x: Any, y: Any, *, alpha: Any = 1) -> Symbol:
    """x - alpha y."""
    a, b = broadcast(t.ids(x), t.ids(y))
    if (a >= 0).all() and (b >= 0).all():
        factors = ("1", str(-Fraction(float(alpha))))
        return t.symbol(t.tape.apply("sum", a, b, factors=factors))
    return t.symbol(_sum(t, a, scaled(t, b, -Fraction(float(alpha)))))


def multiply(t: Tracer, x: Any, y: Any) -> Symbol:
    """x y, component by component."""
    return t.symbol(products(t, t.ids(x), t.ids(y)))


def products(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Of cells, or of cells and numbers."""
    a, b = broadcast(a, b)
    if a.size > LARGEST:
        raise RefusalError(f"{a.size} products, at most {LARGEST} are written out")
    a, b = np.where(a < 0, b, a), np.where(a < 0, a, b)
    found, computed = np.empty_like(a), b >= 0
    if computed.any():
        pair = np.array([a[computed], b[computed]])
        order = np.argsort(t.tape.of(pair)[0], axis=0)  # the same for both data
        found[computed] = _computed(t, *np.take_along_axis(pair, order, 0))
    for each in np.unique(b[~computed]):
        here = b == each
        factor = t.tape.constants[-1 - int(each)]
        if not np.isfinite(factor):
            raise RefusalError("numbers that are not finite")
        found[here] = scaled(t, a[here], Fraction(factor))
    return found


def _computed(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Products of cells; by entries of the network's tensors, which come second, they are linear maps."""
    found, linear = np.empty_like(a), (t.tape.of(a)[0] < WEIGHTS) & (b >= WEIGHTS)
    if linear.any():
        found[linear] = _diagonal(t, a[linear], b[linear])
    if not linear.all():
        found[~linear] = t.tape.apply("product", a[~linear], b[~linear])
    return found


def _diagonal(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Cells times entries of the network's tensors."""
    first, datum = t.tape.of(a)
    pairs, where = np.unique([first, b], axis=1, return_inverse=True)
    found = np.empty_like(pairs[0])
    for name, start in zip(t.tape.names, t.tape.starts, strict=True):
        inside = (pairs[1] >= start) & (pairs[1] < start + t.tape.parameters[name].numel())
        if inside.any():
            found[inside] = _by_entries(t, name, start, *pairs[:, inside])
    return t.tape.back(found[where.ravel()], datum)


def _by_entries(t: Tracer, name: str, start: int, cells: Ids, ids: Ids) -> Ids:
    """Cells times entries of a tensor whose ids begin at `start`; it is laid over them as often as needed."""
    count, entries = t.tape.stored(name).size, ids - start
    order = np.argsort(entries, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - np.searchsorted(entries[order], entries[order])
    copies = int(place.max()) + 1
    if copies * count > max(WASTE * len(cells), LEAST):
        return t.tape.apply("product", cells, ids)
    read, fixed = np.full(copies * count, -1), np.ones(copies * count, dtype=bool)
    place = place * count + entries
    read[place], fixed[place] = cells, t.tape.of(cells)[1] == 0
    return t.tape.add("scale", len(read), fixed, read, how=(name, copies))[place]


def divide(t: Tracer, x: Any, y: Any, *, rounding_mode: str | None = None) -> Symbol:
    """x / y; a GPU multiplies with the reciprocal of a number, which is rounded twice."""
    if rounding_mode is not None:
        raise RefusalError("division that is made whole")
    below = t.ids(y)
    if (below < 0).all() and np.unique(below).size == 1:
        number = t.tape.constants[-1 - int(below.ravel()[0])]
        if not number or not np.isfinite(number):
            raise RefusalError(f"division by {number}")
        ids, _ = broadcast(t.ids(x), below)
        return t.symbol(scaled(t, ids, 1 / Fraction(number), 2))
    return multiply(t, x, t.symbol(t.tape.apply("reciprocal", below)))


def total(t: Tracer, ids: Ids, axis: int, factor: Fraction = Fraction(1), copies: int = 1) -> Ids:
    """Factor times the sum along an axis; float32 roundings are counted for so many copies of each term."""
    ids = np.moveaxis(ids, axis, -1)
    (first,), datum = t.tape.together([ids], axis=ids.ndim - 1)
    rows = t.tape.units(first.reshape(-1, ids.shape[-1]), nothing=True)
    distinct, where = np.unique(rows, axis=0, return_inverse=True)
    fixed = np.zeros(len(distinct), dtype=bool)
    fixed[where.ravel()] = datum.ravel() == 0
    if not distinct.shape[1]:
        return np.full(datum.shape, -1)
    columns = [np.ascontiguousarray(column) for column in distinct.T for _ in range(copies)]
    factors = (str(factor / copies),) * len(columns)
    found = t.tape.add("sum", len(distinct), fixed, *columns, factors=factors)
    return t.tape.back(found[where.ravel()].reshape(datum.shape), datum)


def rows(t: Tracer, x: Symbol, dim: int | list[int] | None) -> tuple[Ids, tuple[int, ...]]:
    """The ids with some axes (all, if none are told) joined to the last one, and which these are."""
    axes = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
    axes = sorted({axis % x.ndim for axis in axes})
    ids = np.moveaxis(t.ids(x), axes, range(-len(axes), 0))
    return ids.reshape(*ids.shape[: x.ndim - len(axes)], int(np.prod([x.shape[a] for a in axes]))), tuple(
        axes
    )


def reduced(
    t: Tracer,
    x: Symbol,
    dim: int | list[int] | None,
    keepdim: bool,
    mean: bool = False,
) -> Symbol:
    """Sums or means along axes."""
    ids, axes = rows(t, x, dim)
    found = total(t, ids, -1, Fraction(1, ids.shape[-1]) if mean else Fraction(1))
    return t.symbol(np.expand_dims(found, axes) if keepdim else found)


def _summed(mean: bool) -> Handler:
    def handler(t: Tracer, x: Symbol, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Symbol:
        return reduced(t, x, dim, keepdim, mean)

    return handler


def cumulated(t: Tracer, x: Symbol, dim: int, *, dtype: Any = None) -> Symbol:
    """Sums of all up to each."""
    ids = np.moveaxis(t.ids(x), dim, -1)
    n = ids.shape[-1]
    kept = np.where(np.tri(n, dtype=bool), ids[..., None, :], -1)
    return t.symbol(np.moveaxis(total(t, kept, -1), -1, dim))


def one_at_a_time(kind: str) -> Handler:
    """A function of each component."""

    def handler(t: Tracer, x: Any) -> Symbol:
        return t.symbol(t.tape.apply(kind, t.ids(x)))

    return handler


def _negated(t: Tracer, x: Symbol) -> Symbol:
    return t.symbol(scaled(t, t.ids(x), Fraction(-1)))


def _reversed(call: Callable[..., Symbol]) -> Handler:
    def handler(t: Tracer, x: Any, y: Any, **kwargs: Any) -> Symbol:
        return call(t, y, x, **kwargs)

    return handler


def _relu(t: Tracer, x: Any, inplace: bool = False) -> Any:
    return t.in_place("relu_", (x,), {}) if inplace else ARITHMETIC[aten.relu](t, x)


ARITHMETIC: dict[Any, Handler] = {
    aten.add: add,
    aten.sub: subtract,
    aten.rsub: _reversed(subtract),
    aten.neg: _negated,
    aten.mul: multiply,
    aten.div: divide,
    aten.sum: _summed(False),
    aten.mean: _summed(True),
    aten.nansum: _summed(False),
    aten.cumsum: cumulated,
    aten.relu: one_at_a_time("relu"),
    aten.exp: one_at_a_time("exp"),
    aten.reciprocal: one_at_a_time("reciprocal"),
    aten.sqrt: one_at_a_time("sqrt"),
}


PLAIN: dict[Any, Handler] = {
    torch.relu: ARITHMETIC[aten.relu],
    functional.relu: _relu,
    Tensor.relu: ARITHMETIC[aten.relu],
    Tensor.add: add,
    Tensor.sub: subtract,
    Tensor.mul: multiply,
    torch.add: add,
    torch.sub: subtract,
    torch.mul: multiply,
}
"""Taken before torch breaks them down, which makes it load much that networks of these do not need."""

__all__ = [
    "ARITHMETIC",
    "PLAIN",
    "add",
    "broadcast",
    "multiply",
    "products",
    "reduced",
    "rows",
    "scaled",
    "subtract",
    "total",
]
