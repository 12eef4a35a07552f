"""What verdicts prove of a report: its claims, and a correction that holds for every input of their scope."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import bits

if TYPE_CHECKING:
    from assay.mdl.report import Report
    from assay.proofs import Outcome

    from .display import Display


def read_report(path: Path) -> tuple[Path, Report]:
    """Read a report that verdicts will be noted in; raises `mdl.ReportError`."""
    from assay.mdl.report import load_report

    return path, load_report(path)


def noted(screen: Display, path: Path, report: Report, outcomes: Iterable[Outcome]) -> None:
    """Note the verdicts about a report's model in it, in the place of older ones of the same claims."""
    found = [_entry(report, o) for o in outcomes if o.digests.get("f") == report.scope.model_digest]
    names = {entry["name"] for entry in found}
    kept = tuple(claim for claim in report.claims if claim.get("name") not in names)
    report.model_copy(update={"claims": (*kept, *found)}).save(path)
    screen.line(f"{path}: {len(found)} claims about its model were noted")
    for entry in found:
        if "proved_bits_per_sample" in entry:
            screen.line(f"  {entry['name']}: {_told(entry)}")


def _entry(report: Report, outcome: Outcome) -> dict[str, Any]:
    certificate = getattr(outcome.verdict, "certificate", None)
    entry: dict[str, Any] = {
        "name": outcome.name,
        "text": outcome.text,
        "kind": outcome.kind,
        "status": outcome.status,
        "certificate": None if certificate is None else certificate.digest,
        "trusted": list(getattr(outcome.verdict, "trusted", ())),
        "mass": outcome.mass,
    }
    return {**entry, **_correction(report, outcome)}


def _correction(report: Report, outcome: Outcome) -> dict[str, Any]:
    """The measured correction of a sample, and what a proved distance makes of it; empty for other claims."""
    from assay.mdl.proved import worst_correction

    scope, epsilon = report.scope, outcome.epsilon
    if outcome.status != "proved" or epsilon is None or scope.delta is None or scope.target != "outputs":
        return {}
    if "f" not in outcome.outputs:
        return {}
    worst = worst_correction(Fraction(epsilon), scope.delta, outcome.outputs["f"])
    return {
        "epsilon": str(epsilon),
        "explanation_digest": outcome.digests.get("explanation"),
        "measured_bits_per_sample": report.section("correction"),
        "proved_bits_per_sample": worst.bits,
        "proved_largest_residual": worst.residual,
    }


def _told(entry: dict[str, Any]) -> str:
    measured, proved = entry["measured_bits_per_sample"], entry["proved_bits_per_sample"]
    mass = "" if entry["mass"] is None else f" ({entry['mass']:.3%} of the data lie in it)"
    return (
        f"the correction takes {bits(measured)} a sample as measured, and at most {bits(proved)} for every "
        f"input of the scope{mass}, with residuals up to {entry['proved_largest_residual']} steps"
    )
