"""What every family of compact proofs shares: what a strategy is, what it proved, and which proofs are best.

A plug-in is any object that satisfies `AnyStrategy` for the subjects of its family. It has a cost (the
operations of the verification, metered as it runs, and the least of them known beforehand), a soundness
argument in words, and a bound: the number of sequences for which the argument shows that the model is right.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from assay.models import Network
from assay.proofs.faults import InputError

from .costs import Meter

__all__ = ["AnyStrategy", "AnySubject", "Bound", "Semantics", "apply", "area", "best", "frontier"]

Semantics = Literal["real", "float32"]


class AnySubject(Protocol):
    """A network, and the arithmetic that is claimed about."""

    @property
    def network(self) -> Network:
        """The network."""

    @property
    def semantics(self) -> Semantics:
        """Exact arithmetic on the stored weights, or whatever torch computes in float32."""

    @property
    def shape(self) -> Any:
        """The sizes, among them how many `sequences` there are.  Raises `InputError`."""


Asked = TypeVar("Asked", bound=AnySubject, contravariant=True)
Sizes = TypeVar("Sizes", contravariant=True)


class AnyStrategy(Protocol[Asked, Sizes]):
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

    def cost(self, shape: Sizes) -> int:
        """The operations that are known before the weights are: no run takes fewer."""

    def unexplained(self, shape: Sizes) -> int:
        """The unexplained dimension: how many cases are told apart."""

    def certified(self, subject: Asked, meter: Meter) -> int:
        """How many of all sequences are certified; counts its operations.

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

    strategy: AnyStrategy[Any, Any]
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


def apply(strategy: AnyStrategy[Asked, Any], subject: Asked) -> Bound:
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


def best(bounds: Iterable[Bound], budget: float = math.inf) -> Bound | None:
    """Of the bounds within the budget the one that certifies most, of equals the shortest."""
    within = [bound for bound in bounds if bound.operations <= budget]
    return max(within, key=lambda bound: (bound.certified, -bound.operations), default=None)


def frontier(bounds: Iterable[Bound]) -> list[Bound]:
    """The bounds that no shorter proof reaches, the shortest first."""
    kept: list[Bound] = []
    for bound in sorted(bounds, key=lambda bound: (bound.operations, -bound.certified)):
        if not kept or bound.certified > kept[-1].certified:
            kept.append(bound)
    return kept


def area(bounds: Iterable[Bound], reading: int, brute_force: int) -> float:
    """Q = 1 / ln(B / E) · the integral of a(b) db / b from E, reading the weights, to B, brute force.

    a(b) is the accuracy certified with at most b operations.
    """
    short = [b for b in frontier(bounds) if b.operations < brute_force]
    starts = [math.log(max(b.operations, reading)) for b in short]
    low, high = math.log(reading), math.log(brute_force)  # of whole numbers that no float may hold
    ends = [*starts[1:], high]
    return sum(b.accuracy * (e - s) for b, s, e in zip(short, starts, ends, strict=True)) / (high - low)
