"""Hard limits: what does not stop is stopped, what dies is told, and what goes well is handed back."""

import os
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from assay.proofs.budgets import OutOfMemory, OutOfTime, Worker

KEPT = """
import os, signal, subprocess, sys, time
import torch
from assay.proofs.budgets import OutOfMemory, OutOfTime, Worker

heard = []
def hear(kind, line):
    heard.append((kind, line))

def says(say):
    say("note", "one")
    return os.getpid()

def imports(say):
    fresh = "colorsys" not in sys.modules
    import colorsys
    return fresh

def leaves_a_child(say):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    say("note", str(child.pid))
    time.sleep(60)

WORK = {
    "says": says,
    "imports": imports,
    "leaves a child": leaves_a_child,
    "fails": lambda say: {}["lost"],
    "dies": lambda say: os.kill(os.getpid(), signal.SIGKILL),
    "hoards tensors": lambda say: torch.zeros(1 << 34).sum(),
    "hoards bytes": lambda say: bytearray(1 << 34),
    "climbs": lambda say: torch.ones(1, requires_grad=True).exp().requires_grad,
    "takes much": lambda say: len(bytearray(1 << 29)),
}

with torch.no_grad(), Worker(lambda name, say: WORK[name](say)) as worker:
    def tried(name, seconds=20.0, memory=1 << 30):
        try:
            return worker.do(name, hear, seconds, memory)
        except (OutOfTime, OutOfMemory, KeyError) as error:
            return type(error).__name__

    first = tried("says")
    assert first != os.getpid()
    assert heard == [("note", "one")]
    assert [tried("imports"), tried("imports")] == [True, False]
    assert tried("climbs")
    assert tried("fails") == "KeyError"
    assert tried("says") == first
    assert tried("takes much") == tried("takes much") == 1 << 29
    assert tried("dies") == "OutOfMemory"
    assert tried("says") != first
    assert tried("hoards tensors") == "OutOfMemory"
    assert tried("hoards bytes") == "OutOfMemory"
    assert tried("imports")
    start = time.monotonic()
    assert tried("leaves a child", 1.0) == "OutOfTime"
    assert time.monotonic() - start < 5
    time.sleep(0.2)
    stat = "/proc/%s/stat" % heard[-1][1]
    assert not os.path.exists(stat) or open(stat).read().split()[2] == "Z"
    last = tried("says")
assert not os.path.exists("/proc/%s" % last)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux alone")
def test_work_is_done_in_a_child_that_is_stopped_with_all_it_started():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KEPT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_child_the_limits_hold_in_this_process(monkeypatch):
    monkeypatch.setattr("assay.proofs.budgets._may_fork", lambda: False)

    def spin(item: str, say: object) -> None:
        while item == "spins":
            time.sleep(0.01)
        here.append(torch.zeros(1 << 40) if item == "hoards" else os.getpid())

    here: list[object] = []
    worker = Worker(spin)
    worker.do("looks", print, 5.0, 1 << 30)
    assert here == [os.getpid()]
    with pytest.raises(OutOfTime):
        worker.do("spins", print, 0.2, 1 << 30)
    with pytest.raises(OutOfMemory):
        worker.do("hoards", print, 5.0, 1 << 28)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_caller_may_have_turned_gradients_off(monkeypatch, mode):
    monkeypatch.setattr("assay.proofs.budgets._may_fork", lambda: False)
    with mode():
        worker = Worker(lambda x, say: (x * torch.ones(1, requires_grad=True)).requires_grad)
        assert worker.do(2.0, print, 5.0, None)
