"""Matrix products: linear maps where one side is a tensor of the network."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .arithmetic import add, products, scaled, total
from .ramps import rounded
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten

Group = tuple[bool, Ids, Ids, Ids]
"""Whether W is transposed, the columns of the map, the place of each input, and of each of these columns."""


def contract(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Matrix products [..., n, m] x [..., m, q]; of the network's tensors as linear maps."""
    if t.tape.tensor_of(b) is not None and b.ndim == 2 and (groups := _views(t, b)):
        return _mapped(t, a, b, groups, None)
    if t.tape.tensor_of(a) is not None and a.ndim == 2 and (groups := _views(t, np.ascontiguousarray(a.T))):
        turned = _mapped(t, np.swapaxes(b, -1, -2), np.ascontiguousarray(a.T), groups, None)
        return np.swapaxes(turned, -1, -2)
    pairs = products(t, a[..., :, :, None], b[..., None, :, :])
    return total(t, pairs, -2)


def _views(t: Tracer, ids: Ids) -> list[Group]:
    """How a map [inputs, outputs] of one tensor's entries lies in the tensor as a matrix; empty for none."""
    name = t.tape.tensor_of(ids)
    assert name is not None
    wide = t.tape.parameters[name].shape[-1] if t.tape.parameters[name].ndim else 1
    row, column = np.divmod(ids - t.tape.starts[t.tape.names.index(name)], wide)
    for transposed, inner, outer in ((False, column, row), (True, row, column)):
        if not (outer == outer[:1]).all():
            continue
        patterns, which = _columns(inner)
        groups = [
            (transposed, np.flatnonzero(which == k), pattern, outer[0][which == k])
            for k, pattern in enumerate(patterns.T)
        ]
        if all(len(np.unique(places)) == len(places) for _, _, places, _ in groups):
            return groups
    return []


def _columns(array: Ids) -> tuple[Ids, Ids]:
    """The distinct columns of an array, and the number of each column among them."""
    if array.shape[1] and (array == array[:, :1]).all():
        return array[:, :1], np.zeros(array.shape[1], dtype=np.int64)
    patterns, which = np.unique(array, axis=1, return_inverse=True)
    return patterns, which.ravel()


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
    return add(t, t.symbol(product), t.symbol(rounded(t, c, a.shape[-1])))  # torch may add it first


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


MAPS: dict[Any, Handler] = {
    aten.mm: _product_of,
    aten.bmm: _product_of,
    aten.mv: _product_of,
    aten.dot: _product_of,
    aten.matmul: _product_of,
    aten.addmm: added_product,
    aten.addmv: added_product,
    aten.baddbmm: added_product,
}
WHOLE_MAPS: dict[Any, Handler] = {
    functional.linear: linear,
    torch.matmul: _product_of,
    Tensor.matmul: _product_of,
}
