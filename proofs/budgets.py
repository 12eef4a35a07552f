"""Hard limits of time and memory on what runs in this process: what does not stop by itself is stopped."""

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

_LONGEST = 1e8
_LARGEST = 1 << 60


class OutOfTime(BaseException):
    """The wall clock ran out; no `Exception`, so that nothing on the way takes it for an error of its own."""


class OutOfMemory(Exception):
    """An allocation was refused."""


@contextmanager
def limited(seconds: float, memory: int) -> Iterator[None]:
    """Raise `OutOfTime` after wall seconds, `OutOfMemory` where more bytes than `memory` are asked for.

    What is held already does not count. Time is limited in the main thread only, where signals arrive;
    memory where the system can.
    """
    with _clock(seconds), _ceiling(memory):
        try:
            yield
        except MemoryError as error:
            raise OutOfMemory from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error) or "out of memory" in str(error):
                raise OutOfMemory from error
            raise


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
def _ceiling(memory: int) -> Iterator[None]:
    # the drivers of an accelerator reserve much more than they use
    held = 0 if torch.cuda.is_initialized() else _address_space()  # type: ignore[no-untyped-call]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = min(held + memory, _LARGEST)
    lower = held > 0 and (soft == resource.RLIM_INFINITY or wanted < soft)
    if not lower:
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
