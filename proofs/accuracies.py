"""Accuracy over a finite scope: every input is run and counted, and all but the wrong ones are certified.

The certificate says of every input of the scope but a few, which it names, that the network is right; that
the share of the named ones is small enough is a division, with the number of inputs beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch
from torch import Tensor

from .claims import Claim
from .expressions import Expr
from .search import Deadline, Search, near
from .stages import enumeration
from .verdicts import Proved, Unknown, Verdict, Witness

_REPLAYED = 64
"""Of a batch, the points that are counterexamples as far as float64 tells."""
NAMED = 64
"""Wrong inputs that a certificate names at most."""
BATCH = 4096


@dataclass
class Count:
    """How many inputs of the scope there are, on how many the claim is right, and the first wrong ones."""

    in_scope: int = 0
    right: int = 0
    wrong: list[dict[str, Fraction]] = field(default_factory=list)

    @property
    def share(self) -> Fraction:
        """The accuracy."""
        return Fraction(self.right, self.in_scope)


def count(
    claim: Claim,
    runs: Mapping[str, Callable[[Tensor], Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
    deadline: Deadline,
    report: Callable[[str], None],
    size: int,
) -> Count | Unknown:
    """Run every input of the declared ranges."""
    found, seen, total = Count(), 0, enumeration.size_of(claim) or 0
    names = [c for v in claim.variables for c in v.components]
    for points in enumeration.batches(claim, size):
        truth, scope = enumeration.evaluate(claim, points, runs, shapes)
        found.in_scope += int(scope.sum())
        found.right += int((scope & truth).sum())
        for row in points[scope & ~truth][: NAMED + 1 - len(found.wrong)].tolist():
            found.wrong.append(dict(zip(names, map(Fraction, row), strict=True)))
        seen += len(points)
        report(f"{seen} of {total} inputs")
        if deadline.over and seen < total:
            reason = f"timeout after {seen} of {total} inputs"
            return Unknown(enumeration.NAME, reason, None, 1 - seen / total, None, "a larger budget")
    return found


def sweep(search: Search, deadline: Deadline) -> Witness | int:
    """Run all points of the free variables: a counterexample, or how many were run without one."""
    ends = zip(search.obligation.lo, search.obligation.hi, strict=True)
    ranges = [range(int(lo), int(hi) + 1) for lo, hi in ends]
    points, seen = itertools.product(*ranges), 0
    while chosen := list(itertools.islice(points, BATCH)):
        batch = torch.tensor(chosen, dtype=torch.float64, device=search.lo.device).reshape(len(chosen), -1)
        score, order = search.score(batch, settled=True).sort(descending=True)
        likely = batch[order[near(score)][:_REPLAYED]]
        if (found := search.witness(likely)) is not None:
            return found
        seen += len(chosen)
        if deadline.over:
            break
    return seen


def certified(claim: Claim, found: Count, prove: Callable[[Claim], Verdict] | None) -> Proved:
    """The accuracy as proved: by a certificate for all inputs but the wrong ones where there is one."""
    rests = ("torch's arithmetic, as run here on every input",)
    if len(found.wrong) > NAMED or prove is None:
        return Proved(None, rests)
    verdict = prove(_but_for(claim, found.wrong))
    if not isinstance(verdict, Proved) or verdict.certificate is None:
        return Proved(None, rests)
    counted = ("the number of inputs that meet `given`, counted in float64",) if claim.given else ()
    return replace(verdict, trusted=(*verdict.trusted, *counted))


def _but_for(claim: Claim, wrong: list[dict[str, Fraction]]) -> Claim:
    """That the claim is right everywhere but at the named inputs."""
    parts = (claim.show, *(_at(claim, inputs) for inputs in wrong))
    return replace(
        claim,
        show=Expr("or", parts) if wrong else claim.show,
        show_text=f"{claim.show_text}, but for {len(wrong)} inputs",
        kind="show",
        at_least=None,
    )


def _at(claim: Claim, inputs: Mapping[str, Fraction]) -> Expr:
    """That the input is this one."""
    parts = []
    for variable in claim.variables:
        base = Expr("name", name=variable.name)
        for i, component in enumerate(variable.components):
            side = base if variable.size is None else Expr("index", (base,), value=Fraction(i))
            parts.append(Expr("==", (side, Expr("number", value=inputs[component]))))
    return parts[0] if len(parts) == 1 else Expr("and", tuple(parts))
