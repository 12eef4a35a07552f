"""Would another choice change who is shorter? Everything is scored again with one choice made otherwise.

The choices: the grid of the target, the precision of parts, and, for kinds that declare ``donors``, what
stands in for what an explanation leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from assay.mdl.report import Report

from .registry import build
from .specs import Spec
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
    """The reports as they are, then with delta × 2 and / 2, then with parts one bit more and less precise,
    then with each donor that some of the kinds have (kinds without it stay as they are)."""
    asked = replace(
        evidence, question=replace(evidence.question, audit=False, held_out=False, readings=False)
    )

    def total(question: Question, spec: str) -> float:
        under = replace(asked, question=question)
        return weigh_one(under, build(spec, under.subject()), progress=progress).ledger.total_per_sample

    found = [Variation("", tuple(r.ledger.total_per_sample for r in reports))]
    for choice, change in _choices(asked.question).items():
        precisions = [int(r.knobs["precision"]) for r in reports]
        questions = [change(asked.question, p) for p in precisions]
        found.append(Variation(choice, tuple(map(total, questions, specs))))
    by_donor = [donor_specs(evidence, spec) for spec in specs]
    for donor in dict.fromkeys(name for each in by_donor for name in each):
        totals = [
            total(asked.question, each[donor]) if donor in each else as_it_is
            for each, as_it_is in zip(by_donor, found[0].totals, strict=True)
        ]
        found.append(Variation(f"donor {donor}", tuple(totals)))
    return found


def donor_specs(evidence: Evidence, spec: str) -> dict[str, str]:
    """The spec with each other donor that its kind declares, by the donor's name."""
    explanation = build(spec, evidence.subject())
    names = getattr(explanation, "donors", ())
    if not names:
        return {}
    parsed, now = Spec.parse(spec), explanation.recipe().get("donor", explanation.donor)
    every = replace(parsed, options={**parsed.options, "donor": ":".join(names)}).each(["donor"])
    return {one.options["donor"]: one.text for one in every if one.options["donor"] != now}


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
