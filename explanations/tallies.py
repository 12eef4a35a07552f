"""Tallies of explanations as they grow, in a file: what ``--resume`` goes on from, and what shards leave.

The file belongs to one question about one model and data, by their digests; each explanation's tallies
belong to its digest. Anything else is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.mdl.tally import merge
from assay.mdl.tally_files import TallyFile
from assay.mdl.tallying import Course, Shard, Tallied, TallyError, check_choices

from .identity import about, digest

if TYPE_CHECKING:
    from .weighing import Evidence

SECONDS = 10.0
SHARE = 20
"""The file is written after so many seconds, and never takes more than 1/SHARE of the time."""


@dataclass
class Tallies:
    """What was tallied so far; ``path`` None keeps it in memory alone."""

    path: Path | None
    file: TallyFile
    shard: Shard = field(default_factory=Shard)
    every: float = SECONDS
    must_be_complete: bool = False
    _due: float = field(default_factory=time.monotonic)
    _unsaved: bool = False  # a shard's file is written even where it has no chunk

    @classmethod
    def begin(
        cls,
        path: Path,
        evidence: Evidence,
        specs: Sequence[str],
        resume: bool = False,
        shard: Shard | None = None,
    ) -> Tallies:
        """Tallies in a file that is not there yet, or, to ``resume``, with what it holds.

        Raises :class:`TallyError` for a file about something else.
        """
        fresh = TallyFile(about(evidence, specs))
        file = _of(path, fresh) if resume and path.exists() else fresh
        due = time.monotonic() + SECONDS
        return cls(path, file, shard or Shard(), _due=due, _unsaved=shard is not None)

    @classmethod
    def merged(cls, paths: Sequence[Path], evidence: Evidence, specs: Sequence[str]) -> Tallies:
        """The sum of what shards have left; together they must cover the data.

        Raises :class:`TallyError` where they are about something else, overlap, or leave something out.
        """
        fresh = TallyFile(about(evidence, specs))
        return cls(None, merge([_of(path, fresh) for path in paths]), must_be_complete=True)

    def course(self, key: str, explanation: Any, progress: Callable[[int, int], None] | None) -> Course[Any]:
        """The pass of one explanation: from where it stopped, and kept as it goes on."""
        chosen = {"explanation": digest(explanation)}
        start = self.file.entries.get(key)
        if start is not None:
            self._check(explanation.name, start, chosen)
        elif self.must_be_complete:
            raise TallyError(f"{explanation.name}: the shards hold no tallies of it")

        def keep(tallied: Tallied[Any]) -> None:
            choices = {**tallied.choices, **chosen}
            self.file.entries[key] = replace(tallied, choices=choices)
            self._unsaved = True
            if time.monotonic() >= self._due:
                self.save()

        return Course(self.shard, start, keep, progress)

    def _check(self, name: str, start: Tallied[Any], chosen: dict[str, str]) -> None:
        where = f"{self.path}: " if self.path is not None else ""
        try:
            check_choices({"explanation": start.choices.get("explanation")}, chosen)
            if self.must_be_complete:
                start.per_block()
        except TallyError as error:
            raise TallyError(f"{where}{name}: {error}") from error

    def save(self) -> None:
        """Write the file now, if it has one and anything is new."""
        if self.path is None or not self._unsaved:
            return
        before = time.monotonic()
        self.file.save(self.path)
        self._unsaved = False
        after = time.monotonic()
        self._due = after + max(self.every, SHARE * (after - before))

    @contextmanager
    def saved_when_cut_short(self) -> Iterator[None]:
        """Write what there is where the work is interrupted or fails; bad input leaves nothing behind."""
        try:
            yield
        except ValueError:
            raise
        except BaseException:
            self.save()
            raise

    def drop(self) -> None:
        """Remove the file: the report is there."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _of(path: Path, fresh: TallyFile) -> TallyFile:
    """The file at a path, if it is about the same as a fresh one."""
    file = TallyFile.load(path)
    try:
        check_choices(file.about, fresh.about)
    except TallyError as error:
        raise TallyError(f"{path}: {error}; score without --resume to begin anew") from error
    return file
