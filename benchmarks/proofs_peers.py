"""Marabou beside the ladder: the same claims, the same budget; disagreements are settled by exact replay.

    ASSAY_MARABOU_PYTHON=PYTHON python benchmarks/proofs_peers.py [SECONDS] [--acas FOLDER NETWORK:PROP ...]

Marabou runs in the environment of that Python (`pip install maraboupy numpy`). It gets the very program that
is proved here: every affine step and ReLU, one query for each way in which a counterexample may come about.
Its semantics is that of real numbers, so ours is, too. Its `sat` counts where the point that it names is a
counterexample in exact arithmetic. Every proof of ours was accepted by the stand-alone checker. Writes
benchmarks/results/proofs_peers.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.models import Network
    from assay.proofs import Claim
    from assay.proofs.formulas import Formula
    from assay.proofs.obligations import Obligation

SHAPES = [(4, 2, 8), (4, 2, 12), (5, 2, 20), (5, 3, 20), (5, 4, 30), (5, 6, 50)]
SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--acas", nargs="+", metavar=("FOLDER", "NETWORK:PROP"), default=[])
    options = parser.parse_args()
    if "ASSAY_MARABOU_PYTHON" not in os.environ:
        raise SystemExit("expected ASSAY_MARABOU_PYTHON, a Python that has maraboupy")
    rows = [compared(*each, options.seconds) for each in (*random_ones(), *acas(options.acas))]
    text = table(rows, options.seconds)
    print(text)
    (Path(__file__).parent / "results" / "proofs_peers.txt").write_text(text + "\n")


def random_ones() -> list[tuple[str, Network, Claim]]:
    """The claims of proofs_growing.py, of more networks."""
    from proofs_growing import network, task

    nets = [network(*shape, seed=seed) for shape in SHAPES for seed in range(SEEDS)]
    return [(f"random {net.name}", net, task(net)) for net in nets]


def acas(options: list[str]) -> list[tuple[str, Network, Claim]]:
    """Some instances of ACAS Xu."""
    from assay.proofs import read_onnx, read_property

    found = []
    for name in options[1:]:
        network, prop = name.split(":")
        read = read_onnx(Path(options[0]) / f"ACASXU_run2a_{network}_batch_2000.onnx")
        claim = read_property(Path(options[0]) / f"prop_{prop}.vnnlib", semantics="real")
        found.append((f"ACAS Xu {name}", read, claim))
    return found


def compared(name: str, net: Network, asked: Claim, seconds: float) -> dict[str, Any]:
    """Both verdicts on one claim."""
    from assay.proofs import Unknown, verify
    from assay.proofs.lowering import lower
    from assay.proofs.obligations import bind

    (outcome,) = verify([asked], networks={"f": net}, budget_s=seconds)
    certified = not isinstance(outcome.verdict, Unknown) and outcome.verdict.certificate is not None
    row = {"name": name, "ours": outcome.status, "our_s": outcome.seconds, "certified": certified}
    obligation = bind(asked, {"f": lower(net.module, net.in_shape)})
    row |= marabou(obligation, seconds)
    print(json.dumps(row), flush=True)
    return row


def marabou(obligation: Obligation, seconds: float) -> dict[str, Any]:
    """Marabou's verdict, and what exact arithmetic says of the points that it names."""
    start, notes, status = time.perf_counter(), "", "proved"
    for case in cases(obligation.counterexample):
        left = seconds - (time.perf_counter() - start)
        answer = (
            ask({**program(obligation), "atoms": case, "seconds": left})
            if left > 0
            else {"status": "TIMEOUT"}
        )
        if answer["status"] == "sat":
            real = refutes(obligation, answer["point"])
            status, notes = ("refuted", "") if real else ("wrong", "its counterexample is none")
            break
        if answer["status"] != "unsat":
            status, notes = "unknown", answer["status"]
            break
    return {"marabou": status, "marabou_s": time.perf_counter() - start, "notes": notes}


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
    from assay.proofs.program import Affine, Free, Relu

    steps: list[Any] = []
    for step in obligation.program.steps:
        if isinstance(step, Affine):
            terms = [[source, matrix.astype(float).tolist()] for source, matrix in step.terms]
            steps.append(["affine", terms, step.const.astype(float).tolist()])
        elif isinstance(step, Relu):
            steps.append(["relu", step.source, step.size])
        else:
            assert isinstance(step, Free)
            steps.append(["free", step.size])
    ends = [[float(v) for v in side] for side in (obligation.lo, obligation.hi)]
    return {"steps": steps, "lo": ends[0], "hi": ends[1]}


def ask(query: dict[str, Any]) -> dict[str, Any]:
    """One query, in Marabou's own environment."""
    command = [os.environ["ASSAY_MARABOU_PYTHON"], __file__, "--worker"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(query),
            capture_output=True,
            text=True,
            timeout=query["seconds"] + 5,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"status": "TIMEOUT"}
    except (ValueError, IndexError):
        return {"status": f"exit {done.returncode}: {done.stderr.strip()[-120:]}"}
    return answer


def refutes(obligation: Obligation, point: list[float]) -> bool:
    """Whether the claim fails at a point, in exact arithmetic; it is moved into the box first."""
    from assay.proofs.formulas import holds

    ends = zip(map(Fraction, point), obligation.lo, obligation.hi, strict=True)
    inside = [min(max(value, lo), hi) for value, lo, hi in ends]
    return holds(obligation.counterexample, obligation.program.evaluate(inside))


def worker() -> None:
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
    status, values, _ = MarabouCore.solve(core, options, "")
    print(
        json.dumps(
            {"status": status, "point": [values[v] for v in range(len(query["lo"]))] if values else []}
        )
    )


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


def table(rows: list[dict[str, Any]], seconds: float) -> str:
    """Side by side."""
    lines = [
        f"{seconds:.0f} s of wall time each, semantics real",
        f"{'claim':22} {'ours':>18} {'Marabou':>18}",
    ]
    for row in rows:
        ours, theirs = f"{row['ours']} {row['our_s']:7.2f} s", f"{row['marabou']} {row['marabou_s']:7.2f} s"
        lines.append(f"{row['name']:22} {ours:>18} {theirs:>18}  {row['notes']}".rstrip())
    solved = [sum(row[who] in ("proved", "refuted") for row in rows) for who in ("ours", "marabou")]
    both = [r for r in rows if {r["ours"], r["marabou"]} <= {"proved", "refuted"}]
    against = [r["name"] for r in both if r["ours"] != r["marabou"]]
    lines += [
        f"decided: {solved[0]} and {solved[1]} of {len(rows)}; ours with a certificate: "
        f"{sum(r['certified'] for r in rows)}",
        f"verdicts that contradict each other: {', '.join(against) or 'none'}",
        f"points of Marabou that are no counterexamples: {sum(r['marabou'] == 'wrong' for r in rows)}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    worker() if sys.argv[1:2] == ["--worker"] else main()
