"""What an explanation is built about: a network, its data, and in the site setting its activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from assay.mdl import Rows
from assay.models import Dataset, Network
from torch import Tensor

from .errors import ExplanationError
from .specs import Spec

Setting = Literal["site", "mechanism"]


@dataclass(frozen=True, eq=False)
class Subject:
    """What an explanation is about; ``x`` [rows, d] are the activations (site), ``outputs`` the model's.

    Both are computed as slices of them are asked for; ``x[:]`` and ``outputs[:]`` run the model on all data.

    ``delta`` is the step of the target's grid, where the question has one.
    """

    setting: Setting
    network: Network | None = None
    dataset: Dataset | None = None
    site: str | None = None
    x: Rows | None = None
    outputs: Rows | None = None
    seed: int = 0
    delta: float | None = None

    def activations(self) -> Tensor:
        """All activations, or an error: only the site setting has them."""
        return self._at_site()[:]

    def width(self) -> int:
        """How many coordinates the site has; no more of the data is looked at than that takes."""
        return self._at_site().shape[1]

    def _at_site(self) -> Rows:
        if self.x is None:
            raise ExplanationError("this kind explains activations at a site: use --setting site")
        return self.x

    def model(self) -> Network:
        """The network, or an error: cached activations come without one."""
        if self.network is None:
            raise ExplanationError("this kind needs the network, not only its activations")
        return self.network

    def inputs(self) -> Tensor:
        """The inputs of the data."""
        if self.dataset is None:
            raise ExplanationError("this kind needs the data, not only activations")
        return self.dataset.inputs.to(self.model().device)


Builder = Callable[[Spec, Subject], Any]
"""From a spec and a subject to an explanation, which plays in whichever setting its methods fit."""
