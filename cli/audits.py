"""Audits in words: the real bitstream against the ledger, and general-purpose compressors beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .figures import bits

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
    told = (
        f"bitstream of {bits(float(checks['bitstream_bits']))} decodes, "
        f"{100 * float(checks['bitstream_excess']):+.3f} % against the ledger's {bits(total)}"
    ).replace("-", "−")
    others = {name: float(checks[key]) for key, name in STRANGERS.items() if key in checks}
    shown = ", ".join(f"{name} {bits(size)}" for name, size in others.items())
    beaten = [name for name, size in others.items() if size <= total]
    verdict = f"which the ledger does not beat: {', '.join(beaten)}" if beaten else "the ledger beats both"
    return f"{told}; {shown}: {verdict}"
