"""Would another choice change who is shorter? Everything is scored again with one choice made otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from assay.mdl.report import Report

from .registry import build
from .weighing import Evidence, Progress, Question, weigh_one

MOST_PRECISE = 32


@dataclass(frozen=True)
class Variation:
    """One choice made otherwise, and the totals in bits per sample, in the order of the reports."""

    choice: str
    totals: tuple[float, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """The place of each, from 0 for the shortest; equal totals share one."""
        return tuple(sum(other < mine for other in self.totals) for mine in self.totals)


def variations(
    evidence: Evidence, specs: Sequence[str], reports: Sequence[Report], progress: Progress | None = None
) -> list[Variation]:
    """The reports as they are, then with delta × 2 and / 2, then with parts one bit more and less precise."""
    found = [Variation("", tuple(r.ledger.total_per_sample for r in reports))]
    for choice, change in _choices(evidence.question).items():
        totals = []
        for spec, report in zip(specs, reports, strict=True):
            question = change(evidence.question, int(report.knobs["precision"]))
            asked = replace(evidence, question=replace(question, audit=False))
            scored = weigh_one(asked, build(spec, asked.subject()), progress=progress)
            totals.append(scored.ledger.total_per_sample)
        found.append(Variation(choice, tuple(totals)))
    return found


Change = Callable[[Question, int], Question]


def _choices(question: Question) -> dict[str, Change]:
    """How a question may be asked otherwise; each explanation's precision moves from where it was."""
    delta = question.delta
    grids: dict[str, Change] = {}
    if delta is not None:
        grids["delta × 2"] = lambda q, _: replace(q, delta=delta * 2)
        grids["delta / 2"] = lambda q, _: replace(q, delta=delta / 2)
    return {
        **grids,
        "precision + 1": lambda q, p: replace(q, precision=min(p + 1, MOST_PRECISE)),
        "precision − 1": lambda q, p: replace(q, precision=max(p - 1, 2)),
    }


def marked(reports: Sequence[Report], varied: Sequence[Variation]) -> list[Report]:
    """The reports, with the choices that would change their places among the checks."""
    first, *others = varied
    tried = ", ".join(v.choice for v in others)
    return [
        report.model_copy(
            update={
                "checks": {
                    **report.checks,
                    "choices_tried": tried,
                    "place_changes_under": ", ".join(
                        v.choice for v in others if v.places[i] != first.places[i]
                    ),
                }
            }
        )
        for i, report in enumerate(reports)
    ]
