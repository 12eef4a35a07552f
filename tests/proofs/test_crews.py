"""Hard limits: what does not stop is stopped, what dies is told, and what goes well is handed back."""

import os
import subprocess
import sys
import time

import pytest
import torch
from assay.proofs.crews import Crew, Job, cores

forked = pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux alone")

KEPT = """
import os, signal, subprocess, sys, time
import torch
from assay.proofs.crews import Crew, Job

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

def run(name, say):
    return WORK[name](say)

with torch.no_grad(), Crew(1) as crew:
    def tried(name, seconds=20.0, memory=1 << 30):
        (ending,) = crew.work([Job(run, name, hear, seconds, memory)])
        return ending.value if ending.last == "done" else ending.last

    first = tried("says")
    assert first != os.getpid()
    assert heard == [("note", "one")]
    assert [tried("imports"), tried("imports")] == [True, False]
    assert tried("climbs")
    assert tried("fails") == "error"
    assert tried("says") == first
    assert tried("takes much") == tried("takes much") == 1 << 29
    assert tried("dies") == "memory"
    assert tried("says") != first
    assert tried("hoards tensors") == "memory"
    assert tried("hoards bytes") == "memory"
    assert tried("imports")
    start = time.monotonic()
    assert tried("leaves a child", 1.0) == "time"
    assert time.monotonic() - start < 5
    time.sleep(0.2)
    stat = "/proc/%s/stat" % heard[-1][1]
    assert not os.path.exists(stat) or open(stat).read().split()[2] == "Z"
    last = tried("says")
assert not os.path.exists("/proc/%s" % last)
"""


def test_without_a_child_the_limits_hold_in_this_process(monkeypatch):
    monkeypatch.setattr("assay.proofs.crews._may_fork", lambda: False)

    def spin(item: str, say: object) -> None:
        while item == "spins":
            time.sleep(0.01)
        here.append(torch.zeros(1 << 40) if item == "hoards" else os.getpid())

    here: list[object] = []
    limits = {"looks": (5.0, 1 << 30), "spins": (0.2, 1 << 30), "hoards": (5.0, 1 << 28)}
    with Crew(2) as crew:
        endings = list(crew.work(Job(spin, item, print, *limit) for item, limit in limits.items()))
    assert here == [os.getpid()]
    assert [ending.last for ending in endings] == ["done", "time", "memory"]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_caller_may_have_turned_gradients_off(monkeypatch, mode):
    monkeypatch.setattr("assay.proofs.crews._may_fork", lambda: False)

    def climbs(x: float, say: object) -> bool:
        return (x * torch.ones(1, requires_grad=True)).requires_grad

    with mode(), Crew(1) as crew:
        (ending,) = crew.work([Job(climbs, 2.0, print, 5.0, None)])
    assert ending.value is True


SIDE_BY_SIDE = """
import os, time
from assay.proofs import crews
from assay.proofs.crews import Crew, Job

crews.cores = lambda: 2
heard = []

def run(item, say):
    for _ in range(item):
        say("note", item)
        time.sleep(0.2)
    if item == 9:
        time.sleep(60)
    return os.getpid(), time.monotonic()

def other(item, say):
    return os.getpid(), time.monotonic()

def jobs():
    for item, turn in ((1, "a"), (1, "a"), (2, None), (9, None), (1, None)):
        asked.append(item)
        yield Job(run, item, lambda kind, line: heard.append(line), 1.0 if item == 9 else 20.0, None, turn)
    yield Job(other, 0, print, 20.0, None)

asked = []
with Crew(8) as crew:
    assert len(crew.workers) == 2
    work = crew.work(jobs())
    first = next(work)
    assert asked == [1, 1, 2], asked  # the second waits for its turn, the third begins at once
    endings = [first, *work]
    children = {e.value[0] for e in endings if e.last == "done"}
assert [e.last for e in endings].count("time") == 1
assert heard.count(1) == 3 and heard.count(2) == 2 and 2 <= heard.count(9) <= 5
ones = [e for e in endings if e.job.turn == "a"]
assert ones[1].value[1] - ones[0].value[1] >= 0.2
assert all(0.2 * min(e.job.item, 5) <= e.seconds < 10 for e in endings)
(apart,) = [e for e in endings if e.job.run is other]
assert all(e.value[0] != apart.value[0] for e in endings if e.last == "done" and e is not apart)
assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
"""


def ran(program: str) -> None:
    """Run a program by itself: pytest's process has used gradients, and does not fork."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@forked
@pytest.mark.slow
def test_work_is_done_in_a_child_that_is_stopped_with_all_it_started():
    ran(KEPT)


@forked
@pytest.mark.slow
def test_children_work_side_by_side_and_each_job_has_its_own_limits():
    ran(SIDE_BY_SIDE)


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "300000 100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({}, 64),
    ],
)
def test_a_containers_share_of_the_cores_is_seen(monkeypatch, tmp_path, files, share):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("assay.proofs.crews._CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert cores() == share
