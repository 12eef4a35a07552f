"""Architectures as plain data: what a module is, and how to build it again without its weights."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn

from .errors import InputError
from .hooks import HookPoint
from .products import ComplexProduct, MatrixProduct, ProductConfig
from .toys import ResidualMLP, ResidualMLPConfig, Superposition, SuperpositionConfig
from .transformer import Transformer, TransformerConfig

__all__ = ["build", "describe"]

CONFIGURED: dict[str, tuple[type[nn.Module], type[Any]]] = {
    "transformer": (Transformer, TransformerConfig),
    "superposition": (Superposition, SuperpositionConfig),
    "residual-mlp": (ResidualMLP, ResidualMLPConfig),
    "complex-product": (ComplexProduct, ProductConfig),
    "matrix-product": (MatrixProduct, ProductConfig),
}

PLAIN: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "identity": nn.Identity, "hook": HookPoint}


def describe(module: nn.Module) -> dict[str, Any]:
    """Say in JSON's types how a module is built.

    Raises `InputError` for a module that is neither one of ours nor made of sequential linear and ReLU
    layers.
    """
    for name, (kind, _) in CONFIGURED.items():
        if type(module) is kind:
            config: Any = module.config
            return {"kind": name, **dataclasses.asdict(config)}
    if type(module) is nn.Sequential:
        return {"kind": "sequential", "layers": {n: describe(m) for n, m in module.named_children()}}
    if type(module) is nn.Linear:
        shape = {"in_features": module.in_features, "out_features": module.out_features}
        return {"kind": "linear", **shape, "bias": module.bias is not None}
    for name, plain in PLAIN.items():
        if type(module) is plain:
            return {"kind": name}
    raise InputError(f"cannot write down how a {type(module).__name__} is built; known: {_known()}")


def build(description: dict[str, Any]) -> nn.Module:
    """Build the module of a description, its weights not yet set; the inverse of `describe`."""
    try:
        return _build(description)
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        raise InputError(f"bad description of an architecture: {error}") from error


def _build(description: dict[str, Any]) -> nn.Module:
    rest = dict(description)
    kind = rest.pop("kind")
    if kind in CONFIGURED:
        module, config = CONFIGURED[kind]
        return module(config(**rest))
    if kind == "sequential":
        return nn.Sequential(OrderedDict((name, build(layer)) for name, layer in rest["layers"].items()))
    if kind == "linear":
        return nn.Linear(**rest)
    if kind in PLAIN:
        return PLAIN[kind]()
    raise InputError(f"unknown architecture {kind!r}; known: {_known()}")


def _known() -> str:
    return ", ".join(sorted([*CONFIGURED, *PLAIN, "linear", "sequential"]))
