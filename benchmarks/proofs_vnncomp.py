"""Other people's networks and properties: samples of the public categories of VNN-COMP.

    python benchmarks/proofs_vnncomp.py FOLDER --published RESULTS [--only CATEGORY ...]
        [--most 24] [--budget 60] [--jobs 1] [--rewrite]

FOLDER holds a folder for each category with instances.csv, as in the competition's repositories (networks
and properties may be packed as .gz); they are read, not shipped. RESULTS holds a folder for each tool with
its results.csv (category, network, property, seconds to prepare, status, seconds): what it calls unsat must
not be refuted here, what it calls sat not proved. Its seconds are of other machines, budgets and conditions.

Of each category a random sample, always the same, goes the way of `assay verify --onnx N --vnnlib P`, each in
a process of its own on one thread: claims about float32 execution, the full check by the stand-alone checker
included in the budget, and once more from outside. CPU seconds are those of the whole process, imports
included. Instances are kept as JSON lines, and not run again by the same code; --rewrite runs nothing. Writes
benchmarks/results/proofs_vnncomp.txt.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from proofs_acas import CALLED, RESULTS, code, cpu

LINES = RESULTS / "proofs_vnncomp.jsonl"
CATEGORIES = (
    "rl_benchmarks",
    "reach_prob_density",
    "mnist_fc",
    "collins_rul_cnn",
    "tllverifybench",
    "sri_resnet_a",
    "oval21",
)
Row = dict[str, Any]
Instance = tuple[str, Path, Path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=CATEGORIES)
    parser.add_argument("--most", type=int, default=24, help="instances of a category")
    parser.add_argument("--budget", type=float, default=60.0, help="wall seconds of one instance")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rewrite", action="store_true", help="write the results from the lines at hand")
    options = parser.parse_args()
    todo = [one for name in options.only for one in sample(options.folder, name, options.most)]
    known = {key(row): row for row in at_hand() if options.rewrite or row["code"] == code()}
    left = [] if options.rewrite else [one for one in todo if named(one) not in known]
    for row in decided(left, options):
        known[key(row)] = row
        with LINES.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        print(*key(row), row["status"], row["cpu"], row["reason"] or "", flush=True)
    rows = [known[named(one)] for one in todo if named(one) in known]
    text = "\n".join(table(rows, published(options.published), options))
    print(text)
    (RESULTS / "proofs_vnncomp.txt").write_text(text + "\n")


def sample(folder: Path, category: str, most: int) -> list[Instance]:
    """Some instances whose files are there, in an order that is always the same."""
    with (folder / category / "instances.csv").open() as file:
        rows = [(row[0], row[1]) for row in csv.reader(file) if len(row) >= 2]
    random.Random(0).shuffle(rows)
    pairs = ((there(folder / category / n), there(folder / category / p)) for n, p in rows)
    return [(category, n, p) for n, p in pairs if n and p][:most]


def there(path: Path) -> Path | None:
    """The file, packed or not; None where it was left out."""
    packed = path.with_name(path.name + ".gz")
    return path if path.exists() else packed if packed.exists() else None


def named(one: Instance) -> tuple[str, str, str]:
    category, network, prop = one
    return category, network.name.removesuffix(".gz"), prop.name.removesuffix(".gz")


def key(row: Row) -> tuple[str, str, str]:
    return row["category"], row["network"], row["property"]


def at_hand() -> list[Row]:
    text = LINES.read_text() if LINES.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def published(folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """What each tool says of each instance that it decides."""
    found: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for path in sorted(folder.glob("*/results.csv")):
        with path.open() as file:
            for row in csv.reader(file):
                if len(row) >= 6 and row[4] in CALLED:
                    found[row[0], Path(row[1]).name, Path(row[2]).name][path.parent.name] = CALLED[row[4]]
    return found


def decided(left: list[Instance], options: argparse.Namespace) -> Iterator[Row]:
    """Rows as they come."""
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(apart, one, options.budget) for one in left]
        yield from (done.result() for done in as_completed(waiting))


def apart(one: Instance, budget: float) -> Row:
    """One instance in a process of its own."""
    category, network, prop = one
    command = [sys.executable, __file__, "--one", category, str(network), str(prop), str(budget)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{network.name} {prop.name}: {done.stderr[-2000:]}")
    row: Row = json.loads(done.stdout)
    return row | {"wall": round(time.monotonic() - start, 2)}


def one(category: str, network: Path, prop: Path, budget: float) -> Row:
    """Decide one instance, and have what was written checked once more from outside."""
    from assay.proofs import InputError, Unknown, read_onnx, read_property, verify
    from assay.proofs.certificates import CHECKER

    names = dict(zip(("category", "network", "property"), named((category, network, prop)), strict=True))
    row: Row = {**names, "code": code(), "bytes": None, "leaves": None, "accepted": None, "reason": None}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            read, claim = read_onnx(unpacked(network, folder)), read_property(prop)
            (outcome,) = verify([claim], networks={"f": read}, budget_s=budget, certificates=folder)
        except InputError as error:
            return row | {"status": "refused", "reason": str(error)[:200], "cpu": round(cpu(), 2)}
        row |= {"status": outcome.status, "stage": outcome.stage, "cpu": round(cpu(), 2)}
        if isinstance(outcome.verdict, Unknown):
            return row | {"reason": outcome.verdict.reason[:200]}
        certificate = outcome.verdict.certificate
        if certificate is None or certificate.path is None:
            return row
        command = [sys.executable, "-I", str(CHECKER), str(certificate.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        row["accepted"] = done.returncode == 0 and ": accepted: " in done.stdout
        return row | {"bytes": certificate.path.stat().st_size, "leaves": certificate.leaves}


def unpacked(path: Path, folder: Path) -> Path:
    if path.suffix != ".gz":
        return path
    plain = folder / path.stem
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    return plain


def table(
    rows: list[Row], told: dict[tuple[str, str, str], dict[str, str]], options: argparse.Namespace
) -> Iterator[str]:
    """The results as text."""
    yield f"VNN-COMP, float32 semantics, {options.budget:g} s of wall time each, full check included"
    yield (
        f"{'category':<20} {'run':>4} {'proved':>7} {'refuted':>8} {'unknown':>8} {'refused':>8}"
        f" {'certified':>10} {'CPU s, median':>14} {'largest':>8}  decided by others, of the same (published)"
    )
    for category in dict.fromkeys(row["category"] for row in rows):
        mine = [row for row in rows if row["category"] == category]
        count = Counter(row["status"] for row in mine)
        done = [row for row in mine if row["status"] in ("proved", "refuted")]
        seconds = [row["cpu"] for row in done] or [0.0]
        others = Counter(tool for row in mine for tool in told.get(key(row), ()))
        best = ", ".join(f"{tool} {n}" for tool, n in others.most_common(4))
        yield (
            f"{category:<20} {len(mine):>4} {count['proved']:>7} {count['refuted']:>8} {count['unknown']:>8}"
            f" {count['refused']:>8} {sum(bool(row['accepted']) for row in done):>10}"
            f" {statistics.median(seconds):>14.1f} {max(seconds):>8.1f}  {best}"
        )
    done = [row for row in rows if row["status"] in ("proved", "refuted") and told.get(key(row))]
    wrong = [row for row in done if row["status"] not in told[key(row)].values()]
    split = [row for row in done if len(set(told[key(row)].values())) > 1]
    yield f"compared with published verdicts: {len(done)}; against all of them: {len(wrong)}"
    yield from (f"  {' '.join(key(row))}: {row['status']}" for row in wrong)
    yield f"where tools contradict each other: {len(split)}"
    yield from (f"  {' '.join(key(row))}: {row['status']}; {told[key(row)]}" for row in split)
    without = [row for row in done if not row["accepted"]]
    yield f"decided without a certificate that the stand-alone checker accepts: {len(without)}"
    yield from (f"  {' '.join(key(row))}: {row['status']}" for row in without)
    reasons = Counter(row["reason"].split(";")[0][:90] for row in rows if row["reason"])
    yield from (f"  {n} x {reason}" for reason, n in reasons.most_common(12))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        made = one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), float(sys.argv[5]))
        print(json.dumps(made))
    else:
        main()
