"""Marabou and CROWN beside the ladder on the same claims; disagreements are settled by exact replay.

    ASSAY_MARABOU_PYTHON=PYTHON ASSAY_LIRPA_PYTHON=PYTHON python benchmarks/proofs_peers.py [SECONDS]
        [--stretch 1] [--seeds 2] [--acas FOLDER NETWORK:PROP ...]

Each peer runs in the environment of its own Python (`pip install maraboupy numpy`; auto_LiRPA with a torch)
and is left out where none is named. It gets the very program that is proved here: every affine step and ReLU.
Its semantics is that of real numbers, so ours is, too. Claims are those of proofs_growing.py (how they are
drawn is told there), and properties of ACAS Xu from FOLDER.

*Verdicts.* Marabou gets one query for each way in which a counterexample may come about. Its `sat` counts
where the point that it names is a counterexample in exact arithmetic. Every verdict of ours was accepted by
the stand-alone checker, in the same seconds. Seconds are CPU seconds after imports; what takes more of them
than the budget is not decided. Wall time is limited at --stretch times the budget.

*Bounds.* auto_LiRPA bounds the atoms of the counterexample on the whole box by CROWN and by α-CROWN (its
defaults, 20 and 100 steps); we by back-substitution and with optimised slopes. A claim is proved by bounds
alone where one atom of each way is refuted. A bound that lies below what exact arithmetic gives at a point of
the box is wrong: 1,000 points are tried.

Writes benchmarks/results/proofs_peers.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.models import Network
    from assay.proofs import Claim
    from assay.proofs.formulas import Formula
    from assay.proofs.obligations import Obligation
    from assay.proofs.search import Search

SHAPES = [(4, 2, 8), (4, 2, 12), (5, 2, 20), (5, 3, 20), (5, 4, 30), (5, 6, 50)]
TRIED = 1000
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--stretch", type=float, default=1.0, help="wall seconds allowed, in budgets")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--acas", nargs="+", metavar=("FOLDER", "NETWORK:PROP"), default=[])
    options = parser.parse_args()
    rows = []
    for instance in (*random_ones(options.seeds), *acas(options.acas)):
        rows.append(compared(instance, options.seconds, options.seconds * options.stretch))
        print(json.dumps(rows[-1]), flush=True)
        text = "\n".join(table(rows, options.seconds))
        (Path(__file__).parent / "results" / "proofs_peers.txt").write_text(text + "\n")
    print(text)


def random_ones(seeds: int) -> list[Row]:
    """Some instances of proofs_growing.py."""
    from proofs_growing import instance

    return [instance(shape, seed, 1.0) for shape in SHAPES for seed in range(seeds)]


def acas(options: list[str]) -> list[Row]:
    """Some instances of ACAS Xu."""
    return [{"key": f"ACAS Xu {name}", "folder": options[0], "name": name} for name in options[1:]]


def read(row: Row) -> tuple[Network, Claim]:
    """The network and the claim of an instance."""
    if "folder" not in row:
        from proofs_growing import network, task

        return network(*row["shape"], row["seed"]), task(row)
    from assay.proofs import read_onnx, read_property

    name, prop = row["name"].split(":")
    net = read_onnx(Path(row["folder"]) / f"ACASXU_run2a_{name}_batch_2000.onnx")
    return net, read_property(Path(row["folder"]) / f"prop_{prop}.vnnlib", semantics="real")


def compared(row: Row, seconds: float, wall: float) -> Row:
    """Everybody's verdicts and bounds on one claim."""
    from proofs_growing import measured, search

    found = {"name": row["key"]}
    ours = measured([sys.executable, __file__, "--ladder", str(wall)], json.dumps(row), wall + 60, None)
    found |= {"ours": ours["status"] if ours["seconds"] <= seconds else "unknown", "ours_s": ours["seconds"]}
    found["certified"] = ours["certified"]
    sought = search(*read(row))
    if "ASSAY_MARABOU_PYTHON" in os.environ:
        found |= marabou(sought.obligation, seconds, wall)
    if "ASSAY_LIRPA_PYTHON" in os.environ:
        found |= bounds(row, sought, wall)
    return found


def ladder(wall: float) -> None:
    """Our verdict on the instance on standard input; imports come first, and do not count."""
    import scipy.optimize  # noqa: F401
    from assay.proofs import Unknown, lower, verify
    from proofs_growing import cpu_seconds, network

    row = json.load(sys.stdin)
    net, asked = read(row)
    lower(network(1, 1, 1).module, (1,))
    before = cpu_seconds()
    (outcome,) = verify([asked], networks={"f": net}, budget_s=wall)
    verdict = outcome.verdict
    certified = not isinstance(verdict, Unknown) and verdict.certificate is not None
    told = {"status": outcome.status, "certified": certified, "seconds": cpu_seconds() - before}
    print(json.dumps(told))


def bounds(row: Row, sought: Search, wall: float) -> Row:
    """Upper bounds of the atoms on the whole box, ours and theirs, and whether they are right."""
    from proofs_growing import measured

    asked = json.dumps({"layers": layers(sought), "lo": sought.lo.tolist(), "hi": sought.hi.tolist()})
    theirs = measured([os.environ["ASSAY_LIRPA_PYTHON"], __file__, "--lirpa"], asked, wall, None)
    ours = measured([sys.executable, __file__, "--bounds"], json.dumps(row), wall, None)
    made = {**theirs.get("bounds", {}), **ours["bounds"]}
    least = at_points(sought)
    return {
        "bounds": made,
        "bounds_s": {**theirs.get("seconds", {}), **ours["seconds"]},
        "alone": {who: truth(sought, top) < 0 for who, top in made.items()},
        "below": [w for w, top in made.items() if any(a < b for a, b in zip(top, least, strict=True))],
    }


def at_points(sought: Search) -> list[float]:
    """The largest value of each atom among points of the box, in exact arithmetic where it is largest."""
    import torch
    from assay.proofs.formulas import atoms

    mix = torch.rand(TRIED, len(sought.lo), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = sought.lo + mix * (sought.hi - sought.lo)
    values, least = sought.batch.forward(points), []
    for atom in atoms(sought.obligation.counterexample):
        total = sum(float(c) * values[step][:, i] for (step, i), c in atom.form.terms) + 0 * points[:, 0]
        best = [Fraction(v) for v in points[int(total.argmax())].tolist()]
        least.append(float(atom.form.at(sought.obligation.program.evaluate(best))) - 1e-12)
    return least


def truth(sought: Search, top: list[float]) -> float:
    """What bounds of the atoms say of a counterexample: none where it is negative."""
    from assay.proofs.formulas import Atom, Both

    left = iter(top)

    def worth(part: Formula) -> float:
        if isinstance(part, Atom):
            return next(left)
        parts = [worth(inner) for inner in part.parts]
        both = isinstance(part, Both)
        return min(parts, default=inf) if both else max(parts, default=-inf)

    return worth(sought.obligation.counterexample)


def layers(sought: Search) -> list[list[Any]]:
    """The program and the atoms as weights and biases of an MLP: what lies between ReLUs is one map."""
    import numpy as np
    from assay.proofs.formulas import atoms
    from assay.proofs.maps import dense
    from assay.proofs.program import Affine

    made, maps = [], {0: (np.eye(len(sought.lo)), np.zeros(len(sought.lo)))}
    for number, step in enumerate(sought.obligation.program.steps[1:], 1):
        if isinstance(step, Affine):
            parts = [(dense(matrix).astype(float), *maps[source]) for source, matrix in step.terms]
            shift = step.const.astype(float) + sum(m @ const for m, _, const in parts)
            maps[number] = sum(m @ rows for m, rows, _ in parts), shift
        else:
            made.append([each.tolist() for each in maps[step.source]])
            maps = {number: (np.eye(step.size), np.zeros(step.size))}
    rows = sought.batch.rows([atom.form for atom in atoms(sought.obligation.counterexample)])
    last = [(weights[0].numpy(), *maps[source]) for source, weights in rows.coefficients.items()]
    shift = rows.const[0].numpy() + sum(m @ const for m, _, const in last)
    return [*made, [sum(m @ part for m, part, _ in last).tolist(), shift.tolist()]]


def our_bounds() -> None:
    """Back-substitution and optimised slopes on the instance on standard input."""
    import torch
    from assay.proofs.bounds import Bounds
    from assay.proofs.formulas import atoms
    from assay.proofs.relaxation import sharpen
    from proofs_growing import search

    sought = search(*read(json.load(sys.stdin)))
    rows = sought.batch.rows([atom.form for atom in atoms(sought.obligation.counterexample)])
    torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
    start = time.process_time()
    plain = Bounds(sought.batch, sought.lo[None], sought.hi[None])
    with torch.no_grad():
        top, _ = plain.upper(rows)
    seconds = {"ours": time.process_time() - start}
    sharp = [float(sharpen(plain, rows, torch.tensor([k]), [()]).top) for k in range(top.shape[1])]
    seconds["ours, slopes"] = time.process_time() - start
    print(json.dumps({"bounds": {"ours": top[0].tolist(), "ours, slopes": sharp}, "seconds": seconds}))


def lirpa() -> None:
    """CROWN and α-CROWN of what is on standard input; runs where auto_LiRPA is, without this project."""
    import torch
    from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm
    from torch import nn

    torch.set_default_dtype(torch.float64)
    query = json.load(sys.stdin)
    parts: list[nn.Module] = []
    for weight, bias in query["layers"]:
        linear = nn.Linear(len(weight[0]), len(weight))
        linear.weight.data, linear.bias.data = torch.tensor(weight), torch.tensor(bias)
        parts += [linear, nn.ReLU()]
    module = nn.Sequential(*parts[:-1])
    lo, hi = (torch.tensor([query[side]]) for side in ("lo", "hi"))
    torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
    found: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for who, steps in (("CROWN", 0), ("α-CROWN, 20", 20), ("α-CROWN, 100", 100)):
        start = time.process_time()
        bounded = BoundedModule(module, lo, bound_opts={"optimize_bound_args": {"iteration": steps}})
        box = BoundedTensor((lo + hi) / 2, PerturbationLpNorm(norm=float("inf"), x_L=lo, x_U=hi))
        method = "CROWN-Optimized" if steps else "CROWN"
        _, top = bounded.compute_bounds(x=(box,), method=method, bound_lower=False)
        found[who], seconds[who] = top[0].tolist(), time.process_time() - start
    print(json.dumps({"bounds": found, "seconds": seconds}))


def marabou(obligation: Obligation, seconds: float, wall: float) -> Row:
    """Marabou's verdict, and what exact arithmetic says of the points that it names."""
    from proofs_growing import measured

    spent, notes, status = 0.0, "", "proved"
    command = [os.environ["ASSAY_MARABOU_PYTHON"], __file__, "--marabou"]
    for case in cases(obligation.counterexample):
        query = {**program(obligation), "atoms": case, "seconds": wall}
        answer = measured(command, json.dumps(query), wall + 5, int(seconds - spent) + 2)
        spent += answer.get("seconds", answer["whole_cpu"])
        if answer.get("status") == "sat" and spent <= seconds:
            real = refutes(obligation, answer["point"])
            status, notes = ("refuted", "") if real else ("wrong", "its counterexample is none")
            break
        if answer.get("status") != "unsat" or spent > seconds:
            status = "unknown"
            break
    return {"marabou": status, "marabou_s": spent, "notes": notes}


def cases(formula: Formula) -> list[list[list[Any]]]:
    """The formula as alternatives of atoms: terms (step, component, coefficient), and a constant."""
    from assay.proofs.formulas import Atom, Either

    if isinstance(formula, Atom):
        terms = [[step, i, float(value)] for (step, i), value in formula.form.terms]
        return [[[terms, float(formula.form.const)]]]
    parts = [cases(part) for part in formula.parts]
    if isinstance(formula, Either):
        return [case for part in parts for case in part]
    whole: list[list[list[Any]]] = [[]]
    for part in parts:
        whole = [one + other for one in whole for other in part]
    return whole


def program(obligation: Obligation) -> dict[str, Any]:
    """The program as JSON data."""
    from assay.proofs.maps import dense
    from assay.proofs.program import Affine, Free, Relu

    steps: list[Any] = []
    for step in obligation.program.steps:
        if isinstance(step, Affine):
            terms = [[source, dense(matrix).astype(float).tolist()] for source, matrix in step.terms]
            steps.append(["affine", terms, step.const.astype(float).tolist()])
        elif isinstance(step, Relu):
            steps.append(["relu", step.source, step.size])
        else:
            assert isinstance(step, Free)
            steps.append(["free", step.size])
    ends = [[float(v) for v in side] for side in (obligation.lo, obligation.hi)]
    return {"steps": steps, "lo": ends[0], "hi": ends[1]}


def refutes(obligation: Obligation, point: list[float]) -> bool:
    """Whether the claim fails at a point, in exact arithmetic; it is moved into the box first."""
    from assay.proofs.formulas import holds

    ends = zip(map(Fraction, point), obligation.lo, obligation.hi, strict=True)
    inside = [min(max(value, lo), hi) for value, lo, hi in ends]
    return holds(obligation.counterexample, obligation.program.evaluate(inside))


def ask_marabou() -> None:
    """Solve the query on standard input; runs where `maraboupy` is, without this project."""
    from maraboupy import Marabou, MarabouCore

    query, total, first = json.load(sys.stdin), 0, []
    core = MarabouCore.InputQuery()
    for kind, *rest in query["steps"]:
        first.append(total)
        total += {"free": lambda r: r[0], "relu": lambda r: r[1], "affine": lambda r: len(r[1])}[kind](rest)
    core.setNumberOfVariables(total)
    for v, (lo, hi) in enumerate(zip(query["lo"], query["hi"], strict=True)):
        core.setLowerBound(v, lo)
        core.setUpperBound(v, hi)
        core.markInputVariable(v, v)
    for number, (kind, *rest) in enumerate(query["steps"]):
        if kind == "relu":
            for i in range(rest[1]):
                MarabouCore.addReluConstraint(core, first[rest[0]] + i, first[number] + i)
        elif kind == "affine":
            affine(core, MarabouCore, first, number, *rest)
    for terms, const in query["atoms"]:
        equation = MarabouCore.Equation(MarabouCore.Equation.GE)
        for step, i, value in terms:
            equation.addAddend(value, first[step] + i)
        equation.setScalar(-const)
        core.addEquation(equation)
    options = Marabou.createOptions(timeoutInSeconds=max(1, int(query["seconds"])), verbosity=0)
    start = time.process_time()
    status, values, _ = MarabouCore.solve(core, options, "")
    point = [values[v] for v in range(len(query["lo"]))] if values else []
    print(json.dumps({"status": status, "point": point, "seconds": time.process_time() - start}))


def affine(
    core: Any, marabou_core: Any, first: list[int], number: int, terms: list[Any], const: list[float]
) -> None:
    """The rows of one affine step."""
    for i, shift in enumerate(const):
        equation = marabou_core.Equation(marabou_core.Equation.EQ)
        for source, matrix in terms:
            for j, weight in enumerate(matrix[i]):
                if weight:
                    equation.addAddend(weight, first[source] + j)
        equation.addAddend(-1.0, first[number] + i)
        equation.setScalar(-shift)
        core.addEquation(equation)


WAYS = ("CROWN", "ours", "α-CROWN, 20", "α-CROWN, 100", "ours, slopes")


def table(rows: list[Row], seconds: float) -> Iterator[str]:
    """Side by side."""
    yield f"{seconds:.0f} CPU s each, semantics real"
    yield f"{'claim':18}{'ours':>20}{'Marabou':>20}"
    for row in rows:
        cells = [f"{row['ours']} {row['ours_s']:7.2f} s"]
        cells += [f"{row['marabou']} {row['marabou_s']:7.2f} s"] if "marabou" in row else ["–"]
        yield f"{row['name']:18}" + "".join(f"{c:>20}" for c in cells) + f"  {row.get('notes', '')}".rstrip()
    asked = [row for row in rows if "marabou" in row]
    solved = [sum(row[who] in ("proved", "refuted") for row in asked) for who in ("ours", "marabou")]
    both = [r for r in asked if {r["ours"], r["marabou"]} <= {"proved", "refuted"}]
    against = [r["name"] for r in both if r["ours"] != r["marabou"]]
    yield f"decided: {solved[0]} by us, {solved[1]} by Marabou, of {len(asked)}"
    for who in ("ours", "marabou"):
        yield f"CPU seconds on {len(both)} that both decide, {who}: {sum(r[f'{who}_s'] for r in both):.2f}"
    yield f"ours with a certificate: {sum(row['certified'] for row in rows)}"
    yield f"verdicts that contradict each other: {', '.join(against) or 'none'}"
    yield f"points of Marabou that are no counterexamples: {sum(r['marabou'] == 'wrong' for r in asked)}"
    yield from bounds_table([row for row in rows if "bounds" in row])


def bounds_table(rows: list[Row]) -> Iterator[str]:
    """Bounds of the atom that is largest under plain bounds of ours, and seconds."""
    if not rows:
        return
    yield ""
    yield f"{'largest bound':18}" + "".join(f"{way:>22}" for way in WAYS)
    for row in rows:
        k = max(range(len(row["bounds"]["ours"])), key=row["bounds"]["ours"].__getitem__)
        cells = [
            f"{row['bounds'][way][k]:.4g}{' proved' * row['alone'][way]} {row['bounds_s'][way]:.2f} s"
            if way in row["bounds"]
            else "–"
            for way in WAYS
        ]
        yield f"{row['name']:18}" + "".join(f"{c:>22}" for c in cells)
    proved = (f"{way} {sum(row['alone'].get(way, False) for row in rows)}" for way in WAYS)
    yield f"proved by bounds of the whole box alone: {', '.join(proved)}"
    wrong = [f"{row['name']} ({', '.join(row['below'])})" for row in rows if row["below"]]
    yield f"bounds below what exact arithmetic gives at a point: {', '.join(wrong) or 'none'}"


if __name__ == "__main__":
    modes = {"--marabou": ask_marabou, "--lirpa": lirpa, "--bounds": our_bounds}
    if sys.argv[1:2] == ["--ladder"]:
        ladder(float(sys.argv[2]))
    else:
        modes.get(sys.argv[1] if len(sys.argv) > 1 else "", main)()
