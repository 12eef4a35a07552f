"""What came of claims, in words."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

from assay.proofs import Lengths, Outcome, Refuted, Unknown, Verdict, Witness

from .figures import amount, bits, count, seconds

if TYPE_CHECKING:
    from .display import Display

MOST_SHOWN = 12
"""Ranges and inputs that text shows; JSON holds all."""
LONGEST_SHOWN = 1200
"""Characters of a claim that text shows, from both of its ends."""
STYLES = {"proved": "bold green", "refuted": "bold red", "unknown": "bold yellow"}


def show(screen: Display, outcomes: Iterable[Outcome]) -> None:
    """Print each outcome: its verdict, then what stands behind it."""
    for outcome in outcomes:
        screen.line(headline(outcome), STYLES[outcome.status])
        for line in details(outcome):
            screen.line(f"  {line}")


def headline(outcome: Outcome) -> str:
    """The verdict in a line."""
    how = "checked again, not proved again" if outcome.rechecked else f"by {outcome.stage}"
    return f"{outcome.status.upper()}: {outcome.name} ({seconds(outcome.seconds)}, {how})"


def details(outcome: Outcome) -> list[str]:
    """The claim, its evidence, and how long the proof is beside the list of inputs."""
    lines = [abridged(outcome.text), *evidence(outcome.verdict), *lengths(outcome.lengths, outcome.status)]
    if outcome.stage == "lemmas" and outcome.status == "proved":
        lines.append("without its lemmas no certified proof was found")
    if outcome.counted is not None:
        right, inside = outcome.counted["right"], outcome.counted["in_scope"]
        lines.append(f"right on {count(right)} of {count(inside)} inputs")
    if outcome.mass is not None:
        lines.append(f"{outcome.mass:.3%} of the data lie in its scope")
    return lines


def abridged(text: str) -> str:
    """A claim without the middle of what is too long: its last words are what it shows."""
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} … {text[-half:]}"


def evidence(verdict: Verdict) -> list[str]:
    """What speaks for a verdict."""
    if isinstance(verdict, Unknown):
        return reasons(verdict)
    lines = counterexample(verdict.witness) if isinstance(verdict, Refuted) else []
    if verdict.certificate is not None and verdict.certificate.path is not None:
        lines.append(f"certificate: {verdict.certificate.path}")
    if verdict.trusted:
        lines.append(f"rests on: {', '.join(verdict.trusted)}")
    return lines


def counterexample(witness: Witness) -> list[str]:
    """An input on which the claim fails, and what the network answers there."""
    inputs = [f"{name} = {number(value)}" for name, value in witness.inputs.items()]
    more = f" and {len(inputs) - MOST_SHOWN} more inputs" if len(inputs) > MOST_SHOWN else ""
    at = ", ".join(inputs[:MOST_SHOWN]) + more
    answers = [
        f"{call} = {', '.join(f'{value:.9g}' for value in values)} (replayed in torch)"
        for call, values in witness.outputs.items()
    ]
    return [f"counterexample: {at}", *answers]


def number(value: Fraction) -> str:
    """An exact number, shortly: as a whole number, a decimal, or a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.17g}" if Fraction(float(value)) == value else str(value)


def reasons(verdict: Unknown) -> list[str]:
    """What stopped a proof, and what it would take."""
    told = (
        verdict.reason
        if verdict.cause in ("other", verdict.reason[: len(verdict.cause)])
        else (f"{verdict.cause} ({verdict.reason})")
    )
    lines = [f"stopped in {verdict.stage}: {told}"]
    if verdict.best_bound is not None and verdict.best_bound < 0:
        lines.append(f"no input was met on which it holds by less than {-verdict.best_bound:.4g}")
    elif verdict.best_bound is not None:
        lines.append(f"may still fail by {verdict.best_bound:.4g}")
    if verdict.open_fraction is not None:
        lines.append(f"{verdict.open_fraction:.3%} of the scope is open")
    if verdict.proved_scope:
        parts = [f"{name} in {span}" for name, span in verdict.proved_scope.items()]
        more = f" and {len(parts) - MOST_SHOWN} more ranges" if len(parts) > MOST_SHOWN else ""
        lines.append(f"proved for {', '.join(parts[:MOST_SHOWN])}{more}")
    if verdict.needed:
        lines.append(f"it would take {verdict.needed}")
    return lines


def lengths(found: Lengths, status: str) -> list[str]:
    """Proof against list: the certificate and its check, the inputs in scope and running them all."""
    if status == "unknown" or found.certificate_bits is None:
        return []
    what = "proof" if status == "proved" else "refutation"
    lines = [f"{what}: {bits(found.certificate_bits)}"]
    if found.operations is not None:
        lines[0] += f", checked with {count(found.operations)} multiplications"
    if found.lemma_bits is not None and found.lemma_bits != found.certificate_bits:
        told = f"with its lemmas: {bits(found.lemma_bits)}"
        lines.append(f"{told}, checked with {count(found.lemma_operations or 0)} multiplications")
    if status == "proved" and found.list_inputs is not None:
        listed = f"list of its inputs: {count(found.list_inputs)} entries"
        if found.list_operations is not None:
            listed += f", {amount(found.list_operations)} multiplications"
        if found.box_inputs is not None and found.box_inputs != found.list_inputs:
            listed += f" ({count(found.box_inputs)} without the condition)"
        lines.append(listed)
    return lines
