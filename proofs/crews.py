"""Work under hard limits of time and memory: child processes, side by side, which are stopped where they do
not stop.

A child is forked once and works through one job after the other, so that what it had to import stays; it
is forked anew after a job that had to be stopped. Where no child can be had (the process has begun to use
an accelerator, or gradients, which do not survive a fork; or the system is another one), the same limits hold
in this process as far as signals reach, and one job follows the other.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

import torch

from .budgets import LONGEST, OutOfMemory, OutOfTime, ceiling, is_memory, limited

K = TypeVar("K")
T = TypeVar("T")
Hear = Callable[[str, Any], None]
"""Called with the kind of a message, and what it says."""
Run = Callable[[K, Hear], T]
Last = Literal["done", "error", "memory", "time", "unfit"]
"""How work ends: with a result, an error, out of memory or time; or in a child that has no gradients."""

_CGROUP = Path("/sys/fs/cgroup")
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Files with a container's microseconds of computing in a period, and the period: of cgroups 2, and 1."""
_LAST = frozenset({"done", "error", "memory", "unfit"})


@dataclass(frozen=True, eq=False)
class Job(Generic[K, T]):
    """Something to do.

    Attributes:
        run: gets the item and what to tell on the way; the item, what is told, results and errors have to be
            picklable. Jobs of equal `run` share a child.
        hear: is passed what is told on the way.
        seconds: wall time until the child is stopped, with its own children.
        memory: bytes beyond what is held now; None for no limit.
        turn: jobs of the same turn follow each other in their order; None for those that need not.
    """

    run: Run[K, T]
    item: K
    hear: Hear
    seconds: float
    memory: int | None
    turn: Hashable = None


@dataclass(frozen=True)
class Ending(Generic[K, T]):
    """How a job ended, after wall `seconds`; `value` is its result, or the error that was raised."""

    job: Job[K, T]
    last: Last
    seconds: float
    value: Any = None


class Crew(Generic[K, T]):
    """Children that work side by side; a context manager, which leaves none behind.

    There are never more than there are cores: limits are of wall time, and two that share a core would each
    have half of theirs.
    """

    def __init__(self, size: int) -> None:
        self.workers = [_Worker[K, T]() for _ in range(min(size, cores()))]
        self.fit = _may_fork()
        self.held: list[Job[K, T]] = []

    def __enter__(self) -> Crew[K, T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.stop()

    def work(self, jobs: Iterable[Job[K, T]]) -> Iterator[Ending[K, T]]:
        """Do all jobs, each asked for when it can begin; how each ended, in the order in which they end."""
        coming = iter(jobs)
        while True:
            yield from self._begun(coming)
            busy = [worker for worker in self.workers if worker.job is not None]
            if not busy:
                return
            end = min(worker.end for worker in busy)
            wait([worker.pipe for worker in busy], max(0.0, end - time.monotonic()))
            for worker in busy:
                ending = worker.heard()
                if ending is not None and ending.last == "unfit":
                    self.fit = False
                    yield _here(ending.job)
                elif ending is not None:
                    yield ending

    def _begun(self, coming: Iterator[Job[K, T]]) -> Iterator[Ending[K, T]]:
        """Give all that have nothing to do a job; where there are no children, do all jobs here."""
        for worker in self.workers:
            while worker.job is None and (job := self._next(coming)) is not None:
                if self.fit:
                    worker.begin(job)
                else:
                    yield _here(job)

    def _next(self, coming: Iterator[Job[K, T]]) -> Job[K, T] | None:
        """The first job that nothing has to come before; None where there is none now."""
        taken = {worker.job.turn for worker in self.workers if worker.job is not None} - {None}
        for job in self.held:
            if job.turn not in taken:
                self.held.remove(job)
                return job
        for job in coming:
            if job.turn not in taken:
                return job
            self.held.append(job)
        return None


class _Worker(Generic[K, T]):
    """A place in a crew: a child, once there is one, and the job that it does."""

    def __init__(self) -> None:
        self.run: Run[K, T] | None = None
        self.child: tuple[Any, Connection] | None = None
        self.job: Job[K, T] | None = None
        self.start = self.end = 0.0

    @property
    def pipe(self) -> Connection:
        """Our end of the pipe to the child."""
        assert self.child is not None
        return self.child[1]

    def begin(self, job: Job[K, T]) -> None:
        """Have the child do a job; one that has learnt another trade is replaced."""
        if self.run is not job.run:
            self.stop()
        self.job, self.run, self.start = job, job.run, time.monotonic()
        self.end = self.start + min(job.seconds, LONGEST)
        if self.child is None:
            with _uninterrupted():
                self.child = _forked(job.run)
        with suppress(BrokenPipeError):  # its last word says why
            self.pipe.send((job.item, job.memory))

    def heard(self) -> Ending[K, T] | None:
        """Read what the child says; how the job ended, None while it goes on.

        A child that had to be stopped, or fell silent, is gone.
        """
        job = self.job
        assert job is not None
        last, value = self._word(job)
        if last is None and time.monotonic() < self.end:
            return None
        if last not in ("done", "error"):
            self.stop()
        self.job = None
        return Ending(job, last or "time", time.monotonic() - self.start, value)

    def _word(self, job: Job[K, T]) -> tuple[Last | None, Any]:
        """The child's last word, None where it has not come yet; what comes before is passed on."""
        while self.pipe.poll():
            try:
                kind, value = self.pipe.recv()
            except (EOFError, ConnectionError):
                return "memory", None
            if kind in _LAST:
                return kind, value
            job.hear(kind, value)
        return None, None

    def stop(self) -> None:
        """End the child and all it started; it is gone afterwards, whatever it did."""
        if self.child is None:
            return
        with _uninterrupted():
            (process, pipe), self.child = self.child, None
            with suppress(OSError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.kill()
            process.join()
            pipe.close()


def cores() -> int:
    """Cores that this process may use: those that it is bound to, and a container's share of them."""
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for files in _QUOTAS:
        with suppress(OSError, ValueError):  # no such system, or no limit
            quota, period = map(int, " ".join((_CGROUP / file).read_text() for file in files).split())
            bound = min(bound, quota // period) if quota > 0 else bound
    return max(1, bound)


def _here(job: Job[K, T]) -> Ending[K, T]:
    """Do a job in this process."""
    start = time.monotonic()

    def ended(last: Last, value: Any = None) -> Ending[K, T]:
        return Ending(job, last, time.monotonic() - start, value)

    try:
        with limited(job.seconds, job.memory), _gradients():
            return ended("done", job.run(job.item, job.hear))
    except OutOfTime:
        return ended("time")
    except OutOfMemory:
        return ended("memory")
    except Exception as error:
        return ended("error", error)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """An interrupt comes before or after: in between it would leave a child that nobody knows of, and the
    process would wait for it at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _gradients() -> Iterator[None]:
    """Whatever the caller does without gradients, the work may need them."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _may_fork() -> bool:
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return sys.platform == "linux" and not cuda and not multiprocessing.current_process().daemon


def _forked(run: Run[Any, Any]) -> tuple[Any, Connection]:
    """A child that waits for work, and our end of the pipe to it."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_work, args=(run, ours, theirs), daemon=False)
    child.start()
    theirs.close()
    return child, ours


def _work(run: Run[Any, Any], parents: Connection, pipe: Connection) -> None:
    """What the child does until the parent hangs up; in a session of its own, so that its children go too."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    gc.freeze()  # what came with the fork stays: looking for garbage in it would only copy its pages
    parents.close()
    torch.set_num_threads(1)
    try:
        with _gradients():
            torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
    except RuntimeError:  # the parent has used gradients
        pipe.send(("unfit", None))
        return
    with suppress(EOFError), _gradients():
        while True:
            item, memory = pipe.recv()
            pipe.send(_done(run, item, memory, lambda kind, line: pipe.send((kind, line))))


def _done(run: Run[Any, Any], item: Any, memory: int | None, say: Hear) -> tuple[str, Any]:
    """The last word on one item."""
    try:
        with ceiling(memory):
            return "done", run(item, say)
    except Exception as error:
        if is_memory(error):
            return "memory", None
        error.add_note("".join(traceback.format_exception(error)))
        return "error", error
