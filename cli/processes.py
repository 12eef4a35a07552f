"""``assay score --processes N``: shards side by side on this machine, and then put together."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .failures import Failure, Internal, Interrupted

PROGRAM = "import sys; from assay.cli.main import main; main(sys.argv[1:])"


@contextmanager
def side_by_side(words: Sequence[str], processes: int) -> Iterator[tuple[str, ...]]:
    """The files of tallies that so many processes leave, each of its shard; they are gone afterwards.

    ``words`` is the command that is shared out. Where one process fails the others are stopped, and its error
    is told as its own.
    """
    with tempfile.TemporaryDirectory(prefix="assay-") as folder, ExitStack() as running:
        files = tuple(str(Path(folder, f"{i}.tally")) for i in range(processes))
        children = []
        for i, file in enumerate(files):
            log = running.enter_context(Path(folder, f"{i}.log").open("w+", encoding="utf-8"))
            shard = [
                *words,
                "--processes",
                "1",
                "--shard",
                f"{i}/{processes}",
                "--out",
                file,
                "--display",
                "plain",
            ]
            child = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *shard],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_shared(processes),
            )
            running.callback(_stop, child)
            children.append((child, Path(log.name)))
        for child, log_file in children:
            if code := child.wait():
                raise _told(code, log_file.read_text(encoding="utf-8"))
        yield files


def _shared(processes: int) -> dict[str, str]:
    """The environment, with the cores shared out; a number of threads that the user has set stays."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(threads), **os.environ}


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        child.wait()


def _told(code: int, log: str) -> Failure:
    """What went wrong in a process, as it said it."""
    lines = [line for line in log.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line.startswith("Error: ")), lines[-1] if lines else "")
    kind = {Failure.exit_code: Failure, Interrupted.exit_code: Interrupted}.get(code, Internal)
    return kind(said.removeprefix("Error: ") or f"a process ended with the code {code}")
