"""Sums, products and linear maps of cells."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .faults import RefusalError
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
LARGEST = 1 << 22
"""Products that one operation may take."""


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
        found[computed] = t.tape.apply("product", *np.take_along_axis(pair, order, 0))
    for each in np.unique(b[~computed]):
        here = b == each
        factor = t.tape.constants[-1 - int(each)]
        if not np.isfinite(factor):
            raise RefusalError("numbers that are not finite")
        found[here] = scaled(t, a[here], Fraction(factor))
    return found


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


def reduced(
    t: Tracer,
    x: Symbol,
    dim: int | list[int] | None,
    keepdim: bool,
    mean: bool = False,
) -> Symbol:
    """Sums or means along axes."""
    axes = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
    axes = sorted({axis % x.ndim for axis in axes})
    count = int(np.prod([x.shape[axis] for axis in axes]))
    rest = [k for k in range(x.ndim) if k not in axes]
    ids = t.ids(x).transpose(*rest, *axes).reshape(*(x.shape[k] for k in rest), count)
    found = total(t, ids, -1, Fraction(1, count) if mean else Fraction(1))
    shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
    return t.symbol(found.reshape(shape) if keepdim else found)


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


def contract(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Matrix products [..., n, m] x [..., m, q]; of the network's tensors as linear maps."""
    if t.tape.tensor_of(b) is not None and b.ndim == 2 and (groups := _views(t, b)):
        return _mapped(t, a, b, groups, None)
    if t.tape.tensor_of(a) is not None and a.ndim == 2 and (groups := _views(t, np.ascontiguousarray(a.T))):
        turned = _mapped(t, np.swapaxes(b, -1, -2), np.ascontiguousarray(a.T), groups, None)
        return np.swapaxes(turned, -1, -2)
    pairs = products(t, a[..., :, :, None], b[..., None, :, :])
    return total(t, pairs, -2)


Group = tuple[bool, Ids, Ids, Ids]
"""Whether W is transposed, the columns of the map, the place of each input, and of each of these columns."""


def _views(t: Tracer, ids: Ids) -> list[Group]:
    """How a map [inputs, outputs] of one tensor's entries lies in the tensor as a matrix; empty for none."""
    name = t.tape.tensor_of(ids)
    assert name is not None
    wide = t.tape.parameters[name].shape[-1] if t.tape.parameters[name].ndim else 1
    row, column = np.divmod(ids - t.tape.starts[t.tape.names.index(name)], wide)
    for transposed, inner, outer in ((False, column, row), (True, row, column)):
        if not (outer == outer[:1]).all():
            continue
        patterns, which = np.unique(inner, axis=1, return_inverse=True)
        groups = [
            (transposed, np.flatnonzero(which.ravel() == k), pattern, outer[0][which.ravel() == k])
            for k, pattern in enumerate(patterns.T)
        ]
        if all(len(np.unique(places)) == len(places) for _, _, places, _ in groups):
            return groups
    return []


def _mapped(t: Tracer, x: Ids, weights: Ids, groups: list[Group], bias: str | None) -> Ids:
    """x [..., inputs] times a map of one tensor's entries."""
    name = t.tape.tensor_of(weights)
    assert name is not None
    t.tape.stored(name)
    shape = t.tape.parameters[name].shape
    (first,), datum = t.tape.together([x], axis=x.ndim - 1)
    rows = t.tape.units(first.reshape(-1, x.shape[-1]), nothing=True)
    found = np.empty((len(rows), weights.shape[1]), dtype=np.int64)
    for k, row in enumerate(rows):
        for transposed, columns, places, outs in groups:
            size = int(np.prod(shape[:-1])) if transposed else shape[-1]
            read = np.full(size, -1)
            read[places] = row
            const = "0" if bias is None else f"@{bias}"
            fixed = bool(datum.ravel()[k] == 0)
            found[k, columns] = _matrix(t, name, transposed, read, const, fixed)[outs]
    cells = found.reshape(*x.shape[:-1], weights.shape[1])
    return t.tape.back(cells, datum[..., None])


def _matrix(t: Tracer, name: str, transposed: bool, read: Ids, const: str, fixed: bool) -> Ids:
    shape = t.tape.parameters[name].shape
    size = shape[-1] if transposed else int(np.prod(shape[:-1]))
    key = ("matrix", name, transposed, const, read.tobytes())
    return t.tape.once(
        key, lambda: t.tape.add("matrix", size, fixed, read, how=(name, transposed), const=const)
    )


def linear(t: Tracer, x: Any, weight: Any, bias: Any = None) -> Symbol:
    """x Wᵀ + bias."""
    a, b = t.ids(x), np.ascontiguousarray(t.ids(weight).T)
    if bias is not None:
        return _biased(t, t.ids(bias), a, b)
    return t.symbol(contract(t, a[None], b)[0] if a.ndim == 1 else contract(t, a, b))


def added_product(t: Tracer, bias: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Symbol:
    """beta bias + alpha x y."""
    a, b, c = t.ids(x), t.ids(y), t.ids(bias)
    if (beta, alpha) == (1, 1):
        return _biased(t, c, a, b)
    product = scaled(t, contract(t, a, b), Fraction(float(alpha)))
    return add(t, t.symbol(product), t.symbol(scaled(t, c, Fraction(float(beta)))))


def _biased(t: Tracer, c: Ids, a: Ids, b: Ids) -> Symbol:
    """a b + c; one operation where b and c are whole tensors of the network."""
    name = t.tape.tensor_of(c)
    whole = name is not None and c.ndim == 1 and bool((c == t.tape.entries(name).ravel()).all())
    if whole and b.ndim == 2 and t.tape.tensor_of(b) is not None:
        groups = _views(t, b)
        if (
            len(groups) == 1
            and (groups[0][3] == np.arange(len(c))).all()
            and _rows_of(t, b, groups) == len(c)
        ):
            t.tape.stored(name or "")
            return t.symbol(_mapped(t, a, b, groups, name))
    product = contract(t, a[None], b)[0] if a.ndim == 1 else contract(t, a, b)
    return add(t, t.symbol(product), t.symbol(c))


def _rows_of(t: Tracer, weights: Ids, groups: list[Group]) -> int:
    """How many results the tensor gives as a matrix."""
    shape = t.tape.parameters[t.tape.tensor_of(weights) or ""].shape
    return int(shape[-1] if groups[0][0] else np.prod(shape[:-1]))


def _product_of(t: Tracer, x: Any, y: Any) -> Symbol:
    """Matrices, with vectors as rows on the left and columns on the right."""
    a, b = t.ids(x), t.ids(y)
    found = contract(t, a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)
    found = found[..., 0, :] if a.ndim == 1 else found
    return t.symbol(found[..., 0] if b.ndim == 1 else found)


def convolved(
    t: Tracer,
    x: Symbol,
    weight: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Symbol:
    """A convolution over images with zeros around them."""
    kernel = t.ids(weight)
    name = t.tape.tensor_of(kernel)
    if transposed or kernel.ndim != 4 or name is None:
        raise RefusalError("only convolutions over two axes with stored kernels have an exact form here")
    if len(kernel.ravel()) != t.tape.parameters[name].numel():
        raise RefusalError("a part of a kernel")
    t.tape.stored(name)
    images, datum = t.tape.together([x.ids.numpy().reshape(len(x), -1)], axis=1)
    places = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[2:], kernel.shape[2:], stride, padding, dilation, strict=True)
    ]
    shape = (kernel.shape[0], *places)
    how = (name, list(x.shape[1:]), list(stride), list(padding), list(dilation), groups)
    found = []
    for image, which in zip(images[0], datum, strict=True):
        read = t.tape.units(image, nothing=True)
        cells = t.tape.once(
            ("conv2d", str(how), read.tobytes()),
            partial(t.tape.add, "conv2d", int(np.prod(shape)), bool(which == 0), read, how=how),
        )
        found.append(t.tape.back(cells, np.full(cells.shape, which)).reshape(shape))
    made = t.symbol(np.stack(found))
    return made if bias is None else add(t, made, t.symbol(t.ids(bias)[:, None, None]))


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


ARITHMETIC: dict[Any, Handler] = {
    aten.add: add,
    aten.sub: subtract,
    aten.rsub: _reversed(subtract),
    aten.neg: _negated,
    aten.mul: multiply,
    aten.div: divide,
    aten.sum: _summed(False),
    aten.mean: _summed(True),
    aten.cumsum: cumulated,
    aten.mm: _product_of,
    aten.bmm: _product_of,
    aten.mv: _product_of,
    aten.dot: _product_of,
    aten.matmul: _product_of,
    aten.addmm: added_product,
    aten.addmv: added_product,
    aten.baddbmm: added_product,
    aten.convolution: convolved,
    aten.relu: one_at_a_time("relu"),
    aten.exp: one_at_a_time("exp"),
    aten.reciprocal: one_at_a_time("reciprocal"),
    aten.sqrt: one_at_a_time("sqrt"),
}

PLAIN: dict[Any, Handler] = {
    functional.linear: linear,
    torch.relu: ARITHMETIC[aten.relu],
    functional.relu: lambda t, x, inplace=False: ARITHMETIC[aten.relu](t, x),
    Tensor.relu: ARITHMETIC[aten.relu],
    Tensor.add: add,
    Tensor.sub: subtract,
    Tensor.mul: multiply,
    torch.add: add,
    torch.sub: subtract,
    torch.mul: multiply,
    torch.matmul: _product_of,
    Tensor.matmul: _product_of,
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
    "scaled",
    "subtract",
    "total",
]
