"""ACAS Xu: 186 claims about 45 networks of 300 ReLUs, each decided with a certificate or a counterexample.

    python benchmarks/proofs_acas.py FOLDER [--budget 116] [--stretch 1] [--jobs 2]
        [--published RESULTS.csv] [--only 3_6:3 ...] [--rewrite]

FOLDER holds the public networks and properties (VNN-COMP 2021 to 2025: acasxu_instances.csv, *.onnx,
*.vnnlib); they are read, not shipped. RESULTS.csv is a tool's published results (category, network, property,
seconds to prepare, status, seconds); a claim that it calls unsat must not be refuted here, one it calls sat
not proved.

Claims are about float32 execution and go the way of `assay verify --onnx NET --vnnlib PROPERTY`. The budget
is for one claim, the full check by the stand-alone checker included. All of it is single-threaded: on a
machine that is busy with other things, --stretch 4 allows four times the budget of wall time, and what takes
more CPU seconds than the budget still counts as unknown. Every instance is kept as a JSON line beside the
results, with its wall and CPU seconds and a digest of the code of the rooms `proofs` and `models`: what this
code has decided is not decided again. --rewrite runs nothing, and writes the results from the latest lines,
whatever code they are of. Writes benchmarks/results/proofs_acas.txt.
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "proofs_acas.jsonl"
CALLED = {"unsat": "proved", "sat": "refuted"}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=116.0, help="seconds of one claim")
    parser.add_argument("--stretch", type=float, default=1.0, help="wall seconds allowed, in budgets")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--only", nargs="*", help="network:property, such as 3_6:3")
    parser.add_argument("--rewrite", action="store_true", help="write the results from the lines at hand")
    options = parser.parse_args()
    published = statuses(options.published) if options.published else {}
    todo = [i for i in instances(options.folder) if not options.only or ":".join(key(*i)) in options.only]
    known = lines_at_hand() if options.rewrite else {k: r for k, r in lines_at_hand().items() if ours(r)}
    left = [i for i in todo if known.get(":".join(key(*i)), {"status": "unknown"})["status"] == "unknown"]
    left = [] if options.rewrite else left
    random.Random(0).shuffle(left)  # so that what is known early speaks for all
    for row in decided(options.folder, left, options.budget * options.stretch, options.jobs):
        known[row["instance"]] = row
        with LINES.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        print(
            f"{row['instance']:8} {row['status']:8} {row['seconds']:6.1f} s {row['bytes'] or '':>8}",
            flush=True,
        )
    done = [known[name] for name in (":".join(key(*i)) for i in todo) if name in known]
    text = f"{len(done)} of {len(todo)} instances were run\n" + summary(done, published, options)
    print(text)
    if not options.only:
        (RESULTS / "proofs_acas.txt").write_text(text + "\n")


def lines_at_hand() -> dict[str, Row]:
    """The latest line of each instance."""
    text = LINES.read_text() if LINES.exists() else ""
    return {row["instance"]: row for row in map(json.loads, text.splitlines())}


def ours(row: Row) -> bool:
    """Whether this code made it."""
    return row.get("code") == code()


@functools.cache
def code() -> str:
    """Digest of the sources that decide."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(path for room in ("models", "proofs") for path in (root / room).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def key(network: str, prop: str) -> tuple[str, str]:
    """ "1_1" and "3" of a network's and a property's file names."""
    found = re.search(r"(\d_\d)_batch", network), re.search(r"prop_(\d+)", prop)
    if not found[0] or not found[1]:
        raise SystemExit(
            f"expected ACASXU_run2a_1_1_batch_2000.onnx and prop_1.vnnlib, got {network}, {prop}"
        )
    return found[0][1], found[1][1]


def instances(folder: Path) -> list[tuple[str, str]]:
    """Network and property of each instance."""
    with (folder / "acasxu_instances.csv").open() as file:
        return [(network, prop) for network, prop, *_ in csv.reader(file)]


def statuses(path: Path) -> dict[str, str]:
    """What a tool published, by instance."""
    with path.open() as file:
        rows = [row for row in csv.reader(file) if len(row) >= 5 and "_batch_" in row[1]]
    return {":".join(key(row[1], row[2])): CALLED[row[4]] for row in rows if row[4] in CALLED}


def decided(folder: Path, left: list[tuple[str, str]], budget: float, jobs: int) -> Iterator[Row]:
    """Rows as they come."""
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(apart, folder / n, folder / p, budget) for n, p in left]
        yield from (done.result() for done in as_completed(waiting))


def apart(network: Path, prop: Path, budget: float) -> Row:
    """One instance in a process of its own, so that its CPU time is its own."""
    command = [sys.executable, __file__, "--one", str(network), str(prop), str(budget)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{network.name} {prop.name}: {done.stderr[-2000:]}")
    row: Row = json.loads(done.stdout)
    return row


def one(network: Path, prop: Path, budget: float) -> Row:
    """Decide one instance, and have what was written checked once more from outside."""
    from assay.proofs import Unknown, read_onnx, read_property, verify
    from assay.proofs.certificates import CHECKER

    read, claim = read_onnx(network), read_property(prop)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (outcome,) = verify([claim], networks={"f": read}, budget_s=budget, certificates=folder)
        row: Row = {"instance": ":".join(key(network.name, prop.name)), "status": outcome.status}
        row["code"] = code()
        row |= {"seconds": round(outcome.seconds, 2), "stage": outcome.stage, "cpu": round(cpu(), 2)}
        verdict = outcome.verdict
        row |= {"bytes": None, "leaves": None, "accepted": False, "checker": None, "reason": None}
        if isinstance(verdict, Unknown):
            return row | {"reason": verdict.reason[:200]}
        row["witness"] = {k: str(v) for k, v in verdict.witness.inputs.items()} if verdict.witness else None
        if verdict.certificate is None or verdict.certificate.path is None:
            return row
        before, start = cpu(), time.perf_counter()
        command = [sys.executable, "-I", str(CHECKER), str(verdict.certificate.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        row["accepted"] = done.returncode == 0 and ": accepted: " in done.stdout
        row |= {"checker": round(time.perf_counter() - start, 2), "checker_cpu": round(cpu() - before, 2)}
        return row | {"bytes": verdict.certificate.path.stat().st_size, "leaves": verdict.certificate.leaves}


def cpu() -> float:
    """CPU seconds of this process and those it waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def summary(rows: list[Row], published: dict[str, str], options: argparse.Namespace) -> str:
    """The results as text."""
    late = [r for r in rows if options.stretch > 1 and r["cpu"] > options.budget]
    rows = [
        r | {"status": "unknown", "reason": "more CPU time than the budget"} if r in late else r for r in rows
    ]
    by = {status: [r for r in rows if r["status"] == status] for status in ("proved", "refuted", "unknown")}
    decided = by["proved"] + by["refuted"]
    wrong = [r["instance"] for r in decided if published.get(r["instance"], r["status"]) != r["status"]]
    small = [r["bytes"] for r in by["proved"] if r["instance"].split(":")[1] in ("3", "4")]
    versions = Counter(r.get("code", "not told") for r in rows)
    lines = [
        f"ACAS Xu, float32 semantics, {options.budget:.0f} s each with the full check "
        + (
            "of wall time"
            if options.stretch <= 1
            else f"of CPU time, within {options.stretch:g} times the wall time"
        ),
        f"decided {len(decided)} of {len(rows)}: {len(by['proved'])} proved, {len(by['refuted'])} refuted, "
        f"{len(by['unknown'])} unknown",
        f"against published statuses: {sum(r['instance'] in published for r in decided)} compared, "
        f"{len(wrong)} wrong {' '.join(wrong)}".rstrip(),
        spread("wall seconds, search and check", [r["seconds"] for r in rows]),
        spread("CPU seconds, search and check, start of torch included", [r["cpu"] for r in rows]),
        spread("leaves of proofs", [r["leaves"] for r in by["proved"]]),
        spread("bytes of proofs", [r["bytes"] for r in by["proved"]]),
        spread("bytes of proofs of properties 3 and 4", small),
        f"certificates accepted in full by the stand-alone checker, once more: "
        f"{sum(r['accepted'] for r in decided)} of {len(decided)}",
        spread("seconds of that check, proofs", [r["checker"] for r in by["proved"]]),
        f"digest of the code: {', '.join(f'{name} ({count} instances)' for name, count in versions.items())}",
        *(f"unknown: {r['instance']} after {r['seconds']} s: {r['reason']}" for r in by["unknown"]),
        *(f"no certificate: {r['instance']}" for r in decided if not r["accepted"]),
    ]
    return "\n".join(lines)


def spread(name: str, values: list[float]) -> str:
    """Total, median and largest."""
    found = [value for value in values if value is not None]
    if not found:
        return f"{name}: none"
    return (
        f"{name}: total {sum(found):,.1f}, median {statistics.median(found):,.1f}, largest {max(found):,.1f}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))))
    else:
        main()
