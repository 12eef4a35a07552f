"""Limits of time and memory, as far as they reach in this process: signals and the system's ceilings."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

_NO_MEMORY = ("allocate memory", "out of memory", "failed to map segment", "can't start new thread")
"""How torch, the loader of shared libraries and Python say that they could not have what they asked for."""
LONGEST = 1e8
"""Seconds that no clock is set beyond."""
_LARGEST = 1 << 60


class OutOfTime(BaseException):
    """The wall clock ran out; no `Exception`, so that nothing on the way takes it for an error of its own."""


class OutOfMemory(Exception):
    """An allocation was refused, or the process died of it."""


@contextmanager
def limited(seconds: float, memory: int | None) -> Iterator[None]:
    """Raise `OutOfTime` after wall seconds, `OutOfMemory` where more bytes than `memory` are asked for.

    What is held already does not count. Time is limited in the main thread only, where signals arrive, and
    between instructions of Python; memory where the system can.
    """
    with _clock(seconds), ceiling(memory):
        try:
            yield
        except Exception as error:
            if is_memory(error):
                raise OutOfMemory from error
            raise


def is_memory(error: Exception) -> bool:
    """Whether an error says that memory could not be had."""
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
    rest, interval = signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 1e-3), LONGEST), 2.0)
    try:
        yield
    finally:  # a clock that somebody else had set goes on
        left = max(rest - (time.monotonic() - start), 1e-3) if rest else 0.0
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def ceiling(memory: int | None) -> Iterator[None]:
    """Refuse this process what goes beyond what it holds and so many bytes; None for no limit."""
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
