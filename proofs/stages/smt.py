"""z3, for what bounds leave open: few unstable ReLUs, whole numbers, Boolean structure.

ReLUs whose sign is known on the scope are affine; the others come with their triangle relaxation. z3 gives no
evidence that `check.py` reads, so what only z3 closed says `trusted: z3`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from assay.proofs.bounds import Bounds
from assay.proofs.formulas import Atom, Both, Formula
from assay.proofs.maps import entries
from assay.proofs.program import Affine, Free, Function, Jump, Relu, Step
from assay.proofs.search import Search
from assay.proofs.translation import Form
from assay.proofs.verdicts import Proved, Unknown, Verdict, Witness

NAME = "z3"
MAX_UNSTABLE = 60
WORKER = Path(__file__).parent.parent / "z3_worker.py"
_SLACK = Fraction(1, 10**9)


def solve(search: Search, seconds: float) -> Verdict | Witness:
    """Ask z3 for a counterexample."""
    encoding = Encoding(search)
    text = encoding.text()
    if encoding.unstable > MAX_UNSTABLE:
        reason = f"{encoding.unstable} unstable ReLUs, z3 is asked up to {MAX_UNSTABLE}"
        return Unknown(NAME, reason, needed="tighter bounds or a smaller scope")
    answer = ask(text, seconds, search.memory)
    if answer.status == "unsat":
        return Proved(None, ("z3", "float64 bounds with a slack of 1e-9, for the signs of stable ReLUs"))
    if answer.status == "sat":
        point = [answer.model.get(f"t{i}", lo) for i, lo in enumerate(search.obligation.lo)]
        found = search.exact_witness(point)
        return found or Unknown(NAME, "z3's counterexample does not replay in the semantics of the claim")
    return Unknown(NAME, f"z3 gave up: {answer.reason}", needed="a larger budget, or a lemma")


@dataclass(frozen=True)
class Answer:
    """What the worker printed, or why it printed nothing; `seconds` of CPU time, where it printed."""

    status: str
    model: dict[str, Fraction]
    reason: str
    seconds: float = 0.0


def ask(text: str, seconds: float, memory: int) -> Answer:
    """Run z3 in a child under hard limits of wall time, CPU time and memory."""
    command = [sys.executable, "-I", str(WORKER), str(seconds), str(memory)]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds + 2, check=False
        )
        reply = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return Answer("unknown", {}, "timeout")
    except ValueError:
        return Answer("unknown", {}, f"the worker was stopped (exit {done.returncode}): time or memory limit")
    model = {name: Fraction(value) for name, value in reply["model"].items()}
    return Answer(reply["status"], model, reply["reason"], reply["seconds"])


class Encoding:
    """The obligation as SMT-LIB 2 text; `unstable` counts the ReLUs that stay nonlinear."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.bounds = Bounds(search.batch, search.lo[None], search.hi[None])
        self.lines: list[str] = []
        self.unstable = 0

    def text(self) -> str:
        """Declarations and assertions."""
        obligation = self.search.obligation
        for number, step in enumerate(obligation.program.steps):
            self.step(number, step)
        self.lines.append(f"(assert {self.formula(obligation.counterexample)})")
        return "\n".join(self.lines)

    def step(self, number: int, step: Step) -> None:
        """Write one step."""
        if isinstance(step, Free):
            ends = zip(
                self.search.obligation.lo,
                self.search.obligation.hi,
                self.search.obligation.whole,
                strict=True,
            )
            for i, (lo, hi, whole) in enumerate(ends):
                self.declare(f"t{i}", lo, hi, "Int" if whole else "Real")
        elif isinstance(step, Jump):
            self.jump(number, step)
        elif isinstance(step, Relu):
            self.relu(number, step)
        elif isinstance(step, Function):
            self.function(number, step)
        else:
            self.affine(number, step)

    def declare(self, name: str, lo: Fraction, hi: Fraction, sort: str = "Real") -> None:
        """Declare a constant between bounds."""
        self.lines.append(f"(declare-const {name} {sort})")
        self.lines.append(f"(assert (and (>= {name} {_number(lo)}) (<= {name} {_number(hi)})))")

    def affine(self, number: int, step: Affine) -> None:
        """Define the rows of an affine step, each with its rounding error."""
        radius = self.bounds.radius(number)
        for i in range(step.size):
            rows = [(s, zip(*entries(matrix[[i]])[1:], strict=True)) for s, matrix in step.terms]
            terms = [(self.name(f"v{s}_{j}"), Fraction(c)) for s, row in rows for j, c in row]
            body = [_number(Fraction(step.const[i])), *(f"(* {_number(c)} {name})" for name, c in terms)]
            if radius is not None:
                error = Fraction(float(radius[0, i])) * (1 + _SLACK)
                self.declare(f"e{number}_{i}", -error, error)
                body.append(f"e{number}_{i}")
            value = body[0] if len(body) == 1 else f"(+ {' '.join(body)})"
            self.lines.append(f"(define-fun v{number}_{i} () Real {value})")

    def relu(self, number: int, step: Relu) -> None:
        """Define ReLUs of known sign; declare the others with their triangles."""
        low, high = self.bounds.interval(step.source)
        for i in range(step.size):
            least, most = (Fraction(float(side[0, i])) for side in (low, high))
            least, most = least - _SLACK * (1 + abs(least)), most + _SLACK * (1 + abs(most))
            inside, name = f"v{step.source}_{i}", f"v{number}_{i}"
            if least >= 0 or most <= 0:
                self.lines.append(f"(define-fun {name} () Real {inside if least >= 0 else '0.0'})")
                continue
            self.unstable += 1
            self.lines.append(f"(declare-const {name} Real)")
            self.lines.append(f"(assert (= {name} (ite (>= {inside} 0.0) {inside} 0.0)))")
            chord = f"(* {_number(most / (most - least))} (- {inside} {_number(least)}))"
            self.lines.append(f"(assert (and (>= {name} 0.0) (>= {name} {inside}) (<= {name} {chord})))")

    def jump(self, number: int, step: Jump) -> None:
        """Define what is 1 above 0, and 0 elsewhere."""
        self.unstable += step.size
        for i in range(step.size):
            value = f"(ite (> v{step.source}_{i} 0.0) 1.0 0.0)"
            self.lines.append(f"(define-fun v{number}_{i} () Real {value})")

    def function(self, number: int, step: Function) -> None:
        """Declare functions between their bounds, with the equation that defines them where it is polynomial;
        not in float32, where they are rounded."""
        low, high = self.bounds.interval(number)
        for i in range(step.size):
            name, read = f"v{number}_{i}", [self.name(f"v{s}_{i}") for s in step.sources]
            self.declare(name, Fraction(float(low[0, i])), Fraction(float(high[0, i])))
            equations = {
                "product": f"(= {name} (* {' '.join(read)}))",
                "reciprocal": f"(= 1.0 (* {name} {read[0]}))",
                "sqrt": f"(= {read[0]} (* {name} {name}))",
            }
            if step.kind in equations and not self.bounds.batch.rounding:
                self.lines.append(f"(assert {equations[step.kind]})")

    def name(self, step_name: str) -> str:
        """Free variables are t0, t1, …; a whole one is an Int and must be converted."""
        if not step_name.startswith("v0_"):
            return step_name
        i = int(step_name[3:])
        return f"(to_real t{i})" if self.search.obligation.whole[i] else f"t{i}"

    def formula(self, formula: Formula) -> str:
        """A formula as a term."""
        if isinstance(formula, Atom):
            return f"({'>' if formula.strict else '>='} {self.form(formula.form)} 0.0)"
        if not formula.parts:
            return "true" if isinstance(formula, Both) else "false"
        word = "and" if isinstance(formula, Both) else "or"
        return f"({word} {' '.join(map(self.formula, formula.parts))})"

    def form(self, form: Form) -> str:
        """A linear form as a term."""
        parts = [f"(* {_number(c)} {self.name(f'v{step}_{i}')})" for (step, i), c in form.terms]
        return f"(+ {_number(form.const)} {' '.join(parts)})" if parts else _number(form.const)


def _number(value: Fraction) -> str:
    text = f"{abs(value.numerator)}.0"
    if value.denominator != 1:
        text = f"(/ {text} {value.denominator}.0)"
    return f"(- {text})" if value < 0 else text
