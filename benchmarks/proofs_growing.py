"""z3, naive and after bounds, against the ladder: who decides what within the budget, and how fast.

    python benchmarks/proofs_growing.py [--budget 60] [--stretch 1] [--jobs 1] [--seeds 3]
        [--fresh | --rewrite]

Random ReLU MLPs (torch's own initialisation, by seed) in three series: growing sizes on the box [-1, 1]ⁿ,
networks 3x20 on boxes around 0 whose radius is bisected until a given number of ReLUs is open (their sign is
not known from the bounds of the box), and networks 2x20 of ever more inputs. The claim is f(x) <= top +
q (top - bottom), where top and bottom are those of 100,000 uniform samples and q is uniform in [-.1, .3] by
the same seed: at q < 0 a counterexample is known, above it nobody knows beforehand.

Naive z3 gets the network as it is: inputs between their ends, affine forms, if-then-else. z3 after bounds
gets ReLUs of known sign as affine and triangles for the others; making them is not counted. Every proof and
refutation of the ladder was accepted by the stand-alone checker, and its seconds hold that check. Each run is
a process of its own on one thread. Seconds are CPU seconds after imports; in brackets those of the whole
process, imports, start and end included. What takes more CPU seconds than the budget is not decided; wall
time is limited at --stretch times the budget. Where z3 decides no claim of two sizes in a row, larger ones of
that series are not tried (–). Rows are kept as JSON lines, and not run again but with --fresh; --rewrite runs
nothing, and writes the results from the lines at hand.

Writes benchmarks/results/proofs_growing.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.models import Network
    from assay.proofs import Claim
    from assay.proofs.search import Search

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "proofs_growing.jsonl"
SHAPES = [(4, 2, 6), (4, 2, 8), (4, 2, 10), (4, 2, 12), (5, 2, 20), (5, 3, 20), (5, 4, 30), (5, 6, 50)]
OPEN = [4, 8, 12, 16, 24, 32, 40]
OPEN_SHAPE = (5, 3, 20)
INPUTS = [8, 12, 20, 30]
WHO = ("ladder", "float32", "z3 after bounds", "naive z3")
MEMORY = 4 << 30
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds of one run")
    parser.add_argument("--stretch", type=float, default=1.0, help="wall seconds allowed, in budgets")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="run again what was run")
    parser.add_argument("--rewrite", action="store_true", help="run nothing")
    options = parser.parse_args()
    known = {} if options.fresh or not LINES.exists() else read()
    rows = list(known.values())
    if not options.rewrite:
        series = (part(options.seeds) for part in (by_size, by_open, by_inputs))
        rows = [row for instances in series for row in compared(instances, known, options)]
    text = "\n".join(table(rows, options))
    print(text)
    (RESULTS / "proofs_growing.txt").write_text(text + "\n")


def read() -> dict[str, Row]:
    """What was run before."""
    return {row["key"]: row for row in map(json.loads, LINES.read_text().splitlines())}


def by_size(seeds: int) -> list[Row]:
    """The series of growing networks."""
    return [instance(shape, seed, 1.0) for shape in SHAPES for seed in range(seeds)]


def by_open(seeds: int) -> list[Row]:
    """The series of growing numbers of open ReLUs."""
    return [instance(OPEN_SHAPE, seed, radius_of(n, seed), n) for n in OPEN for seed in range(seeds)]


def by_inputs(seeds: int) -> list[Row]:
    """The series of growing numbers of inputs."""
    named = [(instance((n, 2, 20), seed, 1.0), f"2x20 of {n}") for n in INPUTS for seed in range(seeds)]
    return [row | {"size": size, "key": f"{size} {row['seed']}"} for row, size in named]


def instance(shape: tuple[int, int, int], seed: int, radius: float, wanted: int | None = None) -> Row:
    """A network and a claim about it, as plain data."""
    import torch

    inputs, depth, width = shape
    net = network(*shape, seed)
    torch.manual_seed(seed)
    values = net((torch.rand(100_000, inputs) * 2 - 1) * radius)
    low, top = float(values.min()), float(values.max())
    share = random.Random(f"{shape} {seed}").uniform(-0.1, 0.3)
    size = f"{depth}x{width}" if wanted is None else f"{depth}x{width}, {wanted} open"
    row = {"key": f"{size} {seed}", "size": size, "shape": shape, "seed": seed, "radius": radius}
    row |= {"share": share, "bound": round(top + share * (top - low), 6)}
    return row | {"open": open_units(net, task(row))}


def network(inputs: int, depth: int, width: int, seed: int = 0) -> Network:
    """A random MLP with one output."""
    import torch
    from assay.models import Network
    from torch import nn

    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in pairwise([inputs] + [width] * depth):
        layers += [nn.Linear(a, b), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(width, 1))
    return Network(f"{depth}x{width}", module, "regression", "real", (inputs,))


def task(row: Row, semantics: str = "real") -> Claim:
    """The claim of an instance."""
    from assay.proofs import claim

    ranges = {f"x[0..{row['shape'][0] - 1}]": f"real {-row['radius']}..{row['radius']}"}
    return claim(f"f(x)[0] <= {row['bound']:.6f}", ranges, semantics=semantics, name=row["key"])


def radius_of(wanted: int, seed: int) -> float:
    """The radius at which so many ReLUs are open, about."""
    net, low, high = network(*OPEN_SHAPE, seed), 0.0, 4.0
    for _ in range(30):
        middle = (low + high) / 2
        row = {"key": "radius", "shape": OPEN_SHAPE, "radius": middle, "bound": 0.0}
        few = open_units(net, task(row)) < wanted
        low, high = (middle, high) if few else (low, middle)
    return high


def search(net: Network, asked: Claim) -> Search:
    """What z3's encodings read."""
    from assay.proofs.lowering import lower
    from assay.proofs.obligations import bind
    from assay.proofs.replay import exact_answers, torch_answers
    from assay.proofs.search import Deadline, Search

    graphs = {"f": lower(net.module, net.in_shape)}
    runs = torch_answers({"f": net}, {"f": net.in_shape})
    return Search(bind(asked, graphs), exact_answers(graphs), runs, Deadline(60), MEMORY)


def open_units(net: Network, asked: Claim) -> int:
    """ReLUs whose sign is not known from bounds."""
    from assay.proofs.plans import unstable_units

    return unstable_units(search(net, asked))


def smt_text(row: Row, who: str) -> str:
    """What z3 is asked."""
    from assay.proofs.program import Relu
    from assay.proofs.stages import smt

    class Naive(smt.Encoding):
        """The network as z3 sees it when nobody helps."""

        def relu(self, number: int, step: Relu) -> None:
            for i in range(step.size):
                inside = f"v{step.source}_{i}"
                value = f"(ite (>= {inside} 0.0) {inside} 0.0)"
                self.lines.append(f"(define-fun v{number}_{i} () Real {value})")

    encoding = Naive if who == "naive z3" else smt.Encoding
    return encoding(search(network(*row["shape"], row["seed"]), task(row))).text()


def compared(instances: list[Row], known: dict[str, Row], options: argparse.Namespace) -> Iterable[Row]:
    """Rows with everybody's answer, size by size."""
    hopeless = dict.fromkeys(WHO, 0)
    for _, group in groupby(instances, key=lambda row: row["size"]):
        rows = list(group)
        who = [w for w in WHO if hopeless[w] < 2]
        todo = [(row, w) for row in rows for w in who if w not in known.get(row["key"], {}).get("runs", {})]
        with ThreadPoolExecutor(options.jobs) as pool:
            answers = list(pool.map(lambda pair: run(*pair, options), todo))
        for row in rows:
            row["runs"] = {w: a for (r, w), a in zip(todo, answers, strict=True) if r is row}
            row["runs"] = known.get(row["key"], {}).get("runs", {}) | row["runs"]
            print(line(row), flush=True)
            with LINES.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
            yield row
        for w in who:
            decided = any(row["runs"][w]["status"] != "unknown" for row in rows)
            hopeless[w] = 0 if decided or "z3" not in w else hopeless[w] + 1


def run(row: Row, who: str, options: argparse.Namespace) -> Row:
    """One contender on one instance, in a process of its own."""
    wall = options.budget * options.stretch
    if who in ("ladder", "float32"):
        command = [sys.executable, __file__, "--one", str(wall), who]
        found = measured(command, json.dumps(row), wall + 60, None)
    else:
        from assay.proofs.stages.smt import WORKER

        command = [sys.executable, "-I", str(WORKER), str(wall), str(MEMORY)]
        found = measured(command, smt_text(row, who), wall + 10, int(options.budget) + 1)
        status = {"unsat": "proved", "sat": "refuted"}.get(found.get("status", ""), "unknown")
        found = {k: v for k, v in found.items() if k not in ("model", "reason")} | {"status": status}
    if found.get("seconds", options.budget) > options.budget:
        found |= {"status": "unknown", "seconds": options.budget}
    return {"status": "unknown", "seconds": options.budget} | found


def measured(command: list[str], text: str, wall: float, cpu: int | None) -> Row:
    """What a process prints as JSON, with the CPU and wall seconds of all of it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as answered:
        asked.write(text)
        asked.seek(0)
        child = subprocess.Popen(command, stdin=asked, stdout=answered, env=environment)
        if cpu is not None:
            resource.prlimit(child.pid, resource.RLIMIT_CPU, (cpu, cpu))
        alarm = threading.Timer(wall, child.kill)
        alarm.start()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        alarm.cancel()
        answered.seek(0)
        said = answered.read().strip().splitlines()
    whole = {"whole_cpu": usage.ru_utime + usage.ru_stime, "whole_wall": time.monotonic() - start}
    return (json.loads(said[-1]) if said else {}) | whole


def one(wall: float, who: str) -> None:
    """The ladder on the instance on standard input; imports come first, and do not count."""
    import scipy.optimize  # noqa: F401
    from assay.proofs import Unknown, lower, verify

    row = json.load(sys.stdin)
    net = network(*row["shape"], row["seed"])
    lower(network(1, 1, 1).module, (1,))  # torch imports more at the first module that it traces
    before, start = cpu_seconds(), time.monotonic()
    asked = task(row, "float32" if who == "float32" else "real")
    (outcome,) = verify([asked], networks={"f": net}, budget_s=wall)
    spent = {"seconds": cpu_seconds() - before, "wall": time.monotonic() - start}
    trusted = not isinstance(outcome.verdict, Unknown) and bool(outcome.verdict.trusted)
    bits = outcome.lengths.certificate_bits
    told = {"status": "unknown" if trusted else outcome.status, "bytes": bits and bits // 8}
    print(json.dumps(told | spent | {"stage": outcome.stage}))


def cpu_seconds() -> float:
    """Of this process and its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def line(row: Row) -> str:
    """One instance."""
    cells = [cell(row["runs"].get(who)) for who in WHO]
    return f"{row['key']:18}{row['open']:>5}{row['share']:>7.2f}  " + "".join(f"{c:>27}" for c in cells)


def cell(found: Row | None) -> str:
    """One answer."""
    if found is None:
        return "–"
    if found["status"] == "unknown":
        return "unknown"
    return f"{found['status']} {found['seconds']:6.2f} ({found['whole_cpu']:6.2f})"


def table(rows: list[Row], options: argparse.Namespace) -> Iterable[str]:
    """All rows, how many of each size are decided, and how much faster the ladder is."""
    yield f"{options.budget:.0f} CPU s each; seconds after imports (whole process)"
    yield f"{'network, seed':18}{'open':>5}{'q':>7}  " + "".join(f"{who:>27}" for who in WHO)
    yield from map(line, rows)
    yield ""
    yield f"{'decided':24}" + "".join(f"{who:>18}" for who in WHO)
    for size, group in groupby(rows, key=lambda row: row["size"]):
        same = list(group)
        cells = (count([row["runs"].get(who) for row in same]) for who in WHO)
        yield f"{size:24}" + "".join(f"{c:>18}" for c in cells)
    yield ""
    for who in WHO[2:]:
        yield from ratios(rows, who)
        yield from at_least(rows, who, options.budget)
    yield f"verdicts that contradict each other: {', '.join(contradictions(rows)) or 'none'}"


def count(found: list[Row | None]) -> str:
    """How many of some answers are verdicts."""
    asked = [answer for answer in found if answer is not None]
    return f"{sum(a['status'] != 'unknown' for a in asked)} of {len(asked)}" if asked else "–"


def ratios(rows: list[Row], who: str) -> Iterable[str]:
    """Seconds of another one over those of the ladder, where both decide."""
    for verdict in ("proved", "refuted"):
        both = [r["runs"] for r in rows if who in r["runs"] and r["runs"]["ladder"]["status"] == verdict]
        both = [runs for runs in both if runs[who]["status"] == verdict]
        for key, told in (("seconds", "after imports"), ("whole_cpu", "whole process")):
            times = sorted(runs[who][key] / runs["ladder"][key] for runs in both)
            if times:
                middle = f"{times[0]:.1f} to {times[-1]:.1f}, median {statistics.median(times):.1f}"
                total = sum(r[who][key] for r in both) / sum(r["ladder"][key] for r in both)
                yield f"{who} over the ladder, {verdict}, {told}: {middle}; together {total:.1f}"


def at_least(rows: list[Row], who: str, budget: float) -> Iterable[str]:
    """The budget over the seconds of the ladder, where the other one does not decide."""
    alone = [r["runs"] for r in rows if r["runs"].get(who, {}).get("status") == "unknown"]
    times = sorted(
        budget / runs["ladder"]["seconds"] for runs in alone if runs["ladder"]["status"] != "unknown"
    )
    if times:
        told = f"at least {times[0]:.1f} to {times[-1]:.1f}, median {statistics.median(times):.1f}"
        yield f"{who} over the ladder, which alone decides, after imports: {told}"


def contradictions(rows: list[Row]) -> list[str]:
    """Instances on which there are two verdicts; float32 may differ from the reals."""
    found = []
    for row in rows:
        verdicts = {row["runs"][w]["status"] for w in WHO if w != "float32" and w in row["runs"]}
        if {"proved", "refuted"} <= verdicts:
            found.append(row["key"])
    return found


if __name__ == "__main__":
    one(float(sys.argv[2]), sys.argv[3]) if sys.argv[1:2] == ["--one"] else main()
