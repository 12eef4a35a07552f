"""Weights that torch computes from others before each call: they have to be baked in."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .faults import Fault

_COMPUTED = (parametrizations._WeightNorm, parametrizations._SpectralNorm, parametrizations._Orthogonal)
_HOOKS = {WeightNorm: "remove_weight_norm", SpectralNorm: "remove_spectral_norm"}


def computed_weights(module: nn.Module) -> list[Fault]:
    """A fault for each such weight, which says how it becomes a weight as any other."""
    faults = []
    for path, part in module.named_modules():
        if parametrize.is_parametrized(part):
            for name, steps in part.parametrizations.items():
                if any(isinstance(step, _COMPUTED) for step in steps):
                    call = f"torch.nn.utils.parametrize.remove_parametrizations(module, {name!r})"
                    faults.append(_fault(path, name, call))
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, (WeightNorm, SpectralNorm)):
                call = f"torch.nn.utils.{_HOOKS[type(hook)]}(module, {hook.name!r})"
                faults.append(_fault(path, hook.name, call))
    return faults


def _fault(path: str, name: str, call: str) -> Fault:
    told = f"{name} is computed from other tensors before each call: bake it in with {call}"
    return Fault(told, where=path or "network")
