"""Hard limits: what does not stop is stopped, what dies is told, and what goes well is handed back."""

import os
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from assay.proofs.budgets import OutOfMemory, OutOfTime, confined

KEPT = """
import os, signal, subprocess, sys, time
import torch
from assay.proofs.budgets import OutOfMemory, OutOfTime, confined

heard = []
def hear(kind, line):
    heard.append((kind, line))

def tried(run, seconds=20.0, memory=1 << 30):
    try:
        return confined(run, hear, seconds, memory)
    except (OutOfTime, OutOfMemory, KeyError) as error:
        return type(error).__name__

def says(say):
    say("note", "one")
    return os.getpid()

def leaves_a_child(say):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    say("note", str(child.pid))
    time.sleep(60)

assert tried(says) != os.getpid()
assert heard == [("note", "one")]
assert tried(lambda say: {}["lost"]) == "KeyError"
assert tried(lambda say: os.kill(os.getpid(), signal.SIGKILL)) == "OutOfMemory"
assert tried(lambda say: torch.zeros(1 << 34).sum()) == "OutOfMemory"
assert tried(lambda say: bytearray(1 << 34)) == "OutOfMemory"
start = time.monotonic()
assert tried(leaves_a_child, 1.0) == "OutOfTime"
assert time.monotonic() - start < 5
time.sleep(0.2)
stat = "/proc/%s/stat" % heard[-1][1]
assert not os.path.exists(stat) or open(stat).read().split()[2] == "Z"
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
    here = []
    assert confined(lambda say: here.append(os.getpid()), print, 5.0, 1 << 30) is None
    assert here == [os.getpid()]

    def spin(say: object) -> None:
        while True:
            time.sleep(0.01)

    with pytest.raises(OutOfTime):
        confined(spin, print, 0.2, 1 << 30)
    with pytest.raises(OutOfMemory):
        confined(lambda say: torch.zeros(1 << 40), print, 5.0, 1 << 28)
