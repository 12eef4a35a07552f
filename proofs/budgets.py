"""Hard limits of time and memory: work is done in a child process, which is stopped where it does not stop.

The child is forked once and works through one item after the other, so that what it had to import stays; it
is forked anew after an item that had to be stopped. Where no child can be had (the process has begun to use
an accelerator, or gradients, which do not survive a fork; or the system is another one), the same limits hold
in this process as far as signals reach.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

import torch

K = TypeVar("K")
T = TypeVar("T")
Hear = Callable[[str, Any], None]
"""Called with the kind of a message, and what it says."""
Run = Callable[[K, Hear], T]

_NO_MEMORY = ("allocate memory", "out of memory", "failed to map segment", "can't start new thread")
"""How torch, the loader of shared libraries and Python say that they could not have what they asked for."""
_LONGEST = 1e8
_LARGEST = 1 << 60


class OutOfTime(BaseException):
    """The wall clock ran out; no `Exception`, so that nothing on the way takes it for an error of its own."""


class OutOfMemory(Exception):
    """An allocation was refused, or the process died of it."""


class _Unfit(Exception):
    """The child cannot work: gradients do not survive the fork."""


class Worker(Generic[K, T]):
    """A process that does one item of work after the other, each within hard limits; a context manager.

    `run` gets an item and what to tell on the way; items, what is told, results and errors have to be
    picklable.
    """

    def __init__(self, run: Run[K, T]) -> None:
        self.run = run
        self.child: tuple[Any, Connection] | None = None
        self.fit = _may_fork()

    def __enter__(self) -> Worker[K, T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def do(self, item: K, hear: Hear, seconds: float, memory: int | None) -> T:
        """Do one item; what it says on the way is passed on to `hear`.

        Args:
            seconds: wall time until the process is stopped, with its own children.
            memory: bytes beyond what is held now; None for no limit.

        Raises:
            OutOfTime, OutOfMemory: it was stopped.
        """
        if self.fit:
            try:
                return self._asked(item, hear, seconds, memory)
            except _Unfit:
                self.fit = False
        with limited(seconds, memory), _gradients():
            return self.run(item, hear)

    def _asked(self, item: K, hear: Hear, seconds: float, memory: int | None) -> T:
        """Have the child do it; one that had to be stopped, or fell silent, is gone."""
        end = time.monotonic() + min(seconds, _LONGEST)
        well = False
        try:
            if self.child is None:
                self.child = _forked(self.run)
            pipe = self.child[1]
            with suppress(BrokenPipeError):  # its last word says why
                pipe.send((item, memory))
            kind, value = _answer(pipe, hear, end)
            well = kind in ("done", "error")
        finally:
            if not well:
                self.stop()
        if kind == "unfit":
            raise _Unfit
        if kind == "memory":
            raise OutOfMemory
        if kind == "error":
            raise value
        result: T = value
        return result

    def stop(self) -> None:
        """End the child and all it started; it is gone afterwards, whatever it did."""
        if self.child is None:
            return
        (process, pipe), self.child = self.child, None
        with suppress(OSError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()
        process.join()
        pipe.close()


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


def _answer(pipe: Connection, hear: Hear, end: float) -> tuple[str, Any]:
    """The child's last word on an item."""
    while pipe.poll(max(0.0, end - time.monotonic())):
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise OutOfMemory from error
        if kind in ("done", "error", "memory", "unfit"):
            return kind, value
        hear(kind, value)
    raise OutOfTime


def _work(run: Run[Any, Any], parents: Connection, pipe: Connection) -> None:
    """What the child does until the parent hangs up; in a session of its own, so that its children go too."""
    os.setsid()
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
        with _ceiling(memory):
            return "done", run(item, say)
    except Exception as error:
        if _is_memory(error):
            return "memory", None
        error.add_note("".join(traceback.format_exception(error)))
        return "error", error


@contextmanager
def limited(seconds: float, memory: int | None) -> Iterator[None]:
    """Raise `OutOfTime` after wall seconds, `OutOfMemory` where more bytes than `memory` are asked for.

    What is held already does not count. Time is limited in the main thread only, where signals arrive, and
    between instructions of Python; memory where the system can.
    """
    with _clock(seconds), _ceiling(memory):
        try:
            yield
        except Exception as error:
            if _is_memory(error):
                raise OutOfMemory from error
            raise


def _is_memory(error: Exception) -> bool:
    told = isinstance(error, RuntimeError | ImportError | OSError)
    return isinstance(error, MemoryError) or (told and any(words in str(error) for words in _NO_MEMORY))


@contextmanager
def _clock(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before, start = signal.signal(signal.SIGALRM, ring), time.monotonic()
    rest, interval = signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 1e-3), _LONGEST), 2.0)
    try:
        yield
    finally:  # a clock that somebody else had set goes on
        left = max(rest - (time.monotonic() - start), 1e-3) if rest else 0.0
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _ceiling(memory: int | None) -> Iterator[None]:
    held = _address_space()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = min(held + (memory or _LARGEST), _LARGEST)
    # the drivers of an accelerator reserve much more than they use
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if memory is None or not held or cuda or (soft != resource.RLIM_INFINITY and wanted >= soft):
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    """Bytes of this process' address space; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
