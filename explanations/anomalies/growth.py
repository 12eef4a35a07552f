"""How many bits must a base explanation grow to explain one input? Fine-tuning for each datum.

At a site it gets one row more; a mechanism gets parts that it lacked. A datum is told in the shortest of
these ways, and what is added is on its bill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Parts
from assay.mdl.parts import SentParts
from torch import Tensor

from .observations import Observations
from .output_bits import CHUNK, OutputBits, outputs_of
from .site_bits import SiteBits

TRIED = 64
"""Parts that are tried on every datum; of more, those that shorten the most data on a first look."""


@dataclass(frozen=True, eq=False)
class Growth:
    """Activations at a site: the base, or the base with one row that is written for this datum.

    The row is what the base leaves, written at ``precision`` bits a coordinate; to name a part that nobody
    uses yet takes −log2 of half a count in n + 1.
    """

    base: SiteBits
    precision: int = 6
    name = "fine-tuned for each input"

    def score(self, seen: Observations) -> Tensor:
        """Bits of every datum [n]."""
        x, channel = seen.rows(), self.base.channel
        code = channel.integers(x)
        residual = channel.residual(x, code)
        plain = self.base.bits(code, residual)
        peak = residual.abs().amax(1, keepdim=True).clamp_min(1).double()
        steps = (2.0 ** (self.precision - 1) - 1) / peak
        part = ((residual * steps).round() / steps).round().long()
        left = self.base.bits(code, residual - part)
        written = self.precision * residual.shape[1] + 8.0
        rows = len(self.base.support.on)
        return seen.by_datum(torch.minimum(plain, left + written + torch.log2(torch.tensor(rows + 1.0))))


class Limited:
    """A mechanism explanation that may use some of its parts only: the others are never active.

    ``kept`` [parts] Boolean. Parts that no datum uses are not sent, so the rest costs nothing.
    """

    def __init__(self, whole: Any, kept: Tensor, name: str) -> None:
        if not kept.any():
            raise ExplanationError("a base explanation keeps at least one part")
        self.whole, self.kept, self.name = whole, kept.bool(), name
        self.kind, self.donor, self.open_ended = whole.kind, whole.donor, whole.open_ended
        self.network = whole.network

    def parts(self) -> Parts:
        """All of them."""
        told: Parts = self.whole.parts()
        if told.count != len(self.kept):
            raise ExplanationError(f"{len(self.kept)} flags for the {told.count} parts of {self.whole.name}")
        return told

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Those that are kept, where the whole needs them: [data, positions, parts]."""
        flags: Tensor = self.whole.active(restored, x)
        return flags & self.kept.to(flags.device)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """As the whole does."""
        predicted: Tensor = self.whole.predict(restored, x, active)
        return predicted

    def recipe(self) -> dict[str, object]:
        """Of the whole, and which parts are kept."""
        return {**self.whole.recipe(), "kept": self.kept.nonzero().flatten().tolist()}


@dataclass(frozen=True, eq=False)
class Grown:
    """Of each datum [n]: bits in all, and of them those of parts that were added for it."""

    total: Tensor
    added: Tensor


@dataclass(frozen=True, eq=False)
class PartsGrowth:
    """Outputs given a mechanism (components, circuit): the base, or the base with parts that it lacks.

    ``base`` was fitted to a :class:`Limited` explanation. Parts are added greedily, at most ``most`` for a
    datum; each costs its own bits and log2(parts) to name it, and is there at all positions of the datum.
    """

    base: OutputBits
    most: int = 3
    name = "mechanism grown for each input"

    def __post_init__(self) -> None:
        if not isinstance(self.base.explanation, Limited):
            raise ExplanationError(f"{self.base.name}: growth starts from a limited explanation")

    @property
    def lacking(self) -> Tensor:
        """The numbers of the parts that the base may not use."""
        kept: Tensor = self.base.explanation.kept
        return (~kept).nonzero().flatten()

    def score(self, seen: Observations) -> Tensor:
        """Bits of every datum [n]: outputs, active sets, and what is added."""
        return self.grow(seen).total

    def grow(self, seen: Observations) -> Grown:
        """The shortest message about each datum that adding parts leads to."""
        if seen.inputs is None:
            raise ExplanationError(f"{self.name} needs the inputs, not only activations")
        truth, cost = outputs_of(seen), part_bits(self.base.sent)
        done = [
            self._grow(x.to(self.base.explanation.network.device), y, cost)
            for x, y in zip(torch.split(seen.inputs, CHUNK), torch.split(truth, CHUNK), strict=True)
        ]
        return Grown(torch.cat([d.total for d in done]), torch.cat([d.added for d in done]))

    def _grow(self, x: Tensor, truth: Tensor, cost: Tensor) -> Grown:
        sent, whole = self.base.sent, self.base.explanation
        with torch.no_grad():
            active = whole.active(sent.restored, x)
            left = self._left(x, active, truth)
            added, parts = torch.zeros_like(left), self.lacking
            for _ in range(self.most):
                price = cost[parts] + np.log2(len(cost))
                tried = torch.stack([self._left(x, _with(active, int(c)), truth) for c in parts])
                gain = left + added - (tried + added + price[:, None])
                best, which = gain.max(0)
                better = best > 0
                if not better.any():
                    break
                left = torch.where(better, tried.gather(0, which[None])[0], left)
                added = torch.where(better, added + price[which], added)
                rows = better.nonzero().flatten().to(active.device)
                active = active.clone()
                active[rows, :, parts[which[better]].to(active.device)] = True
                parts = parts[gain.amax(1).argsort(descending=True)[:TRIED]].sort().values
        return Grown(left + added, added)

    def _left(self, x: Tensor, active: Tensor, truth: Tensor) -> Tensor:
        """Bits of the outputs and of the base's active sets."""
        predicted = self.base.explanation.predict(self.base.sent.restored, x, active)
        own = active & self.base.explanation.kept.to(active.device)
        return self.base.bits(own.flatten(0, 1).cpu(), predicted.cpu(), truth)


def part_bits(sent: SentParts) -> Tensor:
    """What each part costs [parts], all told in the way that is shortest for all."""
    everyone = np.ones(len(sent.numbers) - 1, dtype=np.int64)
    each = sum((way.bits[:-1] for way in sent.chosen(everyone)), np.zeros(len(everyone)))
    return torch.from_numpy(np.asarray(each))


def _with(active: Tensor, part: int) -> Tensor:
    more = active.clone()
    more[..., part] = True
    return more
