"""What a strategy is, and what it is applied to.

A plug-in is any object that satisfies `Strategy`. It has a cost (the operations of the verification, metered
as it runs, and the least of them known beforehand), a soundness argument in words, and a bound: the number of
sequences for which the argument shows that the model is right.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from assay.models import Network
from assay.proofs.faults import InputError

from .costs import Meter
from .max_of_k import MaxOfK, Shape, read
from .paths import Paths, Rank, paths
from .rounding import Slack

__all__ = ["Bound", "Semantics", "Strategy", "Subject", "apply"]

Semantics = Literal["real", "float32"]


@dataclass(frozen=True)
class Subject:
    """A network, read as max-of-K, and the arithmetic that is claimed about.

    Semantics "real" is exact arithmetic on the stored weights; "float32" whatever torch computes, in any
    order of summation (see `.rounding`).
    """

    network: Network
    semantics: Semantics = "real"

    @cached_property
    def model(self) -> MaxOfK:
        """The weights.  Raises `InputError`."""
        return read(self.network)

    @cached_property
    def _multiplied(self) -> dict[tuple[Rank, Rank], Paths]:
        return {}

    def tables(self, QK: Rank = "full", EU: Rank = "full") -> Paths:
        """The products along the paths, or bounds on them by low rank.  Raises `InputError`."""
        ranks = QK, EU
        if ranks not in self._multiplied:
            self._multiplied[ranks] = paths(self.model, QK, EU, self.semantics == "float32")
        return self._multiplied[ranks]

    @property
    def paths(self) -> Paths:
        """All products in full.  Raises `InputError`."""
        return self.tables()

    @property
    def slack(self) -> Slack:
        """What the arithmetic may be off by.  Raises `InputError`."""
        return self.paths.slack

    @property
    def shape(self) -> Shape:
        """The sizes."""
        return self.model.shape


class Strategy(Protocol):
    """A way to bound from below how many sequences a model is right on."""

    @property
    def name(self) -> str:
        """What to ask for."""

    @property
    def argument(self) -> str:
        """Why the bound holds: the rules it uses."""

    @property
    def semantics(self) -> tuple[Semantics, ...]:
        """The arithmetics that it is sound for."""

    def cost(self, shape: Shape) -> int:
        """The operations that are known before the weights are: no run takes fewer."""

    def unexplained(self, shape: Shape) -> int:
        """The unexplained dimension: how many cases are told apart."""

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many of the v^K sequences are certified; counts its operations.

        Raises `InputError` where the strategy does not apply.
        """


@dataclass(frozen=True)
class Bound:
    """What a strategy proved: the model is right on at least `certified` of `sequences`.

    Attributes:
        operations: length of the proof, by the cost model of `.costs`; `parts` says where they go.
        unexplained: the unexplained dimension.
        seconds: of processor time that it took here, less products of weights that were known before.
    """

    strategy: Strategy
    certified: int
    sequences: int
    operations: int
    parts: dict[str, int] = field(repr=False)
    unexplained: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """The accuracy that is certified."""
        return self.certified / self.sequences


def apply(strategy: Strategy, subject: Subject) -> Bound:
    """Run a strategy.  Raises `InputError` where it does not apply."""
    if subject.semantics not in strategy.semantics:
        wanted = " or ".join(strategy.semantics)
        raise InputError(f"strategy {strategy.name}: sound for semantics {wanted}, not {subject.semantics}")
    shape, meter = subject.shape, Meter()
    start = time.process_time()
    certified = strategy.certified(subject, meter)
    seconds = time.process_time() - start
    unexplained = strategy.unexplained(shape)
    return Bound(strategy, certified, shape.sequences, meter.total, dict(meter.parts), unexplained, seconds)
