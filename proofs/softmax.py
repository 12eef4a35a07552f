"""Softmax and attention, in sums, products, exp and 1/v.

What torch computes in one go is written out so that its float32 result lies within the enclosures of the
parts: exp gets no argument above 0, and where torch may compute in another way, roundings are counted for it.
"""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .arithmetic import broadcast, products, scaled, total
from .faults import RefusalError
from .ramps import below_zero, largest, less, positive, rounded, shifted
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
"""Roundings of what torch scales before or after."""
_FUSED_ROUNDINGS = 64
"""Of fused attention: its exponential is good to 20 units in the last place."""
_FUSED_KEYS = 512
_PAIRED = 8
"""Numbers whose softmax is written in differences."""
_LEAST = 1 - 2.0**-10


def softmax(t: Tracer, x: Symbol, dim: int, *rest: Any, extra: int = 1) -> Symbol:
    """exp / sum of exp along an axis; -inf takes no part.

    Over the reals and of few numbers 1 / Σ_j exp(x_j - x_i), which differences bound tightly. Otherwise as
    torch computes it: exp(x - max), each with `extra` float32 roundings more, summed and divided.
    """
    ids = np.moveaxis(t.ids(x), dim, -1)
    rows, where = np.unique(ids.reshape(-1, ids.shape[-1]), axis=0, return_inverse=True)
    found = np.full(rows.shape, -1)
    hidden = (rows < 0) & np.isneginf(t.tape.values(rows))
    for pattern in np.unique(hidden, axis=0):
        here = (hidden == pattern).all(1)
        if pattern.all():
            raise RefusalError("softmax of nothing but -inf")
        kept = np.ix_(here, ~pattern)
        plain = t.rounding or rows[kept].shape[-1] > _PAIRED
        found[kept] = _as_torch(t, rows[kept], extra) if plain else _by_differences(t, rows[kept])
    return t.symbol(np.moveaxis(found[where.ravel()].reshape(ids.shape), -1, dim))


def _by_differences(t: Tracer, rows: Ids) -> Ids:
    n = rows.shape[-1]
    apart = np.stack([np.delete(rows, i, -1) for i in range(n)], -2)  # [..., i, j of the others]
    if n == 1:
        return np.full_like(rows, t.tape.constant(1.0))
    terms = t.tape.apply("exp", less(t, *broadcast(apart, rows[..., None])))
    return t.tape.apply("reciprocal", shifted(t, total(t, terms, -1), 1.0))


def _as_torch(t: Tracer, rows: Ids, extra: int) -> Ids:
    down = below_zero(t, less(t, *broadcast(rows, largest(t, rows)[..., None])))
    terms = rounded(t, t.tape.apply("exp", t.tape.units(down)), extra)
    beyond = positive(t, shifted(t, total(t, terms, -1), -_LEAST))  # one of the terms is about 1
    return products(t, terms, t.tape.apply("reciprocal", shifted(t, beyond, _LEAST))[..., None])


def attention(
    t: Tracer,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale Q Kᵀ + mask) V; torch scales before or after, and has exponentials of its own for it."""
    tensors: list[Any] = [t.symbol(t.ids(each)) for each in (query, key, value)]
    q, k, v = tensors
    if enable_gqa and q.shape[-3] != k.shape[-3]:
        k, v = (each.repeat_interleave(q.shape[-3] // each.shape[-3], -3) for each in (k, v))
    if t.rounding and k.shape[-2] > _FUSED_KEYS:
        raise RefusalError(f"float32 attention over more than {_FUSED_KEYS} keys")
    factor = Fraction(scale if scale is not None else 1 / sqrt(q.shape[-1]))
    scores: Any = t.symbol(scaled(t, t.ids(q), factor, _LOOSE)) @ k.transpose(-1, -2)
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
    if attn_mask is not None:
        is_bool = isinstance(attn_mask, Tensor) and attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask
    pattern: Any = softmax(t, scores, -1, extra=_FUSED_ROUNDINGS)
    return pattern @ v


def _fused_attention(t: Tracer, *args: Any, attn_mask: Any = None, scale: Any = None) -> tuple[Any, None]:
    """The kernel that torch has for a CPU; it adds the mask, and gives sums of exponentials besides."""
    query, key, value, *rest = args
    return attention(t, query, key, value, attn_mask, *rest, scale=scale), None


def _safe_softmax(t: Tracer, x: Symbol, dim: int, dtype: Any = None) -> Symbol:
    if t.rounding:
        raise RefusalError("attention in an order that is not known")
    return softmax(t, x, dim)


SOFTMAX: dict[Any, Handler] = {
    aten._softmax: softmax,
    aten._safe_softmax: _safe_softmax,
    aten._scaled_dot_product_flash_attention_for_cpu: _fused_attention,
}
ATTENTION: dict[Any, Handler] = {functional.scaled_dot_product_attention: attention}
