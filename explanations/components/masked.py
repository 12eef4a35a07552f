"""Layers whose weights are sums of rank-1 components that can be switched on and off on each datum.

W = Σ_c m_c L_c R_cᵀ with L [C, rows] and R [C, columns]; a mask m [data, (positions,) C] multiplies the
components on the way through, so no weight matrix is built per datum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from assay.explanations.errors import ExplanationError
from assay.models import HookPoint, Network
from assay.models.target_models import TransposedLinear
from assay.models.toys import NarrowMLP, Superposition
from assay.models.transformer import MLP
from torch import Tensor, nn


@dataclass
class Use:
    """One use of a weight: what was read [..., d_in], the inner activations [..., C], the writing vectors."""

    read: Tensor | None
    inner: Tensor
    writes: Tensor


@dataclass
class Factors:
    """Components of one weight: L [C, rows], R [C, columns]; ``mask`` None means all of them.

    With all components on, each use of the weight is kept in ``uses``; with ``target`` [rows, columns] the
    components look on while the weight itself does the work.
    """

    L: Tensor
    R: Tensor
    mask: Tensor | None = None
    uses: list[Use] = field(default_factory=list)
    target: Tensor | None = None

    @property
    def inner(self) -> Tensor:
        """Inner activations [..., C] of the first use."""
        return self.uses[0].inner

    def forward(self, x: Tensor) -> Tensor:
        """x W for x [..., rows], by the inner activations x·L_c."""
        inner = x @ self.L.T
        return self._write(x, inner, self.R, None if self.target is None else x @ self.target)

    def backward(self, x: Tensor) -> Tensor:
        """x Wᵀ for x [..., columns], by the inner activations x·R_c."""
        inner = x @ self.R.T
        return self._write(x, inner, self.L, None if self.target is None else x @ self.target.T)

    def lookup(self, tokens: Tensor) -> Tensor:
        """The rows of W of these tokens; a component's inner activation is its entry of that row in L."""
        whole = None if self.target is None else self.target[tokens]
        return self._write(None, self.L.T[tokens], self.R, whole)

    def _write(self, read: Tensor | None, inner: Tensor, writes: Tensor, whole: Tensor | None) -> Tensor:
        if self.mask is None:
            self.uses.append(Use(read, inner, writes))
            return inner @ writes if whole is None else whole
        return (inner * self.mask) @ writes

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

    def __init__(
        self, module: nn.Linear | TransposedLinear, path: str, factors: Mapping[str, Factors]
    ) -> None:
        super().__init__()
        self.bias, self.weight = module.bias, factors[f"{path}weight"]

    def forward(self, x: Tensor) -> Tensor:
        """As the module it stands for."""
        out = self.weight.backward(x)
        return out if self.bias is None else out + self.bias


class MaskedTransposed(nn.Module):
    """A layer that borrows another's weight, with that weight in components; masked alike."""

    def __init__(self, module: TransposedLinear, borrowed: Factors) -> None:
        super().__init__()
        self.bias, self.borrowed = module.bias, borrowed

    def forward(self, x: Tensor) -> Tensor:
        """As the module it stands for."""
        return self.borrowed.forward(x) + self.bias


class MaskedEmbedding(nn.Module):
    """A table [tokens, width] in components."""

    def __init__(self, path: str, factors: Mapping[str, Factors]) -> None:
        super().__init__()
        self.weight = factors[f"{path}weight"]

    def forward(self, tokens: Tensor) -> Tensor:
        """As the module it stands for."""
        return self.weight.lookup(tokens)


def masked(network: Network, factors: Mapping[str, Factors]) -> Network:
    """The network with the modules that own these weights replaced by their masked twins.

    Raises :class:`ExplanationError` for a weight whose module has no masked form, or a wrong shape.
    """
    _check(network, factors)
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
    twins = {path: _twin(modules[path], f"{path}.", factors) for path in paths}
    return network.substitute(_borrowers(modules, factors) | twins)


def _check(network: Network, factors: Mapping[str, Factors]) -> None:
    for name, f in factors.items():
        weight = weight_of(network, name)
        if weight is None:
            raise ExplanationError(f"components: {network.name!r} has no weight {name!r}")
        if (got := (f.L.shape[1], f.R.shape[1])) != tuple(weight.shape) or len(f.L) != len(f.R):
            raise ExplanationError(f"components of {name}: {got}, the weight is {tuple(weight.shape)}")


def weight_of(network: Network, name: str) -> Tensor | None:
    """A weight by name, a borrowed one as well; None where there is none."""
    path, _, leaf = name.rpartition(".")
    module = dict(network.module.named_modules()).get(path)
    found = getattr(module, leaf, None) if module is not None else None
    return found if isinstance(found, Tensor) else None


def _borrowers(modules: Mapping[str, nn.Module], factors: Mapping[str, Factors]) -> dict[str, nn.Module]:
    """Twins of the layers that borrow a weight which is in components."""
    twins: dict[str, nn.Module] = {}
    owners = {module: f"{path}.weight" for path, module in modules.items() if isinstance(module, nn.Linear)}
    for path, module in modules.items():
        if isinstance(module, TransposedLinear) and (owner := owners[module.source]) in factors:
            twins[path] = MaskedTransposed(module, factors[owner])
    return twins


def _twin_needs(module: nn.Module, path: str) -> set[str]:
    return {f"{path}.W_in", f"{path}.W_out"} if isinstance(module, MLP | NarrowMLP) else set()


def _twin(module: nn.Module, path: str, factors: Mapping[str, Factors]) -> nn.Module:
    if isinstance(module, Superposition):
        return MaskedSuperposition(module, path, factors)
    if isinstance(module, MLP | NarrowMLP):
        return MaskedMLP(module, path, factors)
    if isinstance(module, nn.Linear | TransposedLinear):
        return MaskedLinear(module, path, factors)
    if isinstance(module, nn.Embedding):
        return MaskedEmbedding(path, factors)
    where = path or "the top"
    raise ExplanationError(f"components: {type(module).__name__} at {where} has no masked form")


def clear(factors: Mapping[str, Factors]) -> None:
    """Forget masks and uses of the last run."""
    for f in factors.values():
        f.mask, f.uses = None, []
