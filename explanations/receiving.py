"""The receiver's copy of an explanation: its kind, with none of its numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from assay.models import Network
from torch import Tensor
from torch.overrides import TorchFunctionMode


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

    What such a copy predicts from a message can come from nothing but the message. Shapes, masks and names
    stay, and so do constants of the architecture (``network``'s buffers that no file of weights holds).
    """
    constants: dict[int, Any] = {}
    if network is not None:
        stored = network.module.state_dict(keep_vars=True)
        for name, buffer in network.module.named_buffers():
            if name not in stored:
                constants[id(buffer)] = buffer
    with _Blank():
        return copy.deepcopy(explanation, constants)
