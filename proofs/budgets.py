"""Hard limits of time and memory: work is done in a child process, which is stopped where it does not stop.

Where no child can be had (the process has begun to use an accelerator, or gradients, which do not survive a
fork; or the system is another one), the same limits hold in this process as far as signals reach.
"""

from __future__ import annotations

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
from types import FrameType
from typing import Any, TypeVar

import torch

T = TypeVar("T")
Hear = Callable[[str, str], None]
"""Called with the kind of a message, and a line."""

_NO_MEMORY = ("allocate memory", "out of memory", "failed to map segment", "can't start new thread")
"""How torch, the loader of shared libraries and Python say that they could not have what they asked for."""
_LONGEST = 1e8
_LARGEST = 1 << 60


class OutOfTime(BaseException):
    """The wall clock ran out; no `Exception`, so that nothing on the way takes it for an error of its own."""


class OutOfMemory(Exception):
    """An allocation was refused, or the process died of it."""


def confined(run: Callable[[Hear], T], hear: Hear, seconds: float, memory: int | None) -> T:
    """Do work within hard limits; what it says on the way is passed on to `hear`.

    Args:
        run: the work; its result and its errors have to be picklable.
        hear: told what `run` tells.
        seconds: wall time until it is stopped, with its own children.
        memory: bytes beyond what is held now; None for no limit.

    Raises:
        OutOfTime, OutOfMemory: it was stopped.
    """
    if _may_fork():
        with _child(run, memory) as pipe:
            answer = _answer(pipe, hear, time.monotonic() + min(seconds, _LONGEST))
        if answer[0] == "error":
            raise answer[1]
        if answer[0] == "done":
            result: T = answer[1]
            return result
    with limited(seconds, memory):
        return run(hear)


def _may_fork() -> bool:
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return sys.platform == "linux" and not cuda and not multiprocessing.current_process().daemon


@contextmanager
def _child(run: Callable[[Hear], Any], memory: int | None) -> Iterator[Connection]:
    """A child at work, and the end of the pipe on which it speaks; at the end it is gone, whatever it did."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(run, theirs, memory))
    child.start()
    theirs.close()
    try:
        yield ours
    finally:
        with suppress(OSError):
            os.killpg(child.pid or 0, signal.SIGKILL)
        child.kill()
        child.join()
        ours.close()


def _answer(pipe: Connection, hear: Hear, end: float) -> tuple[str, Any]:
    """The child's last word."""
    while pipe.poll(max(0.0, end - time.monotonic())):
        try:
            kind, value = pipe.recv()
        except EOFError as error:
            raise OutOfMemory from error
        if kind == "memory":
            raise OutOfMemory
        if kind in ("done", "error", "unfit"):
            return kind, value
        hear(kind, value)
    raise OutOfTime


def _work(run: Callable[[Hear], Any], pipe: Connection, memory: int | None) -> None:
    """What the child does; a session of its own, so that its children go with it."""
    os.setsid()
    torch.set_num_threads(1)
    try:
        torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
    except RuntimeError:  # the parent has used gradients
        pipe.send(("unfit", None))
        return
    try:
        with _ceiling(memory):
            result = run(lambda kind, line: pipe.send((kind, line)))
        pipe.send(("done", result))
    except Exception as error:
        if _is_memory(error):
            pipe.send(("memory", None))
            return
        error.add_note("".join(traceback.format_exception(error)))
        pipe.send(("error", error))


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
