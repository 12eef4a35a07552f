"""The ends of every table: the whole network, the list of its computations, the list of its answers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .errors import ExplanationError
from .rebuilt import Rebuilt, always, positions

MOST_COPIES = 2 * 10**8


class WholeNetwork:
    """One part, all weights, always active."""

    kind = "network"
    donor = "zero"
    open_ended = False

    def __init__(self, network: Network, name: str = "whole network") -> None:
        self.network, self.name = network, name
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """Every parameter belongs to the one part."""
        return Parts(1, tuple(one_part(name, value, 0) for name, value in self.network.parameters().items()))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Always."""
        return always(self.network, x, 1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network as it was sent."""
        return self._rebuilt(restored)(x)

    def recipe(self) -> dict[str, object]:
        """Nothing was chosen."""
        return {"kind": self.kind}


class Lookup:
    """A list of the computations: one part per datum, each a copy of all that computes this datum.

    Each new datum pays the weights again. It is the explanation that explains nothing across data, and the
    trap that a count of active parts alone falls into ("one part is active on each datum").
    """

    kind = "lookup"
    donor = "zero"
    open_ended = True

    def __init__(self, network: Network, inputs: Tensor, name: str = "lookup table") -> None:
        size = sum(value.numel() for value in network.parameters().values())
        if size * len(inputs) > MOST_COPIES:
            raise ExplanationError(
                f"a lookup table of {len(inputs)} data × {size} weights is too large to write down; "
                "use fewer data (--limit), or `answers` for the list of the outputs"
            )
        self.network, self.name, self.entries = network, name, len(inputs)
        self._entry: dict[bytes, int] = {}  # equal data share the first entry
        for i, row in enumerate(inputs):
            self._entry.setdefault(_key(row), i)
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """One copy of every parameter for each datum (views of one tensor)."""
        owner = torch.arange(self.entries)
        copies = {n: v.expand(self.entries, *v.shape) for n, v in self.network.parameters().items()}
        return Parts(self.entries, tuple(PartTensor(name, value, owner) for name, value in copies.items()))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The entry of this datum."""
        entries = torch.tensor([self._entry[_key(row)] for row in x])
        chosen = torch.nn.functional.one_hot(entries, self.entries).bool()
        return chosen[:, None].expand(-1, positions(self.network, x), -1).to(x.device)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """All copies are alike, so the first is run."""
        return self._rebuilt(restored)(x)

    def recipe(self) -> dict[str, object]:
        """How many entries."""
        return {"kind": self.kind, "entries": self.entries}


def _key(row: Tensor) -> bytes:
    return row.detach().cpu().contiguous().numpy().tobytes()


class Answers:
    """No mechanism: the same output for every input, and a correction that tells the answers one by one.

    For regression the mean output, for a classifier or a language model the mean distribution. It is the
    floor that any mechanism has to undercut before N data are enough to call it an explanation.
    """

    kind = "answers"
    donor = "zero"
    open_ended = False

    def __init__(self, network: Network, outputs: Tensor, name: str = "answers alone") -> None:
        self.network, self.name = network, name
        rows = outputs.flatten(0, -2).double()
        if network.output == "categorical":
            self.typical = rows.softmax(-1).mean(0).clamp_min(2.0**-24).log()
        else:
            self.typical = rows.mean(0)
        self._shape = outputs.shape[1:]

    def parts(self) -> Parts:
        """The typical output, always sent."""
        return Parts(0, (one_part("typical output", self.typical, 0),))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """There is nothing to choose from."""
        return always(self.network, x, 0)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """The typical output, whatever x."""
        return restored["typical output"][0].to(x.device).expand(len(x), *self._shape)

    def recipe(self) -> dict[str, object]:
        """Nothing was chosen."""
        return {"kind": self.kind}
