"""From scores to a circuit: the highest are kept, by edge, by node, or by coordinate of what nodes write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor

from .told import CircuitFile

Level = Literal["edge", "node", "neuron"]
By = Literal["abs", "score"]


@dataclass(frozen=True)
class Cut:
    """How much is kept: a fraction ``keep``, a ``count``, or all from a ``threshold`` on; at most one.

    ``by`` ranks by magnitude or by the score itself. With none of the three a file's own circuit is taken.
    """

    keep: float | None = None
    count: int | None = None
    threshold: float | None = None
    by: By = "abs"
    level: Level = "edge"

    def __post_init__(self) -> None:
        given = [v for v in (self.keep, self.count, self.threshold) if v is not None]
        if len(given) > 1:
            raise ExplanationError("circuit: give one of keep=, edges= and threshold=, not several")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise ExplanationError(f"circuit: keep must be in (0, 1], got {self.keep}")
        if self.count is not None and self.count < 0:
            raise ExplanationError(f"circuit: the number of edges must not be negative, got {self.count}")
        if self.threshold is not None and self.threshold != self.threshold:
            raise ExplanationError("circuit: the threshold is not a number")
        for field, value, known in (("by", self.by, By), ("level", self.level, Level)):
            if value not in get_args(known):
                raise ExplanationError(
                    f"circuit: {field} is {value!r}, expected {' or '.join(get_args(known))}"
                )

    @property
    def as_told(self) -> bool:
        """Whether nothing is cut."""
        return self.keep is None and self.count is None and self.threshold is None

    def __call__(self, scores: Tensor, candidates: Tensor) -> Tensor:
        """Which candidates are kept: a Boolean mask like the scores'; ties go to the first."""
        ranked = (scores.abs() if self.by == "abs" else scores)[candidates]
        if self.threshold is not None:
            chosen = ranked >= self.threshold
        else:
            count = int((self.keep or 0.0) * len(ranked) + 1e-9) if self.count is None else self.count
            if count > len(ranked):
                raise ExplanationError(f"circuit: {count} to keep, there are {len(ranked)}")
            chosen = torch.zeros(len(ranked), dtype=torch.bool)
            chosen[ranked.argsort(descending=True, stable=True)[:count]] = True
        mask = torch.zeros_like(candidates)
        mask[candidates] = chosen
        return mask


def cut(told: CircuitFile, how: Cut) -> tuple[Tensor, Tensor | None]:
    """Edges [positions or 1, sources, targets], and coordinates [sources, d] where these are told apart.

    Raises :class:`ExplanationError` where the file has no scores for what is asked.
    """
    if how.as_told:
        return _as_told(told), told.neurons
    real = told.graph.real[None]
    if how.level == "edge":
        if told.scores is None:
            raise ExplanationError(
                f"{told.path}: has no scores of edges to cut by; leave out keep=, edges=, …"
            )
        return how(told.scores, real.expand_as(told.scores)), None
    scores = told.node_scores if how.level == "node" else told.neuron_scores
    if scores is None:
        raise ExplanationError(f"{told.path}: has no scores of {how.level}s; level=edge cuts by edges")
    scored = ~scores.isnan()
    kept = how(scores.nan_to_num(), scored) | ~scored
    nodes = kept if how.level == "node" else kept.any(1)
    return real & nodes[:, None], None if how.level == "node" else kept


def _as_told(told: CircuitFile) -> Tensor:
    """A file's own circuit, or the edges that score 1 where all score 0 or 1."""
    if told.edges is not None and bool(told.edges.any()):
        return told.edges
    if (
        told.scores is not None
        and bool(told.scores.any())
        and bool(((told.scores == 0) | (told.scores == 1)).all())
    ):
        return told.scores == 1
    raise ExplanationError(
        f"{told.path}: says how much each edge matters, not which are kept; give keep=, edges= or threshold="
    )


def size(told: CircuitFile) -> float:
    """The fraction of all edges that a file's circuit keeps, an edge weighted by its coordinates (MIB)."""
    edges = _as_told(told).double().mean(0)
    share = (
        torch.ones(len(edges), dtype=torch.float64) if told.neurons is None else told.neurons.double().mean(1)
    )
    return float((edges * share[:, None]).sum() / told.graph.real.sum())
