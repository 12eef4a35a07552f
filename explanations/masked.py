"""Layers whose weights are sums of rank-1 components that can be switched on and off on each datum.

W = Σ_c m_c L_c R_cᵀ with L [C, rows] and R [C, columns]; a mask m [data, (positions,) C] multiplies the
components on the way through, so no weight matrix is built per datum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from assay.models import HookPoint, Network
from assay.models.toys import NarrowMLP, Superposition
from assay.models.transformer import MLP
from torch import Tensor, nn

from .errors import ExplanationError


@dataclass
class Factors:
    """Components of one weight: L [C, rows], R [C, columns]; ``mask`` None means all of them."""

    L: Tensor
    R: Tensor
    mask: Tensor | None = None
    inner: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x W for x [..., rows]; the inner activations x·L_c are kept."""
        return self._through(x, self.L, self.R)

    def backward(self, x: Tensor) -> Tensor:
        """x Wᵀ for x [..., columns]; the inner activations x·R_c are kept."""
        return self._through(x, self.R, self.L)

    def _through(self, x: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
        inner = x @ reads.T
        if self.inner is None:
            self.inner = inner
        return (inner if self.mask is None else inner * self.mask) @ writes

    @property
    def weight(self) -> Tensor:
        """W [rows, columns] with every component on."""
        return self.L.T @ self.R


class MaskedSuperposition(nn.Module):
    """:class:`Superposition` with W in components; both uses of W are masked alike."""

    def __init__(self, module: Superposition, path: str, factors: Mapping[str, Factors]) -> None:
        super().__init__()
        self.b, self.W = module.b, factors[f"{path}W"]
        self.hook_hidden, self.hook_pre, self.hook_out = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """As the module it stands for."""
        hidden = self.hook_hidden(self.W.backward(x))
        out: Tensor = self.hook_out(torch.relu(self.hook_pre(self.W.forward(hidden) + self.b)))
        return out


class MaskedMLP(nn.Module):
    """An MLP (of a transformer or a residual toy) with W_in and W_out in components."""

    def __init__(self, module: MLP | NarrowMLP, path: str, factors: Mapping[str, Factors]) -> None:
        super().__init__()
        self.W_in, self.W_out = factors[f"{path}W_in"], factors[f"{path}W_out"]
        self.b_in, self.b_out = getattr(module, "b_in", None), getattr(module, "b_out", None)
        self.act = getattr(module, "act", torch.relu)
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """As the module it stands for."""
        pre = self.W_in.forward(x)
        pre = self.hook_pre(pre if self.b_in is None else pre + self.b_in)
        out = self.W_out.forward(self.hook_post(self.act(pre)))
        return out if self.b_out is None else out + self.b_out


class MaskedLinear(nn.Module):
    """A linear layer with its weight [out, in] in components."""

    def __init__(self, module: nn.Linear, path: str, factors: Mapping[str, Factors]) -> None:
        super().__init__()
        self.bias, self.weight = module.bias, factors[f"{path}weight"]

    def forward(self, x: Tensor) -> Tensor:
        """As the module it stands for."""
        out = self.weight.backward(x)
        return out if self.bias is None else out + self.bias


def masked(network: Network, factors: Mapping[str, Factors]) -> Network:
    """The network with the modules that own these weights replaced by their masked twins.

    Raises :class:`ExplanationError` for a weight whose module has no masked form, or a wrong shape.
    """
    own = network.parameters()
    for name, f in factors.items():
        if name not in own:
            raise ExplanationError(f"components: {network.name!r} has no weight {name!r}")
        if (got := (f.L.shape[1], f.R.shape[1])) != tuple(own[name].shape) or len(f.L) != len(f.R):
            raise ExplanationError(f"components of {name}: {got}, the weight is {tuple(own[name].shape)}")
    paths = sorted({name.rpartition(".")[0] for name in factors})
    if paths == [""]:
        return Network(
            network.name, _twin(network.module, "", factors), network.output, network.input, network.in_shape
        )
    modules = dict(network.module.named_modules())
    for path in paths:
        if missing := _twin_needs(modules[path], path) - factors.keys():
            raise ExplanationError(
                f"components at {path}: {', '.join(sorted(missing))} must be given as well"
            )
    return network.substitute({path: _twin(modules[path], f"{path}.", factors) for path in paths})


def _twin_needs(module: nn.Module, path: str) -> set[str]:
    return {f"{path}.W_in", f"{path}.W_out"} if isinstance(module, MLP | NarrowMLP) else set()


def _twin(module: nn.Module, path: str, factors: Mapping[str, Factors]) -> nn.Module:
    if isinstance(module, Superposition):
        return MaskedSuperposition(module, path, factors)
    if isinstance(module, MLP | NarrowMLP):
        return MaskedMLP(module, path, factors)
    if isinstance(module, nn.Linear):
        return MaskedLinear(module, path, factors)
    where = path or "the top"
    raise ExplanationError(f"components: {type(module).__name__} at {where} has no masked form")


def clear(factors: Mapping[str, Factors]) -> None:
    """Forget masks and inner activations of the last run."""
    for f in factors.values():
        f.mask = f.inner = None
