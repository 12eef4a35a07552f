"""Comparisons, which torch makes without rounding, and what is chosen by them: cells that are 0 or 1."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import moving
from .arithmetic import broadcast, products, scaled, total
from .faults import RefusalError
from .ramps import less, more, positive, shifted
from .symbols import Handler, Symbol, Tracer
from .tape import WEIGHTS, Ids

aten = torch.ops.aten
MOST = 64
"""Numbers of which the largest is looked for: each is compared with each."""
Binary = Callable[[Tracer, Ids, Ids], Ids]


def opposite(t: Tracer, ids: Ids) -> Ids:
    """1 - v."""
    return shifted(t, scaled(t, ids, Fraction(-1)), 1.0)


def exceeds(t: Tracer, a: Ids, b: Ids) -> Ids:
    """1 where a > b, else 0."""
    a, b = broadcast(a, b)
    known = (a < 0) & (b < 0)
    truth = torch.as_tensor(t.tape.values(a) > t.tape.values(b)).double()
    found = np.where(known, t.tape.constant_ids(truth), a)
    if not known.all():
        sides = a[~known], b[~known]
        key = ("step", *(side.tobytes() for side in sides))
        found[~known] = t.tape.once(key, lambda: t.tape.apply("step", *sides))
    return found


def above(t: Tracer, ids: Ids, number: float = 0.0) -> Ids:
    """1 where v is above a number, else 0."""
    return exceeds(t, ids, np.full_like(ids, t.tape.constant(number)))


def below(t: Tracer, ids: Ids, number: float = 0.0) -> Ids:
    """1 where v is below a number, else 0."""
    return exceeds(t, np.full_like(ids, t.tape.constant(number)), ids)


def differs(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Where a != b."""
    return more(t, exceeds(t, a, b), exceeds(t, b, a))


def both(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Where two truths are 1: relu(a + b - 1)."""
    return positive(t, shifted(t, more(t, a, b), -1.0))


def either(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Where one of two truths is 1."""
    return opposite(t, both(t, opposite(t, a), opposite(t, b)))


def one_of(t: Tracer, a: Ids, b: Ids) -> Ids:
    """Where exactly one of two truths is 1: a + b - 2 relu(a + b - 1)."""
    return more(t, more(t, a, b), scaled(t, both(t, a, b), Fraction(-2)))


def chosen(t: Tracer, truth: Ids, a: Ids, b: Ids) -> Ids:
    """a where a truth is 1, b where it is 0."""
    truth, a, b = broadcast(truth, a, b)
    return more(t, products(t, truth, a), products(t, opposite(t, truth), b))


def _truth(t: Tracer, x: Any) -> Ids:
    """Whether numbers are not 0."""
    ids = t.ids(x)
    is_bool = isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype == torch.bool)
    return ids if is_bool else differs(t, ids, np.full_like(ids, -1))


def _known(t: Tracer, *sides: Any) -> bool:
    """Whether nothing of it depends on the input, so that numbers may be compared."""
    return all(bool(((ids < 0) | (ids >= WEIGHTS)).all()) for ids in map(t.ids, sides))


def _compared(plain: Callable[..., Tensor], call: Binary) -> Handler:
    """A comparison; of stored numbers alone it is made at once."""

    def handler(t: Tracer, x: Any, y: Any) -> Tensor:
        if _known(t, x, y):
            return plain(*(torch.as_tensor(t.tape.values(t.ids(side))) for side in (x, y)))
        return t.symbol(call(t, *broadcast(t.ids(x), t.ids(y))), torch.bool)

    return handler


def _connected(call: Binary) -> Handler:
    """A connective of truths."""

    def handler(t: Tracer, x: Any, y: Any) -> Symbol:
        whole = [s for s in (x, y) if isinstance(s, Tensor) and s.dtype != torch.bool]
        if whole and not all(s.dtype.is_floating_point for s in whole):
            raise RefusalError("bits of whole numbers")
        return t.symbol(call(t, *broadcast(_truth(t, x), _truth(t, y))), torch.bool)

    return handler


def _not(t: Tracer, x: Any) -> Symbol:
    if x.dtype not in (torch.bool, t.dtype):
        raise RefusalError("bits of whole numbers")
    return t.symbol(opposite(t, _truth(t, x)), torch.bool)


def _over(every: bool) -> Handler:
    """Whether any, or every one, of numbers along axes is not 0: min(Σ, 1) of truths."""

    def handler(t: Tracer, x: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
        axes = [dim] if isinstance(dim, int) else list(range(x.ndim) if dim is None else dim)
        truth = np.moveaxis(_truth(t, x), axes, range(-len(axes), 0))
        truth = truth.reshape(*truth.shape[: x.ndim - len(axes)], -1)
        some = total(t, opposite(t, truth) if every else truth, -1)
        none = positive(t, opposite(t, some))
        found = none if every else opposite(t, none)
        kept = np.expand_dims(found, tuple(a % x.ndim for a in axes)) if keepdim else found
        return t.symbol(kept, torch.bool)

    return handler


def where(t: Tracer, mask: Any, x: Any, y: Any) -> Symbol:
    """x where a mask says so, else y."""
    if not isinstance(mask, Symbol):
        return moving.picked(t, mask, x, y)
    return t.symbol(chosen(t, _truth(t, mask), *broadcast(t.ids(x), t.ids(y))))


def _put(t: Tracer, x: Any, indices: list[Any], values: Any, accumulate: bool = False) -> Symbol:
    """x[mask] = number, where the mask depends on the input."""
    mask = indices[0]
    if len(indices) > 1 or not isinstance(mask, Symbol) or mask.dtype != torch.bool:
        return moving.put(t, x, indices, values, accumulate)
    if accumulate or t.ids(values).size != 1:
        raise RefusalError("several numbers written where a mask says")
    values = t.fitting(values, x.dtype)
    spread = t.symbol(mask.ids.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim)), torch.bool)
    return where(t, spread, t.symbol(t.ids(values).reshape(())), x)


def _converted(t: Tracer, x: Symbol, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Symbol:
    """Another type; as truths, whether numbers are not 0."""
    if dtype == torch.bool:
        return t.symbol(_truth(t, x), torch.bool)
    return moving.converted(t, x, *args, dtype=dtype, **kwargs)


def sign(t: Tracer, x: Any) -> Symbol:
    """1 above 0, -1 below, 0 at 0."""
    return t.symbol(less(t, above(t, t.ids(x)), below(t, t.ids(x))))


def _heaviside(t: Tracer, x: Any, values: Any) -> Symbol:
    """1 above 0, 0 below, and what is told at 0."""
    ids, at = broadcast(t.ids(x), t.ids(values))
    edge = products(t, opposite(t, more(t, above(t, ids), below(t, ids))), at)
    return t.symbol(more(t, above(t, ids), edge))


def _threshold(t: Tracer, x: Any, threshold: Any, value: Any) -> Symbol:
    """v where it is above a threshold, else a number."""
    ids = t.ids(x)
    other = np.full_like(ids, t.tape.constant(float(t.scalar(value))))
    return t.symbol(chosen(t, above(t, ids, float(t.scalar(threshold))), ids, other))


def _hard_shrink(t: Tracer, x: Any, lambd: Any = 0.5) -> Symbol:
    """v where |v| is above a number, else 0."""
    ids, edge = t.ids(x), float(t.scalar(lambd))
    return t.symbol(products(t, more(t, above(t, ids, edge), below(t, ids, -edge)), ids))


def wins(t: Tracer, ids: Ids) -> Ids:
    """Which along the last axis is the first of the largest: 1 there, else 0."""
    n = ids.shape[-1]
    if n > MOST:
        raise RefusalError(f"the largest of {n} numbers, more than {MOST} are not compared")
    beats = exceeds(t, *broadcast(ids[..., :, None], ids[..., None, :]))  # i beats j
    earlier = np.tri(n, dtype=bool)  # against a later one a draw is enough
    won = np.where(earlier, beats, np.swapaxes(opposite(t, beats), -1, -2))
    won = np.where(np.eye(n, dtype=bool), t.tape.constant(1.0), won)
    return positive(t, shifted(t, total(t, won, -1), 1.0 - n))


def _argmax(sign: int) -> Handler:
    """The place of the largest or smallest along an axis, the first among equals."""

    def handler(t: Tracer, x: Symbol, dim: int | None = None, keepdim: bool = False) -> Symbol:
        ids = scaled(t, t.ids(x), Fraction(sign))
        ids = ids.reshape(len(ids), -1) if dim is None else np.moveaxis(ids, dim, -1)
        if dim is None and len(ids) > 1:
            raise RefusalError("the largest of all data")
        won = wins(t, ids)
        places = t.tape.constant_ids(torch.arange(float(won.shape[-1])))
        found = total(t, products(t, won, places), -1)
        return t.symbol(np.expand_dims(found, dim) if keepdim and dim is not None else found, torch.long)

    return handler


CHOICES: dict[Any, Handler] = {
    aten.gt: _compared(torch.gt, exceeds),
    aten.lt: _compared(torch.lt, lambda t, a, b: exceeds(t, b, a)),
    aten.ge: _compared(torch.ge, lambda t, a, b: opposite(t, exceeds(t, b, a))),
    aten.le: _compared(torch.le, lambda t, a, b: opposite(t, exceeds(t, a, b))),
    aten.ne: _compared(torch.ne, differs),
    aten.eq: _compared(torch.eq, lambda t, a, b: opposite(t, differs(t, a, b))),
    aten.logical_and: _connected(both),
    aten.logical_or: _connected(either),
    aten.logical_xor: _connected(one_of),
    aten.bitwise_and: _connected(both),
    aten.bitwise_or: _connected(either),
    aten.bitwise_xor: _connected(one_of),
    aten.logical_not: _not,
    aten.bitwise_not: _not,
    aten.any: _over(False),
    aten.all: _over(True),
    aten.where: where,
    aten.masked_fill: lambda t, x, mask, value: where(t, mask, t.fitting(value, x.dtype), x),
    aten.index_put: _put,
    aten._to_copy: _converted,
    aten.sign: sign,
    aten.sgn: sign,
    aten.heaviside: _heaviside,
    aten.threshold: _threshold,
    aten.hardshrink: _hard_shrink,
    aten.argmax: _argmax(1),
    aten.argmin: _argmax(-1),
}
