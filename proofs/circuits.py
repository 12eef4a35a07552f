"""A circuit as a network: the model with some units of its modules held at a number."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from assay.models import InputError as ModelError
from assay.models import Network
from torch import Tensor, nn

from .claims import Circuit
from .faults import Fault, InputError


def held(model: Network, parts: Circuit, kind: str) -> Network:
    """The model with the units of a circuit kept, or held.

    Where units are kept, all others of the same modules are held; modules that are not named stay as they
    are.

    Raises:
        InputError: there is no such module or unit, or the module's output is no vector.
    """
    modules: dict[str, nn.Module] = {}
    faults: list[Fault] = []
    widths: dict[str, int | ModelError] = {}
    for number, (site, place) in enumerate(parts.units):
        if site not in widths:
            widths[site] = _width(model, site)
        size = widths[site]
        if isinstance(size, ModelError):
            faults.append(Fault(f"{kind}: {size}", key=(kind, "parts", number)))
        elif place is not None and place >= size:
            told = f"{kind}: {site} has {size} units, there is no {site}[{place}]"
            faults.append(Fault(told, key=(kind, "parts", number)))
    if faults:
        raise InputError(faults)
    for site, size in widths.items():
        assert isinstance(size, int)
        modules[site] = _masked(model, site, _open_units(parts, site, size), float(parts.value))
    return model.substitute(modules)


def _width(model: Network, site: str) -> int | ModelError:
    """Number of units of a module, or why it has none."""
    kind = model.dtype if model.input == "real" else torch.int64
    sample = torch.zeros(1, *model.in_shape, dtype=kind, device=model.device)
    try:
        with torch.no_grad():
            shape = tuple(model.run(sample, capture=[site])[1][site].shape[1:])
    except ModelError as error:
        return error
    return shape[0] if len(shape) == 1 else ModelError(f"{site} gives {shape}, expected a vector of units")


def _open_units(parts: Circuit, site: str, size: int) -> Tensor:
    """Which units of a module stay as they are [size]."""
    named = torch.zeros(size, dtype=torch.bool)
    for name, place in parts.units:
        if name == site:
            named[slice(None) if place is None else place] = True
    return named if parts.kept else ~named


def _masked(model: Network, site: str, kept: Tensor, value: float) -> nn.Module:
    """The module with other units at `value`: in the rows of a linear map, or in a diagonal map behind it."""
    module = model.module.get_submodule(site)
    if isinstance(module, nn.Linear):
        return _filled(copy.deepcopy(module), {"weight": module.weight, "bias": module.bias}, kept, value)
    size = len(kept)
    behind = nn.Linear(size, size, device=model.device, dtype=model.dtype)
    one = torch.eye(size, device=model.device, dtype=model.dtype)
    start = {"weight": one, "bias": torch.zeros_like(one[0])}
    return nn.Sequential(copy.deepcopy(module), _filled(behind, start, kept, value))


def _filled(layer: nn.Linear, start: Mapping[str, Tensor | None], kept: Tensor, value: float) -> nn.Linear:
    """A linear layer with the rows in `kept`, and zeros with `value` as bias in the others."""
    weight, bias = start["weight"], start["bias"]
    assert weight is not None
    open_ = kept.to(weight.device)
    with torch.no_grad():
        layer.weight.copy_(torch.where(open_[:, None], weight, torch.zeros_like(weight)))
        old = torch.zeros_like(weight[:, 0]) if bias is None else bias
        layer.bias = nn.Parameter(torch.where(open_, old, torch.full_like(old, value)), requires_grad=False)
    return layer
