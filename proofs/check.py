"""Check certificates of claims about neural networks: one file, standard library only, exact arithmetic.

    python3 -I check.py CERTIFICATE... [--weights W.safetensors ...]

A certificate holds a claim, the networks it speaks of (operations, and digests of their weights), and either
a *proof*, a tree of case splits whose leaves are closed by linear bounds, or a *witness*, an input on which
the claim fails. This file shares no code with the prover. It trusts the list of operations and itself;
weights are found in --weights or beside the certificate as DIGEST.safetensors, and must have the digest.

How a leaf is closed. The claim becomes a formula N that only a counterexample satisfies; its atoms are e >= 0
or e > 0 for linear forms e over the steps of a program (affine maps and ReLUs). An upper bound of e on a box
is found by substituting steps backwards (DeepPoly, Singh et al. 2019; CROWN, Zhang et al. 2018), where
a·v <= relu(v) <= s·v + max(-s·l, (1-s)·u) on [l, u] is sound for any a, s in [0, 1]. Under "float32" a row of
an affine step may be off by g (|M||v| + |c|) + k 2^-126, g = k u / (1 - k u), u = 2^-24 (Higham 2002, 3.1).
Integers carry everything: bounds in units of 2^-64, rounded outwards; slopes in units of 2^-16.
"""

# ruff: noqa: D102, D103
from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import struct
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import reduce
from math import lcm
from operator import mul
from pathlib import Path
from typing import Any

GRID, SLOPE = 64, 16
KINDS = ("real", "integer", "token", "bit")
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
Form = tuple[Fraction, dict[tuple[int, int], Fraction]]  # constant, and coefficient of component i of a step
Formula = tuple[Any, ...]  # ("atom", form, strict), ("and", [formula…]) or ("or", [formula…])
Tensors = dict[str, tuple[str, tuple[int, ...], list[float]]]
Phases = dict[tuple[int, int], int]  # 1 for a ReLU (step, unit) that is on, -1 for one that is off


class RejectedError(Exception):
    """The certificate does not prove what it says; the message tells why."""


def need(condition: object, why: str) -> None:
    if not condition:
        raise RejectedError(why)


def fields(table: Any, *names: str) -> list[Any]:
    need(isinstance(table, dict) and sorted(table) == sorted(names), f"expected exactly the fields {names}")
    return [table[name] for name in names]


def number(text: Any) -> Fraction:
    good = isinstance(text, str) and re.fullmatch(r"-?\d{1,3000}(/0*[1-9]\d{0,3000})?", text, re.ASCII)
    need(good, f"not a number: {str(text)[:40]!r}")
    return Fraction(text)


def scaled(values: Iterable[Any], below: int) -> list[int]:
    """Exact values times a multiple of all their denominators."""
    return [n * (below // d) for n, d in (value.as_integer_ratio() for value in values)]


def read_weights(path: str | Path) -> tuple[str, Tensors]:
    """Digest over the sorted (name, dtype, shape, bytes), and the tensors of a safetensors file."""
    data = Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    sha, tensors, table = hashlib.sha256(), {}, json.loads(data[8:start])
    table.pop("__metadata__", None)
    for name, entry in sorted(table.items()):
        begin, end = entry["data_offsets"]
        raw, shape = data[start + begin : start + end], tuple(entry["shape"])
        code, dtype = TYPES.get(entry["dtype"], ("", entry["dtype"].lower().replace("i", "int")))
        sha.update(f"{name}\0torch.{dtype}\0{shape}\0".encode() + raw)
        values = list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw)) if code else []
        if code == "H":
            values = [struct.unpack("<f", struct.pack("<I", v << 16))[0] for v in values]
        tensors[name] = (dtype, shape, values)
    return sha.hexdigest(), tensors


def form(constant: Any, terms: dict[tuple[int, int], Any] | None = None) -> Form:
    return Fraction(constant), {key: Fraction(value) for key, value in (terms or {}).items() if value}


def plus(a: Form, b: Form, factor: Fraction | int = 1) -> Form:
    total: dict[tuple[int, int], Any] = dict(a[1])
    for key, value in b[1].items():
        total[key] = total.get(key, 0) + value * factor
    return form(a[0] + b[0] * factor, total)


def negate(formula: Formula) -> Formula:
    if formula[0] == "atom":
        return "atom", plus(form(0), formula[1], -1), not formula[2]
    return "or" if formula[0] == "and" else "and", [negate(part) for part in formula[1]]


def flat(formula: Formula, kind: str = "and") -> list[Formula]:
    return [part for each in formula[1] for part in flat(each, kind)] if formula[0] == kind else [formula]


class Program:
    """Steps in order: 0 ("free", n), then ("affine", n, rows, columns, c, D, k) and ("relu", n, source).

    An affine step is (sum over sources of M v + c) / D in integers, with k float32 roundings on its way.
    """

    def __init__(self, size: int, rounding: bool) -> None:
        self.steps: list[tuple[Any, ...]] = [("free", size)]
        self.rounding, self.work = rounding, 0

    def add(self, *step: Any) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def units(self, step: int) -> list[Form]:
        return [form(0, {(step, i): 1}) for i in range(self.steps[step][1])]

    def affine(self, terms: dict[int, Any], const: Sequence[Any], depth: int) -> int:
        every = [const, *(row for matrix in terms.values() for row in matrix)]
        below = lcm(*{value.as_integer_ratio()[1] for row in every for value in row})
        rows = {s: [scaled(row, below) for row in matrix] for s, matrix in terms.items()}
        columns = {s: list(zip(*matrix, strict=True)) for s, matrix in rows.items()}
        offsets = scaled(const, below)
        return self.add("affine", len(offsets), rows, columns, offsets, below, depth * self.rounding)

    def of_forms(self, forms: list[Form], depth: int = 0) -> int:
        sources = sorted({step for f in forms for step, _ in f[1]})
        rows = {s: [[f[1].get((s, j), 0) for j in range(self.steps[s][1])] for f in forms] for s in sources}
        return self.affine(rows, [f[0] for f in forms], depth)

    def operation(self, op: list[Any], values: list[int], tensors: Tensors) -> int:
        """Append one operation of a network; `values` are the steps of its earlier values."""
        kind, sources = op[0], [values[s] for s in (op[1] if op[0] == "sum" else op[1:2])]
        size = self.steps[sources[0]][1]
        if kind == "relu":
            return self.add("relu", size, sources[0])
        if kind == "linear":
            (rows, columns), entries = tensors[op[2]][1:]
            matrix: list[Any] = [entries[i * columns : (i + 1) * columns] for i in range(rows)]
            matrix = list(zip(*matrix, strict=True)) if op[3] else matrix
            bias: list[float] = tensors[op[4]][2] if op[4] is not None else [0.0] * len(matrix)
            depth = max(sum(map(bool, row)) for row in matrix) + any(bias)
            return self.affine({sources[0]: matrix}, bias, depth)
        need(kind == "sum" and len(op) == 4, f"unknown operation {kind!r}")
        factors = [number(f) for f in op[2]]
        const: list[Any] = tensors[op[3][1:]][2] if op[3][0] == "@" else [number(op[3])] * size
        forms = [form(const[i]) for i in range(size)]
        for source, factor in zip(sources, factors, strict=True):
            forms = [plus(f, unit, factor) for f, unit in zip(forms, self.units(source), strict=True)]
        return self.of_forms(forms, sum(abs(f) != 1 for f in factors) + len(sources) - 1 + any(const))


class Meaning:
    """Texts as forms and formulas; a vector is a list of forms, an argmax is ("argmax", forms)."""

    def __init__(self, program: Program, variables: dict[str, Any], networks: dict[str, Any]) -> None:
        self.program, self.variables, self.networks = program, variables, networks
        self.called: dict[tuple[str, str], list[Form]] = {}

    def of(self, node: Any) -> Any:
        match node:
            case ast.Constant(value=int(value)):
                return form(value)
            case ast.Name(id=name) if name in self.variables:
                return self.variables[name]
            case ast.Subscript(value=base, slice=ast.Constant(value=int(i))):
                vector = self.of(base)
                need(isinstance(vector, list), "an index of what is no vector")
                return vector[i]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, [self.of(arg) for arg in args])
            case ast.BinOp(left=left, op=op, right=right):
                return arithmetic(type(op), self.of(left), self.of(right))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return negate(self.of(inner))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return arithmetic(ast.Sub, form(0), self.of(inner))
            case ast.BoolOp(op=op, values=parts):
                return "and" if isinstance(op, ast.And) else "or", [self.of(part) for part in parts]
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return compare(type(op), self.of(left), self.of(right))
        raise RejectedError(f"not in the language: {ast.dump(node)[:60]}")

    def call(self, name: str, args: list[Any]) -> Any:
        forms = [f for arg in args for f in (arg if isinstance(arg, list) else [arg])]
        if name == "argmax":
            return "argmax", forms
        if name == "abs":
            sizes = [plus(plus(form(0), f, -1), r, 2) for f, r in zip(forms, self.relu(forms), strict=True)]
            return sizes if isinstance(args[0], list) else sizes[0]
        if name == "sum":
            return reduce(plus, forms)
        if name in ("max", "min"):
            return self.largest(forms, -1 if name == "min" else 1)
        need(name in self.networks, f"unknown function {name!r}")
        if (name, repr(forms)) not in self.called:
            operations, tensors = self.networks[name]
            values = [self.program.of_forms(forms, int(not all(map(plain, forms))))]
            for op in operations:
                values.append(self.program.operation(op, values, tensors))
            self.called[name, repr(forms)] = self.program.units(values[-1])
        return self.called[name, repr(forms)]

    def relu(self, forms: list[Form]) -> list[Form]:
        return self.program.units(self.program.add("relu", len(forms), self.program.of_forms(forms)))

    def largest(self, forms: list[Form], sign: int) -> Form:
        """A tournament: max(a, b) = b + relu(a - b) and min(a, b) = b - relu(b - a)."""
        while len(forms) > 1:
            pairs, rest = list(zip(forms[::2], forms[1::2], strict=False)), forms[len(forms) // 2 * 2 :]
            ramps = self.relu([plus(plus(form(0), a, sign), b, -sign) for a, b in pairs])
            forms = [plus(b, r, sign) for (_, b), r in zip(pairs, ramps, strict=True)] + rest
        return forms[0]


def plain(f: Form) -> bool:
    """Whether a float32 holds the form exactly: one free variable, or a small whole constant."""
    if not f[1]:
        return f[0].denominator == 1 and abs(f[0]) <= 2**24
    return not f[0] and list(f[1].values()) == [1] and all(step == 0 for step, _ in f[1])


def stretched(a: Any, b: Any) -> Iterable[tuple[Form, Form]]:
    a, b = (v if isinstance(v, list) else [v] for v in (a, b))
    n = max(len(a), len(b))
    return zip(a * n if len(a) == 1 else a, b * n if len(b) == 1 else b, strict=True)


def arithmetic(op: type, a: Any, b: Any) -> Any:
    if isinstance(a, list) or isinstance(b, list):
        return [arithmetic(op, x, y) for x, y in stretched(a, b)]
    if op in (ast.Add, ast.Sub):
        return plus(a, b, 1 if op is ast.Add else -1)
    a, b = (b, a) if op is ast.Mult and not a[1] else (a, b)
    need(op in (ast.Mult, ast.Div) and not b[1] and (b[0] or op is ast.Mult), "not linear")
    return plus(form(0), a, b[0] if op is ast.Mult else 1 / b[0])


def compare(op: type, a: Any, b: Any) -> Formula:
    if op is ast.NotEq:
        return negate(compare(ast.Eq, a, b))
    if a[0] in ("atom", "and", "or") and op is ast.Eq:
        return "or", [("and", [a, b]), ("and", [negate(a), negate(b)])]
    if a[0] == "argmax" or b[0] == "argmax":
        forms, cases = (a if a[0] == "argmax" else b)[1], []
        for k, f in enumerate(forms):  # the first k of the largest, and k in the place of the argmax
            wins = [("atom", plus(f, g, -1), j < k) for j, g in enumerate(forms) if j != k]
            side = compare(op, form(k), b) if a[0] == "argmax" else compare(op, a, form(k))
            cases.append(("and", [*wins, side]))
        return "or", cases
    if isinstance(a, list) or isinstance(b, list):
        each = [compare(op, x, y) for x, y in stretched(a, b)]
        return each[0] if len(each) == 1 else ("and", each)
    if op is ast.Eq:
        return "and", [compare(ast.LtE, a, b), compare(ast.GtE, a, b)]
    numbers = isinstance(a[0], Fraction) and isinstance(b[0], Fraction)
    need(numbers and op in (ast.Lt, ast.LtE, ast.Gt, ast.GtE), "unknown comparison")
    return "atom", plus(b, a, -1) if op in (ast.Lt, ast.LtE) else plus(a, b, -1), op in (ast.Lt, ast.Gt)


class Problem:
    """A claim bound to networks: `parts` together are N, over the `ranges` of the declared components."""

    def __init__(self, claim: Any, substitution: Any, networks: dict[str, Any]) -> None:
        declared, given, show, semantics = fields(claim, "for", "given", "show", "semantics")
        need(semantics in ("real", "float32"), f"unknown semantics {semantics!r}")
        self.rounding = semantics == "float32"
        self.groups: dict[str, list[str] | None] = {}  # components of vectors
        self.ranges: dict[str, tuple[Fraction, Fraction, bool]] = {}
        for name, kind, lo, hi, size in declared:
            fits = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name not in self.groups
            need(fits and kind in KINDS and size != 0, f"bad variable {name!r} ({kind})")
            low, high = number(lo), number(hi)
            need(not self.rounding or kind == "real" or max(-low, high) <= 2**24, f"{name} exceeds float32")
            self.groups[name] = None if size is None else [f"{name}[{i}]" for i in range(size)]
            self.ranges |= dict.fromkeys(self.groups[name] or [name], (low, high, kind != "real"))
        self.inputs = {name: form(0, {(0, i): 1}) for i, name in enumerate(self.ranges)}
        condition: Any = ast.parse(given if given is not None else "0 <= 0", mode="eval").body
        both = isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And)
        for name, k in substitution:
            self.substitute(name, condition.values[k] if both else [condition][k])
        final = self.meaning(networks)
        self.program, self.parts = final.program, list[Formula]()
        for name, _ in substitution:
            (low, high, _), f = self.ranges[name], self.inputs[name]
            self.parts += [("atom", plus(f, form(low), -1), False), ("atom", plus(form(high), f, -1), False)]
        self.parts += flat(final.of(condition)) if given is not None else []
        self.parts += flat(negate(final.of(ast.parse(show, mode="eval").body)))

    def meaning(self, networks: dict[str, Any]) -> Meaning:
        known: dict[str, Any] = {}
        for name, group in self.groups.items():
            known[name] = self.inputs[name] if group is None else [self.inputs[c] for c in group]
        return Meaning(Program(len(self.inputs), self.rounding), known, networks)

    def substitute(self, name: str, part: Any) -> None:
        """Solve an equality among the inputs for one of them."""
        need(isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Eq), "it is no equality")
        scratch, pivot = self.meaning({}), (0, list(self.ranges).index(name))
        zero = plus(scratch.of(part.left), scratch.of(part.comparators[0]), -1)
        need(pivot in zero[1] and all(step == 0 for step, _ in zero[1]), f"it does not determine {name}")
        self.inputs = {c: plus(f, zero, -f[1].get(pivot, 0) / zero[1][pivot]) for c, f in self.inputs.items()}


class Box:
    """Bounds of all steps where the components are in [low, high] and some ReLUs are on or off."""

    def __init__(self, program: Program, low: list[Fraction], high: list[Fraction], phases: Phases) -> None:
        self.program, self.phases = program, phases
        self.below = lcm(*(v.denominator for v in (*low, *high)))
        self.low, self.high = scaled(low, self.below), scaled(high, self.below)
        self.intervals: dict[tuple[int, int], tuple[int, int]] = {}
        self.radii: dict[int, list[int]] = {}
        self.lines: dict[int, list[Sequence[int]]] = {}

    def refuted(self, formula: Formula, slopes: Any = None) -> bool:
        """Whether the formula is shown to hold nowhere in the box; `slopes` replace the lower ones."""
        if formula[0] != "atom":
            return (any if formula[0] == "and" else all)(map(self.refuted, formula[1]))
        (constant, terms), strict = formula[1:]
        below = lcm(constant.denominator, *(v.denominator for v in terms.values()))
        rows = {step: [0] * self.program.steps[step][1] for step, _ in terms}
        for (step, i), value in terms.items():
            rows[step][i] = int(value * below)
        top, _ = self.upper(rows, int(constant * below), below, 0, slopes)
        return top < 0 or (top == 0 and strict)

    def upper(self, rows: Any, const: int, below: int, error: int, slopes: Any = None) -> tuple[int, int]:
        """Bound n / d, in units of 2^-GRID, of (sum of rows · steps + const + error 2^-GRID) / below."""
        while step := max(rows, default=0):
            row, (kind, _, *about) = rows.pop(step), self.program.steps[step]
            if kind == "affine":
                _, columns, offsets, scale, roundings = about
                self.program.work += len(row) * sum(map(len, columns.values()))
                error += sum(map(mul, map(abs, row), self.radius(step))) if roundings else 0
                const = const * scale + sum(map(mul, row, offsets))
                new = {s: [sum(map(mul, row, column)) for column in each] for s, each in columns.items()}
            else:
                scale, (down, up, caps) = 1 << SLOPE, self.relaxation(step, slopes)
                error += sum(v * t for v, t in zip(row, caps, strict=True) if v > 0)
                const *= scale
                new = {about[0]: [v * (s if v > 0 else a) for v, s, a in zip(row, up, down, strict=True)]}
            error, below = error * scale, below * scale
            rows = {s: [v * scale for v in old] for s, old in rows.items()}
            for s, more in new.items():
                rows[s] = [a + b for a, b in zip(rows[s], more, strict=True)] if s in rows else more
        ends = zip(rows.get(0, [0] * len(self.low)), self.low, self.high, strict=True)
        corner = sum(v * (high if v > 0 else low) for v, low, high in ends)
        return ((corner + const * self.below) << GRID) + error * self.below, below * self.below

    def interval(self, step: int, i: int) -> tuple[int, int]:
        """Bounds of one unit of a step, in units of 2^-GRID, rounded outwards."""
        if (step, i) not in self.intervals:
            kind, _, *about = self.program.steps[step]
            if kind == "relu":
                low, high = (0, 0) if self.phases.get((step, i)) == -1 else self.interval(about[0], i)
                low, high = max(low, 0), max(high, 0)
            elif kind == "affine":
                matrices, _, offsets, below, _ = about
                error, ends = self.radius(step)[i] * below, []
                for sign in (-1, 1):
                    rows = {s: [sign * v for v in matrix[i]] for s, matrix in matrices.items()}
                    top, unit = self.upper(rows, sign * offsets[i], below, error)
                    ends.append(-sign * (-top // unit))
                low, high = ends
            else:
                low, high = (self.low[i] << GRID) // self.below, -((-self.high[i] << GRID) // self.below)
            self.intervals[step, i] = low, high
        return self.intervals[step, i]

    def radius(self, step: int) -> list[int]:
        """Rounding error of each row of an affine step, in units of 2^-GRID."""
        if step not in self.radii:
            _, size, matrices, _, offsets, below, k = self.program.steps[step]
            total = [abs(c) << GRID for c in offsets]
            for s, matrix in matrices.items() if k else ():
                ends = [self.interval(s, i) for i in range(self.program.steps[s][1])]
                sizes = [max(-low, high) for low, high in ends]
                total = [t + sum(map(mul, map(abs, v), sizes)) for t, v in zip(total, matrix, strict=True)]
            need(not k or (k < 2**20 and max(total) < below << (GRID + 127)), "float32 may overflow")
            self.radii[step] = [-(-t * k // (below * (2**24 - k))) + 1 for t in total] if k else [0] * size
        return self.radii[step]

    def relaxation(self, step: int, slopes: Any) -> list[Sequence[int]]:
        """Per ReLU: lower slope, upper slope (both times 2^SLOPE), and upper intercept times 2^GRID."""
        if step not in self.lines:
            one, lines = 1 << SLOPE, []
            for i in range(self.program.steps[step][1]):
                sign = self.phases.get((step, i), 0)
                low, high = (sign, sign) if sign else self.interval(self.program.steps[step][2], i)
                if low >= 0 or high <= 0:
                    lines.append((one, one, 0) if low >= 0 else (0, 0, 0))
                else:
                    slope = high * one // (high - low)
                    cap = -(-max(-slope * low, (one - slope) * high) // one)
                    lines.append((one if high > -low else 0, slope, cap))
            self.lines[step] = list(zip(*lines, strict=True))
        down, up, ceilings = self.lines[step]
        if slopes:  # they count for ReLUs that may be both, which alone have a positive intercept
            down = [slopes.get((step, i), a) if ceilings[i] else a for i, a in enumerate(down)]
        return [down, up, ceilings]


def closed(box: Box, parts: list[Formula], item: Any) -> bool:
    """Whether one of the parts, or the sum of them that the item tells, holds nowhere in the box."""
    slopes, multipliers = fields(item, "slopes", "sum") if item != 0 else ([], [])
    table = {(step, i): a for step, i, a in slopes}
    need(all(type(a) is int and 0 <= a <= 1 << SLOPE for a in table.values()), "a slope outside [0, 1]")
    total, strict = form(0), False
    for k, text in multipliers:
        need(type(k) is int and k >= 0 and parts[k][0] == "atom", "a multiplier of what is no atom")
        need(number(text) > 0, "a multiplier that is not positive")
        total, strict = plus(total, parts[k][1], number(text)), strict or parts[k][2]
    return box.refuted(("atom", total, strict), table) if multipliers else any(map(box.refuted, parts))


def check_proof(problem: Problem, proof: Any) -> int:
    """Walk the tree in preorder, and close every leaf. Gives the number of leaves."""
    low, high, whole = map(list, zip(*problem.ranges.values(), strict=True))
    stack: list[Any] = [((low, high), problem.parts, {})]
    leaves, failed, program = 0, [], problem.program
    for at, item in enumerate(proof):
        need(stack, "the tree has too many nodes")
        box, parts, phases = stack.pop()  # the box as its two corners
        if not isinstance(item, list):
            leaves += 1
            failed += [] if closed(Box(program, box[0], box[1], phases), parts, item) else [at]
            continue
        kind, k, last = item
        need(type(k) is int and k >= 0, f"node {at}: an index is no index")
        if kind == "cut":
            low, high = box
            left = number(last)
            right = left + 1 if whole[k] else left
            need(low[k] <= left < high[k] and right <= high[k], f"node {at}: a cut outside of the box")
            need(not whole[k] or left.denominator == 1, f"node {at}: a cut between whole numbers")
            halves = (low, [*high[:k], left, *high[k + 1 :]]), ([*low[:k], right, *low[k + 1 :]], high)
            children = [(half, parts, phases) for half in halves]
        elif kind == "phase":
            need(program.steps[k][0] == "relu", f"node {at}: a phase of what is no ReLU")
            v = program.units(program.steps[k][2])[last]
            known = [(sign, [*parts, ("atom", plus(form(0), v, sign), False)]) for sign in (-1, 1)]
            children = [(box, more, {**phases, (k, last): sign}) for sign, more in known]
        else:
            need(kind == "case" and last is None and parts[k][0] == "or", f"node {at}: an unknown split")
            others = parts[:k] + parts[k + 1 :]
            children = [(box, others + flat(part), phases) for part in flat(parts[k], "or")]
        stack += reversed(children)
    need(not stack, "the tree is not complete")
    need(not failed, f"leaves not closed: {failed}")
    return leaves


def check_witness(problem: Problem, witness: dict[str, str]) -> int:
    """The witness is in scope, and the claim is false of it whatever the roundings."""
    point = [number(value) for value in fields(witness, *problem.ranges)]
    entries = zip(point, problem.ranges.values(), problem.inputs.values(), strict=True)
    for value, (low, high, whole), (constant, terms) in entries:
        need(low <= value <= high and (value.denominator == 1 or not whole), "the witness is out of range")
        bound = constant + sum(c * point[i] for (_, i), c in terms.items())
        need(bound == value, "the witness breaks an equality")
        single = not problem.rounding or struct.unpack("<f", struct.pack("<f", float(value)))[0] == value
        need(single, "the witness is no float32 point")
    claim = negate(("and", problem.parts))
    need(Box(problem.program, point, point, {}).refuted(claim), "the witness may satisfy the claim")
    return 1


def check(path: Path, weights: dict[str, Tensors]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = ("format", "claim", "networks", "substitution", "verdict", "evidence")
    head, claim, networks, substitution, verdict, evidence, seal = fields(content, *names, "seal")
    body = json.dumps({name: content[name] for name in names}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.certificate/1", f"unknown format {head!r}")
    need(verdict in ("proved", "refuted"), f"unknown verdict {verdict!r}")
    loaded = {}
    for name, network in networks.items():
        digest, operations = fields(network, "digest", "operations")
        if digest not in weights and (beside := path.with_name(f"{digest}.safetensors")).exists():
            weights.update([read_weights(beside)])
        need(digest in weights, f"no weights with the digest {digest} of network {name}")
        single = all(dtype == "float32" for dtype, _, _ in weights[digest].values())
        need(single or claim["semantics"] != "float32", f"the weights of {name} are not float32")
        loaded[name] = operations, weights[digest]
    problem = Problem(claim, substitution, loaded)
    count = (check_proof if verdict == "proved" else check_witness)(problem, evidence)
    theorem = f"for {claim['for']} given {claim['given']}: {claim['show']} [{claim['semantics']}]"
    return f"{verdict} ({count} leaves, {problem.program.work} multiplications): {theorem}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check certificates of claims about neural networks.")
    parser.add_argument("certificate", nargs="+", type=Path)
    parser.add_argument("--weights", nargs="*", default=[], metavar="SAFETENSORS")
    options = parser.parse_args(arguments)
    weights, rejected = dict(map(read_weights, options.weights)), 0
    for path in options.certificate:
        try:
            print(f"{path}: accepted: {check(path, weights)}")
        except Exception as error:  # whatever a file makes go wrong, it is not accepted
            print(f"{path}: REJECTED: {type(error).__name__}: {error}")
            rejected = 1
    return rejected


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
