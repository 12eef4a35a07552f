"""Which slices of which weights belong to one unit of a site: a neuron's in and out weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from .errors import InputError
from .network import Network
from .toys import NarrowMLP, Superposition
from .transformer import MLP, Attention, GatedMLP, SoluMLP

__all__ = ["NoUnits", "unit_sites", "unit_weights"]


class NoUnits(InputError):
    """A site whose units own no weights that we know of."""


def unit_sites(network: Network, heads: bool = False) -> tuple[str, ...]:
    """Every site whose units are neurons with weights of their own, in order; attention heads if asked."""
    return tuple(site for site in _table(network) if heads or not site.endswith("hook_z"))


def unit_weights(network: Network, site: str) -> Mapping[str, int]:
    """The parameters that touch unit i of a site, and the axis along which slice i is the unit's.

    >>> from assay.models import load
    >>> dict(unit_weights(load("zoo:tms-5-2"), "hook_hidden"))
    {'W': 0}
    """
    table = _table(network)
    if site not in table:
        known = ", ".join(table) or "none"
        raise NoUnits(f"site {site!r} of {network.name!r} has no neurons of its own; sites that do: {known}")
    return table[site]


def _table(network: Network) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for path, module in network.module.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(module, Superposition):
            table[f"{prefix}hook_hidden"] = {f"{prefix}W": 0}
        elif isinstance(module, Attention):
            # keys and values that several heads share belong to none of them
            letters = "Q" if module.repeats > 1 else "QKV"
            names = [f"{side}_{letter}" for side in "Wb" for letter in letters] + ["W_O"]
            owned = [f"_{n}" if module.shared and n[-1] in "KV" else n for n in names]
            present = [name for name in owned if getattr(module, name) is not None]
            table[f"{prefix}hook_z"] = {f"{prefix}{name}": 0 for name in present}
        elif isinstance(module, NarrowMLP):
            table[f"{prefix}hook_post"] = {f"{prefix}W_in": 1, f"{prefix}W_out": 0}
        elif isinstance(module, MLP | GatedMLP | SoluMLP):
            table[f"{prefix}hook_post"] = _feedforward(prefix, module)
        elif isinstance(module, nn.Sequential):
            table.update(_sequential(prefix, module))
    return table


def _feedforward(prefix: str, module: MLP | GatedMLP | SoluMLP) -> dict[str, int]:
    axes = {"W_in": 1, "W_gate": 1, "b_in": 0, "ln.w": 0, "ln.b": 0, "W_out": 0}
    own = dict(module.named_parameters())
    return {f"{prefix}{name}": axis for name, axis in axes.items() if name in own}


def _sequential(prefix: str, module: nn.Sequential) -> dict[str, dict[str, int]]:
    """A ReLU between two linear layers."""
    table = {}
    names = list(module._modules)
    for before, site, after in zip(names, names[1:], names[2:], strict=False):
        first, middle, last = (module._modules[name] for name in (before, site, after))
        if isinstance(first, nn.Linear) and isinstance(middle, nn.ReLU) and isinstance(last, nn.Linear):
            slices = {f"{prefix}{before}.weight": 0, f"{prefix}{after}.weight": 1}
            if first.bias is not None:
                slices[f"{prefix}{before}.bias"] = 0
            table[f"{prefix}{site}"] = slices
    return table
