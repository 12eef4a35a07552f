"""Ways in which float32 may run an MLP: orders of summation, batches, threads, layouts, fused operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

Layers = list[tuple[Tensor, Tensor]]
"""Weight and bias of each affine map; a ReLU stands between two."""


def run(layers: Layers, x: Tensor) -> Tensor:
    """As torch does it."""
    for k, (weight, bias) in enumerate(layers):
        x = nn.functional.linear(x.relu() if k else x, weight, bias)
    return x[:, 0]


def by_layer(affine: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Layers, Tensor], Tensor]:
    """A way to run, of a way to do one affine map."""

    def way(layers: Layers, x: Tensor) -> Tensor:
        for k, (weight, bias) in enumerate(layers):
            x = affine(x.relu() if k else x, weight, bias)
        return x[:, 0]

    return way


def one_by_one(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The bias first, then one term after the other."""
    total = bias.expand(len(x), -1)
    for i in range(x.shape[1]):
        total = total + x[:, i : i + 1] * weight[:, i]
    return total


def backwards(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The last term first, the bias last."""
    return one_by_one(x.flip(1), weight.flip(1), torch.zeros_like(bias)) + bias


def fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One term after the other, product and sum rounded once (float64 holds a product exactly)."""
    total = bias.expand(len(x), -1)
    for i in range(x.shape[1]):
        total = (total.double() + x[:, i : i + 1].double() * weight[:, i].double()).float()
    return total


def largest_first(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """All terms of a sum, sorted, one after the other."""
    terms = torch.cat([x[:, None, :] * weight, bias.expand(len(x), -1)[..., None]], -1)
    ordered = terms.gather(-1, terms.abs().argsort(-1, descending=True))
    total = torch.zeros_like(ordered[..., 0])
    for i in range(ordered.shape[-1]):
        total = total + ordered[..., i]
    return total


def summed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """torch's own sum of the products."""
    return (x[:, None, :] * weight).sum(-1) + bias


def columns(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The other layout in memory, on both sides."""
    return x.T.contiguous().T @ weight.contiguous().T.contiguous() + bias


def in_batches(size: int) -> Callable[[Layers, Tensor], Tensor]:
    """Other sizes of batches take other kernels."""
    return lambda layers, x: torch.cat([run(layers, part) for part in x.split(size)])


def shuffled(layers: Layers, x: Tensor) -> Tensor:
    """Units in another order."""
    order, found = torch.arange(x.shape[1]).flip(0), []
    x = x[:, order]
    for weight, bias in layers:
        after = torch.randperm(len(bias), generator=torch.Generator().manual_seed(len(found)))
        found.append((weight[after][:, order].contiguous(), bias[after]))
        order = after
    return run(found, x)


def two_threads(layers: Layers, x: Tensor) -> Tensor:
    """Sums may be shared among threads."""
    torch.set_num_threads(2)
    try:
        return run(layers, x)
    finally:
        torch.set_num_threads(1)


def without_mkldnn(layers: Layers, x: Tensor) -> Tensor:
    """Another library."""
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        return run(layers, x)


WAYS: dict[str, Callable[[Layers, Tensor], Tensor]] = {
    "linear": run,
    "batches of 7": in_batches(7),
    "batches of 256": in_batches(256),
    "two threads": two_threads,
    "without mkldnn": without_mkldnn,
    "columns first": by_layer(columns),
    "units shuffled": shuffled,
    "sum of products": by_layer(summed),
    "term by term": by_layer(one_by_one),
    "backwards": by_layer(backwards),
    "fused": by_layer(fused),
    "largest first": by_layer(largest_first),
}
