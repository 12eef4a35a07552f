"""Which stages are tried on a claim, in which order, with which share of the time, and why.

Costs are multiplications, estimated before anything is tried: a run of the networks costs as many as their
matrices have entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import comparing
from .bounds import Bounds, Rough
from .claims import Claim
from .obligations import Obligation
from .program import Relu
from .search import Search
from .stages import enumeration, falsify, smt, split
from .verdicts import RECHECK

ENUMERABLE = 1 << 25
"""Inputs that are run at most, where nothing else can be done."""
SWEPT = 1 << 16
"""Inputs that are run at most to look for a counterexample."""
LISTED = 1 << 14
"""Inputs that a certificate lists at most, one by one, where functions are curved."""
SWEEP = "exact sweep in torch"
LISTING = "points"
LEMMAS = "lemmas"
SPLIT_SHARE, LAST_SHARE = 0.7, 0.8
"""Before z3, and where nothing comes afterwards but the checker."""
COMPARED_SHARE = 0.25
COUNTED_SHARE = 0.2
"""Where every input can be run in torch afterwards."""
_FALSIFY_SHARE = 0.2
_RUNS = 1024 + 3 * falsify.STARTS * falsify.STEPS
_MANY = 60
_LARGE = 1 << 20
"""Multiplications of a run, above which z3 has no chance, and open ReLUs need not be counted well."""


@dataclass(frozen=True)
class Step:
    """A stage that will be tried.

    Attributes:
        stage: its name, as verdicts tell it.
        seconds: what it may take.
        cost: multiplications, about; None where nobody can tell.
        why: the reason that it is tried here.
    """

    stage: str
    seconds: float
    cost: float | None
    why: str


@dataclass(frozen=True)
class Plan:
    """The stages for one claim in order, and those that are left out, each with the reason."""

    name: str
    text: str
    steps: tuple[Step, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "name": self.name,
            "text": self.text,
            "steps": [vars(step) for step in self.steps],
            "left_out": [{"stage": stage, "why": why} for stage, why in self.left_out],
        }


def unstable_units(search: Search) -> int:
    """ReLUs whose sign bounds over the whole scope leave open; cheap ones where the network is large."""
    large = search.obligation.program.multiplications() > _LARGE
    bounds = (Rough if large else Bounds)(search.batch, search.lo[None], search.hi[None])
    open_units = 0
    for step in search.obligation.program.steps:
        if isinstance(step, Relu):
            low, high = bounds.interval(step.source)
            open_units += int(((low < 0) & (high > 0)).sum())
    return open_units


def planned(search: Search, seconds: float, *, recheck: bool = False) -> Plan:
    """The plan for a claim whose networks have an exact form."""
    obligation, claim = search.obligation, search.claim
    cost, unstable = obligation.program.multiplications(), unstable_units(search)
    steps: list[Step] = []
    left_out: list[tuple[str, str]] = []
    if recheck:
        steps.append(
            Step(RECHECK, seconds, None, "an accepted certificate of this very claim needs no search")
        )
    else:
        left_out.append((RECHECK, "no folder of certificates holds one of this claim and these weights"))
    if claim.lemmas:
        told = ", ".join(lemma.kind for lemma in claim.lemmas)
        steps.append(Step(LEMMAS, seconds / 2, None, f"the claim tells how the network works: {told}"))
    points = obligation.points()
    first = [Step(falsify.NAME, _FALSIFY_SHARE * seconds, float(_RUNS * cost), _eliminated(obligation))]
    if points is not None and points <= SWEPT:
        why = f"{points} inputs are left under the condition: running all finds any counterexample"
        first.append(Step(SWEEP, _FALSIFY_SHARE * seconds, float(points * cost), why))
    else:
        listed = "some inputs are real" if points is None else f"{points} inputs are more than {SWEPT}"
        left_out.append((SWEEP, listed))
    steps += sorted(first, key=lambda step: step.cost or 0.0)
    if comparing.comparable(obligation):
        why = "two calls of a network, or of a copy: ReLUs of one are told from those of the other"
        steps.append(Step(comparing.NAME, COMPARED_SHARE * seconds, float(2 * cost), why))
    boxes, free = 2.0 ** min(unstable, _MANY), len(obligation.free)
    told = f"{unstable} of its ReLUs are open over the scope of {free} free variables"
    functions, total = obligation.program.functions(), enumeration.size_of(claim)
    counted = bool(functions) and total is not None and total <= ENUMERABLE
    asked = max(functions, unstable) <= smt.MAX_UNSTABLE
    left = seconds * (COUNTED_SHARE if counted else SPLIT_SHARE if asked else LAST_SHARE)
    steps.append(Step(split.NAME, left, boxes * cost, f"{told}; gives certificates"))
    if functions and points is not None and points <= LISTED:
        why = f"{points} inputs, at each of which the checker encloses {functions} values of functions"
        steps.insert(len(steps) - 1, Step(LISTING, seconds * SPLIT_SHARE, float(points * cost), why))
    if functions > smt.MAX_UNSTABLE:
        left_out.append((smt.NAME, f"{functions} values of functions, it is asked up to {smt.MAX_UNSTABLE}"))
    elif unstable <= smt.MAX_UNSTABLE:
        why = f"last, as it leaves no certificate: {unstable} ReLUs to decide"
        steps.append(Step(smt.NAME, seconds - left, boxes * cost * 1e3, why))
    else:
        left_out.append((smt.NAME, f"{unstable} open ReLUs, it is asked up to {smt.MAX_UNSTABLE}"))
    if counted and total is not None:
        why = f"all of {total} inputs are run in torch, which gives no certificate"
        steps.append(Step(enumeration.NAME, seconds, float(total * cost), why))
    return Plan(claim.name, claim.text, tuple(steps), tuple(left_out))


def _eliminated(obligation: Obligation) -> str:
    if not obligation.substitution:
        return "a counterexample is the cheapest answer"
    names = ", ".join(name for name, _ in obligation.substitution)
    return f"the condition is substituted exactly, which eliminates {names}; what is left is searched first"


def planned_in_torch(claim: Claim, seconds: float, reason: str) -> Plan:
    """The plan for a claim whose networks torch alone can run, or whose inputs are counted."""
    total = enumeration.size_of(claim)
    if total is None or total > ENUMERABLE:
        told = "some inputs are real" if total is None else f"{total} inputs are more than {ENUMERABLE}"
        return Plan(claim.name, claim.text, (), ((enumeration.NAME, told), ("all others", reason)))
    step = Step(enumeration.NAME, seconds, None, f"{reason}; all of {total} inputs are run in torch")
    return Plan(claim.name, claim.text, (step,))
