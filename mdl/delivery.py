"""Proof of delivery of a mechanism: what is predicted comes from the message, on each datum from its parts.

A part is paid when a datum first uses it. So what is predicted of a datum may depend on the parts that are
told to be active on it, and on no others: whatever else the receiver happens to have must not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from .message import DoesNotDecode
from .part_tensors import Parts
from .parts import SentParts

Restored = Mapping[str, Tensor]
Receive = Callable[[Restored, Tensor, Tensor], Tensor]
"""(restored parts, inputs, what is told of the parts) → outputs"""


def check_sets(name: str, told: Tensor, data: int, parts: int) -> Tensor:
    """Active sets as they came: Boolean [data, positions, parts].

    Raises :class:`DoesNotDecode` for anything else: it would carry more than it pays for.
    """
    if told.dtype != torch.bool:
        raise DoesNotDecode(f"{name}: active parts came as {told.dtype}, expected torch.bool: a set is sent")
    return check_cells(name, told, data, parts)


def check_cells(name: str, told: Tensor, data: int, parts: int) -> Tensor:
    """One entry for each datum, position and part."""
    if told.ndim != 3 or (len(told), told.shape[2]) != (data, parts):
        raise DoesNotDecode(
            f"{name}: what is told of the parts has the shape {tuple(told.shape)}, expected "
            f"[{data} data, positions, {parts} parts]"
        )
    return told


def check_outputs(name: str, predicted: Tensor, truth: Tensor) -> Tensor:
    """Predictions are outputs: of the shape of the model's own."""
    if predicted.shape != truth.shape:
        got, wanted = tuple(predicted.shape), tuple(truth.shape)
        raise DoesNotDecode(f"{name}: predictions have the shape {got}, expected {wanted}")
    return predicted


def check_skeleton(name: str, sent: Parts, known: Parts) -> None:
    """What a receiver knows before the message is what is meant: names, shapes, owners, what can exist.

    ``known`` are the parts of the receiver's copy, which has none of the numbers. Raises
    :class:`DoesNotDecode` where something that is told nowhere depends on them.
    """
    if sent.count != known.count or [t.name for t in sent.tensors] != [t.name for t in known.tensors]:
        raise DoesNotDecode(f"{name}: how many parts there are, or what they are called, is told nowhere")
    for mine, theirs in zip(sent.tensors, known.tensors, strict=True):
        if (mine.values.shape, mine.is_structure) != (theirs.values.shape, theirs.is_structure):
            raise DoesNotDecode(f"{name}: {mine.name!r} has a shape or a type that is told nowhere")
        if not np.array_equal(mine.owners, theirs.owners):
            raise DoesNotDecode(f"{name}: which part each slice of {mine.name!r} belongs to is told nowhere")
        if not _alike(mine.allowed, theirs.allowed):
            raise DoesNotDecode(f"{name}: which entries of {mine.name!r} can exist is told nowhere")
        if mine.second != theirs.second:
            raise DoesNotDecode(f"{name}: how {mine.name!r} goes through a dictionary is told nowhere")


def _alike(mine: Tensor | None, theirs: Tensor | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return torch.equal(mine.cpu(), theirs.cpu())


def check_delivery(
    name: str, receive: Receive, sent: SentParts, x: Tensor, told: Tensor, predicted: Tensor
) -> None:
    """Predictions of some data must stay what they are when parts that are not active arrive as zeros.

    So for the parts that are active on none of these data, and on the first datum for those that are active
    elsewhere. Raises :class:`DoesNotDecode`.
    """
    if not torch.equal(predicted, receive(dict(sent.restored), x.clone(), told.clone())):
        raise DoesNotDecode(f"{name}: the same message was received in two ways")
    active = told != 0
    for data in (slice(None), slice(0, 1)):
        used = active[data].flatten(0, 1).any(0).cpu().numpy()
        if used.all():
            continue
        again = receive(arrived(sent, np.append(used, True)), x.clone(), told.clone())
        if not torch.equal(predicted[data], again[data]):
            raise DoesNotDecode(f"{name}: predictions use parts that are not told to be active, and not paid")


def arrived(sent: SentParts, used: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, Tensor]:
    """Restored parts where only the ``used`` [C + 1] were sent; copies that are all alike come with any."""
    found = {}
    for grid in sent.grids:
        value, here = sent.restored[grid.name], used[grid.owner]
        if not here.all() and not (here.any() and len(value) > 1 and value.stride(0) == 0):
            keep = torch.from_numpy(here).to(value.device).reshape(-1, *(1,) * (value.ndim - 1))
            value = value & keep if value.dtype == torch.bool else value * keep
        found[grid.name] = value
    return found


def check_numbers(name: str, receive: Receive, sent: SentParts, x: Tensor, told: Tensor) -> None:
    """Predictions depend on the numbers that arrive, unless there are none or a constant is predicted."""
    predicted = receive(sent.restored, x, told)
    if not sent.numbers.any() or torch.equal(predicted, predicted[:1].expand_as(predicted)):
        return
    blank = {key: v if v.dtype == torch.bool else torch.zeros_like(v) for key, v in sent.restored.items()}
    if torch.equal(predicted, receive(blank, x, told)):
        raise DoesNotDecode(f"{name}: predictions are the same when the parts arrive as zeros")
