"""A pytest plug-in: every claim of a ``*.claims.toml`` file is a test.

Refuted fails and shows the counterexample; unknown fails, or is an expected failure where the ini option
``assay_unknown`` says ``xfail``. It lives in this room, not beside the verifier, because pytest imports
plug-ins at every start and `assay.proofs` brings torch: here nothing heavy comes before a claim is collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

if TYPE_CHECKING:
    from assay.proofs import Claim, ClaimFile, Outcome

    from .judged import Place

SUFFIX = ".claims.toml"
UNKNOWN = ("fail", "xfail")


class NotProved(Exception):
    """A claim that was refuted, or stays unknown."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini options."""
    parser.addini(
        "assay_unknown", f"What a claim is that stays unknown: {' or '.join(UNKNOWN)}.", default="fail"
    )
    parser.addini("assay_budget", "Time for each claim, for instance 60s or 5m.", default="60s")
    parser.addini("assay_certificates", "Folder that keeps certificates; none if empty.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse ini values that mean nothing."""
    if config.getini("assay_unknown") not in UNKNOWN:
        raise pytest.UsageError(
            f"assay_unknown: expected {' or '.join(UNKNOWN)}, got {config.getini('assay_unknown')!r}"
        )
    _budget(config)


def _budget(config: pytest.Config) -> float:
    from .options import duration

    try:
        return duration(config.getini("assay_budget"))
    except click.BadParameter as error:
        raise pytest.UsageError(f"assay_budget: {error.message}") from error


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect claim files."""
    return ClaimTests.from_parent(parent, path=file_path) if file_path.name.endswith(SUFFIX) else None


class ClaimTests(pytest.File):
    """The claims of a file."""

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each claim; every fault of the file is a collection error, told at once."""
        from assay.proofs import InputError, read

        from .judged import claim_places

        try:
            file = read(self.path)
        except InputError as error:
            raise self.CollectError(str(error)) from error
        places = claim_places(self.path.read_text(encoding="utf-8"), len(file.claims))
        for claim, place in zip(file.claims, places, strict=True):
            yield ClaimTest.from_parent(self, name=claim.name, file=file, claim=claim, place=place)


class ClaimTest(pytest.Item):
    """One claim."""

    def __init__(self, *, file: ClaimFile, claim: Claim, place: Place, **rest: Any) -> None:
        super().__init__(**rest)
        self.file, self.claim, self.place = file, claim, place

    def runtest(self) -> None:
        """Verify the claim."""
        from assay import proofs

        from .outcomes import headline

        folder = self.config.getini("assay_certificates")
        (outcome,) = proofs.verify(
            replace(self.file, claims=(self.claim,)),
            budget_s=_budget(self.config),
            certificates=self.config.rootpath / folder if folder else None,
        )
        self._note(outcome)
        if outcome.status == "unknown" and self.config.getini("assay_unknown") == "xfail":
            pytest.xfail(headline(outcome))
        if outcome.status != "proved":
            raise NotProved(outcome)

    def _note(self, outcome: Outcome) -> None:
        """Put the verdict and its certificate's digest among the test's properties (JUnit shows them)."""
        self.user_properties.append(("verdict", outcome.status))
        certificate = getattr(outcome.verdict, "certificate", None)
        if certificate is not None:
            self.user_properties.append(("certificate", certificate.digest))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict with its evidence; for bad input the error alone, without a traceback."""
        from .failures import is_bad_input, told
        from .outcomes import details, headline

        if isinstance(excinfo.value, NotProved):
            outcome = excinfo.value.outcome
            where = f"{self.path}:{self.place[0]}:{self.place[1]}"
            return "\n  ".join([headline(outcome), *details(outcome), f"at {where}"])
        if is_bad_input(excinfo.value):
            return told(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the claim stands: file, line from 0, name."""
        return self.path, self.place[0] - 1, self.name
