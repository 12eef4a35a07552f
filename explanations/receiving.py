"""The receiver's copy of an explanation: its kind, with none of its numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from assay.models import Network
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .errors import ExplanationError


class _Blank(TorchFunctionMode):
    """Copies of real numbers come out as zeros; of anything else as they are."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in (Tensor.__deepcopy__, Tensor.clone) and args[0].is_floating_point():
            return torch.zeros_like(args[0])
        return func(*args, **(kwargs or {}))


def receiver(explanation: Any, network: Network | None = None) -> Any:
    """A copy in which every real number of the explanation, and of networks that it holds, is zero.

    What such a copy predicts from a message can come from nothing but the message. Shapes, masks and words
    stay, but for its name, which is for tables, and so do constants of the architecture (``network``'s
    buffers that no file of weights holds). Raises :class:`ExplanationError` for what cannot be copied.
    """
    constants: dict[int, Any] = {}
    if network is not None:
        stored = network.module.state_dict(keep_vars=True)
        for name, buffer in network.module.named_buffers():
            if name not in stored:
                constants[id(buffer)] = buffer
    try:
        with _Blank():
            known = copy.deepcopy(explanation, constants | _blank_arrays(vars(explanation)))
    except (TypeError, copy.Error) as error:
        raise ExplanationError(
            f"{explanation.name}: no receiver's copy can be made of it: {error}"
        ) from error
    for told in ("parts", "dictionary"):  # answers that the sender has noted on it
        vars(known).pop(told, None)
    vars(known)["name"] = "receiver"
    return known


def _blank_arrays(held: object, depth: int = 3) -> dict[int, Any]:
    """Zeros for the arrays of real numbers that an explanation holds, in tables and lists as well."""
    if isinstance(held, np.ndarray) and held.dtype.kind in "fc":
        return {id(held): np.zeros_like(held)}
    if not isinstance(held, dict | list | tuple) or not depth:
        return {}
    found: dict[int, Any] = {}
    for item in held.values() if isinstance(held, dict) else held:
        found |= _blank_arrays(item, depth - 1)
    return found
