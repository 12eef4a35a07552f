"""Which stages would be tried on a claim, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .figures import amount, seconds

if TYPE_CHECKING:
    from assay.proofs import Plan, Step

    from .display import Display


def show_plans(screen: Display, plans: Iterable[Plan]) -> None:
    """Print each plan: the stages in order with their budget and cost, then those that are left out."""
    for plan in plans:
        screen.line(f"PLAN: {plan.name}", "bold")
        screen.line(f"  {plan.text}")
        for number, step in enumerate(plan.steps, 1):
            screen.line(f"  {number}. {_told(step)}")
        for stage, why in plan.left_out:
            screen.line(f"  –  {stage}: left out, {why}")


def _told(step: Step) -> str:
    cost = "cost unknown" if step.cost is None else f"about {amount(step.cost)} multiplications"
    return f"{step.stage}: at most {seconds(step.seconds)}, {cost}; {step.why}"
