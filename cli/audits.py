"""Checks in words: the real bitstream and general compressors, held-out lengths, and what flips a ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .figures import amount, bits

if TYPE_CHECKING:
    from assay.mdl.report import Report

STRANGERS = {"xz_bits": "xz", "zstd_bits": "zstd"}


def audit_lines(reports: Sequence[Report]) -> list[str]:
    """A line for each report whose bitstream was written."""
    from assay.mdl.compare import distinct_names

    names = distinct_names(reports)
    return [
        f"audit of {name}: {audit(r)}"
        for name, r in zip(names, reports, strict=True)
        if "bitstream_bits" in r.checks
    ]


def audit(report: Report) -> str:
    """How the bitstream compares with the ledger, and the ledger with strangers."""
    checks, total = report.checks, report.ledger.total
    against = f"the ledger's {bits(total)}"
    if "twin_bits" in checks:
        against += f" with {bits(float(checks['twin_bits']))} for drawn outcomes in place of KL"
    told = (
        f"bitstream of {bits(float(checks['bitstream_bits']))} decodes, "
        f"{100 * float(checks['bitstream_excess']):+.3f} % against {against}"
    ).replace("-", "−")
    return "; ".join([told, *_twin(checks), *_beside_strangers(checks, total)])


def _twin(checks: Mapping[str, Any]) -> list[str]:
    """What drawn outcomes cost beyond what the model leaves open, beside its expectation, KL."""
    if "twin_bits" not in checks:
        return []
    sampling, extra, kl, error = (
        bits(float(checks[f"twin_{key}_bits"])) for key in ("sampling", "kl", "kl_expected", "standard_error")
    )
    said = f"the outcomes' own {sampling} and {extra} ± {error} more, KL is {kl}"
    return [said, f"{checks['twin_denied_rows']} rows escape"] if checks["twin_denied_rows"] else [said]


def _beside_strangers(checks: Mapping[str, Any], total: float) -> list[str]:
    others = {name: float(checks[key]) for key, name in STRANGERS.items() if key in checks}
    if not others:
        return []
    shown = ", ".join(f"{name} {bits(size)}" for name, size in others.items())
    beaten = [name for name, size in others.items() if size <= total]
    verdict = f"which the ledger does not beat: {', '.join(beaten)}" if beaten else "the ledger beats both"
    return [f"{shown}: {verdict}"]


def held_out_lines(reports: Sequence[Report]) -> list[str]:
    """A line for each report that was held out: frozen codes and learning ones against the plug-in."""
    from assay.mdl.compare import distinct_names

    names = distinct_names(reports)
    return [
        f"held out, {name}: {held_out(r)}"
        for name, r in zip(names, reports, strict=True)
        if "heldout" in r.checks or "heldout_frozen" in r.checks
    ]


def held_out(report: Report) -> str:
    """The second half under the codes of the first."""
    checks, unit = report.checks, report.scope.unit
    if "heldout" in checks:
        return str(checks["heldout"])
    frozen, learning, plug_in = (
        amount(float(checks[f"heldout_{way}"])) for way in ("frozen", "prequential", "plug_in")
    )
    told = f"{frozen} bits per {unit} under frozen codes, {learning} learning on, {plug_in} by plug-in"
    bias = f"{amount(100 * float(checks['plug_in_bias']))} %"
    flag = "plug-in flatters by" if checks["plug_in_bias_notable"] else "plug-in bias"
    return f"{told}: {flag} {bias}"


def flip_lines(reports: Sequence[Report]) -> list[str]:
    """Which choices would change the order of the totals, where they were tried."""
    from assay.mdl.compare import distinct_names

    tried = [r.checks for r in reports if "choices_tried" in r.checks]
    if not tried:
        return []
    names = distinct_names(reports)
    found = [
        f"{name} would change its place under {r.checks['place_changes_under']}"
        for name, r in zip(names, reports, strict=True)
        if r.checks.get("place_changes_under")
    ]
    return found or [f"the ranking stays under {tried[0]['choices_tried']}"]
