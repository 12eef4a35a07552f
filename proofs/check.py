"""Check certificates of claims about neural networks: one file, standard library only, exact arithmetic.

    python3 -I check.py CERTIFICATE... [--weights W.safetensors ...]

A certificate holds a claim, the networks it speaks of (operations, and digests of their weights), and either a
*proof*, a tree of case splits whose leaves are closed by linear bounds, or a *witness*, an input on which the claim
fails. This file shares no code with the prover. It trusts the list of operations and itself; weights are found in
--weights or beside the certificate as DIGEST.safetensors, and must have the digest.

How a leaf is closed. The claim is turned into a formula N that only a counterexample satisfies; its atoms are
e >= 0 or e > 0 for linear forms e over the steps of a program (affine maps and ReLUs). An upper bound of e on the
leaf's box is found by substituting steps backwards (DeepPoly, Singh et al. 2019; CROWN, Zhang et al. 2018), with
a·v <= relu(v) <= s·v + max(-s·l, (1-s)·u) on [l, u], sound for any a, s in [0, 1]. Under "float32" each row of an
affine step may be off by gamma_k (|M||v| + |c|) + k 2^-126, gamma_k = k u / (1 - k u), u = 2^-24 (Higham 2002, 3.1).
Integers carry everything: bounds in units of 2^-64, rounded outwards; slopes in units of 2^-16.
"""

import argparse
import ast
import hashlib
import json
import re
import struct
import sys
from fractions import Fraction
from math import ceil, lcm
from operator import mul
from pathlib import Path

GRID, SLOPE = 64, 16
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
KINDS = ("real", "integer", "token", "bit")


class Rejected(Exception):
    """The certificate does not prove what it says; the message tells why."""


def need(condition, why):
    if not condition:
        raise Rejected(why)


def fields(table, *names):
    need(isinstance(table, dict) and sorted(table) == sorted(names), f"expected exactly the fields {names}")
    return [table[name] for name in names]


def number(text):
    need(
        isinstance(text, str) and re.fullmatch(r"-?\d{1,2000}(/0*[1-9]\d{0,2000})?", text),
        f"no number: {text!r}",
    )
    return Fraction(text)


def read_weights(path):
    """Digest over the sorted (name, dtype, shape, bytes), and the tensors as (dtype, shape, values)."""
    data = Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    sha, tensors = hashlib.sha256(), {}
    header = json.loads(data[8:start])
    for name, entry in sorted((n, e) for n, e in header.items() if n != "__metadata__"):
        begin, end = entry["data_offsets"]
        raw, shape = data[start + begin : start + end], tuple(entry["shape"])
        code, dtype = TYPES.get(entry["dtype"], ("", entry["dtype"].lower().replace("i", "int")))
        sha.update(f"{name}\0torch.{dtype}\0{shape}\0".encode() + raw)
        values = struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw) if code else ()
        if code == "H":
            values = [struct.unpack("<f", struct.pack("<I", v << 16))[0] for v in values]
        tensors[name] = (dtype, shape, values)
    return sha.hexdigest(), tensors


# A form is (constant, {(step, i): coefficient}). A formula is ("atom", form, strict), ("and", […]) or ("or", […]).


def form(constant, terms=()):
    return Fraction(constant), {key: Fraction(value) for key, value in dict(terms).items() if value}


def plus(a, b, factor=1):
    total = dict(a[1])
    for key, value in b[1].items():
        total[key] = total.get(key, 0) + value * factor
    return form(a[0] + b[0] * factor, total)


def negate(formula):
    if formula[0] == "atom":
        return "atom", plus(form(0), formula[1], -1), not formula[2]
    return "or" if formula[0] == "and" else "and", [negate(part) for part in formula[1]]


class Program:
    """Steps in order: 0 ("free", n), then ("affine", n, …) and ("relu", n, source)."""

    def __init__(self, size, rounding):
        self.steps, self.rounding, self.work = [("free", size)], rounding, 0

    def add(self, *step):
        self.steps.append(step)
        return len(self.steps) - 1

    def relu(self, source):
        return self.add("relu", self.steps[source][1], source)

    def affine(self, terms, const, depth):
        """Rows (sum of M v + c) / D in integers, for `terms` {source: rows of exact numbers}."""
        ratios = {s: [[v.as_integer_ratio() for v in row] for row in rows] for s, rows in terms.items()}
        offsets = [c.as_integer_ratio() for c in const]
        below = lcm(*{d for rows in [*ratios.values(), [offsets]] for row in rows for _, d in row})
        whole = {s: [[n * (below // d) for n, d in row] for row in rows] for s, rows in ratios.items()}
        columns = {s: list(zip(*rows, strict=True)) for s, rows in whole.items()}
        return self.add(
            "affine", len(const), whole, columns, [n * (below // d) for n, d in offsets], below, depth
        )

    def of_forms(self, forms, depth=0):
        sources = sorted({step for f in forms for step, _ in f[1]})
        rows = {s: [[f[1].get((s, j), 0) for j in range(self.steps[s][1])] for f in forms] for s in sources}
        return self.affine(rows, [f[0] for f in forms], depth)

    def operation(self, op, values, tensors):
        """One operation of a network; `values` are the steps of its earlier values."""
        kind, sources = op[0], [values[s] for s in (op[1] if op[0] == "sum" else op[1:2])]
        if kind == "relu":
            return self.relu(sources[0])
        if kind == "linear":
            (rows, columns), flat = tensors[op[2]][1:]
            matrix = [flat[i * columns : (i + 1) * columns] for i in range(rows)]
            matrix = list(zip(*matrix, strict=True)) if op[3] else matrix
            const = tensors[op[4]][2] if op[4] is not None else [0] * len(matrix)
            depth = max(sum(map(bool, row)) for row in matrix) + any(const)
            return self.affine({sources[0]: matrix}, const, depth * self.rounding)
        need(kind == "sum" and len(op) == 4, f"unknown operation {kind!r}")
        factors, size = [number(f) for f in op[2]], self.steps[sources[0]][1]
        const = tensors[op[3][1:]][2] if op[3][0] == "@" else [number(op[3])] * size
        depth = sum(abs(f) != 1 for f in factors) + len(sources) - 1 + any(const)
        forms = [form(const[i]) for i in range(size)]
        for source, factor in zip(sources, factors, strict=True):
            forms = [plus(f, form(0, {(source, i): factor})) for i, f in enumerate(forms)]
        return self.of_forms(forms, depth * self.rounding)


class Meaning:
    """Claim texts as forms and formulas; a vector is a list of forms, an argmax a set ("argmax", list)."""

    def __init__(self, program, variables, networks):
        self.program, self.variables, self.networks, self.called = program, variables, networks, {}

    def parse(self, text):
        need(isinstance(text, str) and len(text) < 500_000, "expected the text of a statement")
        try:
            return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise Rejected(f"not in the language: {error}") from error

    def of(self, node):
        match node:
            case ast.Constant(value=int(value)):
                return form(value)
            case ast.Name(id=name) if name in self.variables:
                return self.variables[name]
            case ast.Subscript(value=base, slice=ast.Constant(value=int(i))):
                return self.of(base)[i]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, [self.of(arg) for arg in args])
            case ast.BinOp(left=left, op=op, right=right):
                return arithmetic(type(op), self.of(left), self.of(right))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return arithmetic(ast.Mult, form(-1), self.of(inner))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return negate(self.of(inner))
            case ast.BoolOp(op=op, values=parts):
                return "and" if isinstance(op, ast.And) else "or", [self.of(part) for part in parts]
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return compare(type(op), self.of(left), self.of(right))
        raise Rejected(f"not in the language: {ast.dump(node)[:60]}")

    def call(self, name, args):
        forms = [f for arg in args for f in (arg if isinstance(arg, list) else [arg])]
        if name == "argmax":
            return "argmax", forms
        if name == "abs":
            sizes = [
                plus(plus(form(0), ramp, 2), f, -1) for f, ramp in zip(forms, self.relu(forms), strict=True)
            ]
            return sizes if isinstance(args[0], list) else sizes[0]
        if name in ("max", "min", "sum"):
            return self.reduce(name, forms)
        need(name in self.networks, f"unknown function {name!r}")
        key = name, repr(forms)
        if key not in self.called:
            operations, tensors = self.networks[name]
            values = [self.program.of_forms(forms, int(self.program.rounding and not all(map(plain, forms))))]
            for op in operations:
                values.append(self.program.operation(op, values, tensors))
            self.called[key] = [
                form(0, {(values[-1], i): 1}) for i in range(self.program.steps[values[-1]][1])
            ]
        return self.called[key]

    def relu(self, forms):
        step = self.program.relu(self.program.of_forms(forms))
        return [form(0, {(step, i): 1}) for i in range(len(forms))]

    def reduce(self, name, forms):
        sign = -1 if name == "min" else 1
        while len(forms) > 1 and name != "sum":
            pairs = list(zip(forms[::2], forms[1::2], strict=False))
            ramps = self.relu([plus(plus(form(0), a, sign), b, -sign) for a, b in pairs])
            forms = [plus(b, r, sign) for (_, b), r in zip(pairs, ramps, strict=True)] + forms[
                2 * len(pairs) :
            ]
        for other in forms[1:]:
            forms = [plus(forms[0], other)]
        return forms[0]


def plain(f):
    """Whether a float32 holds the form exactly: one free variable, or a small whole constant."""
    if not f[1]:
        return f[0].denominator == 1 and abs(f[0]) <= 2**24
    return not f[0] and len(f[1]) == 1 and next(iter(f[1].items()))[1] == 1 and next(iter(f[1]))[0] == 0


def stretched(a, b):
    a, b = (v if isinstance(v, list) else [v] for v in (a, b))
    n = max(len(a), len(b))
    return zip(a * n if len(a) == 1 else a, b * n if len(b) == 1 else b, strict=True)


def arithmetic(op, a, b):
    if isinstance(a, list) or isinstance(b, list):
        return [arithmetic(op, x, y) for x, y in stretched(a, b)]
    if op in (ast.Add, ast.Sub):
        return plus(a, b, 1 if op is ast.Add else -1)
    if op is ast.Mult and not a[1]:
        a, b = b, a
    need(op in (ast.Mult, ast.Div) and not b[1] and (b[0] or op is ast.Mult), "not linear")
    return plus(form(0), a, b[0] if op is ast.Mult else 1 / b[0])


def compare(op, a, b):
    if op is ast.NotEq:
        return negate(compare(ast.Eq, a, b))
    if a[0] in ("atom", "and", "or") and op is ast.Eq:
        return "or", [("and", [a, b]), ("and", [negate(a), negate(b)])]
    if a[0] == "argmax" or b[0] == "argmax":
        forms = a[1] if a[0] == "argmax" else b[1]
        sides = [(form(k), b) if a[0] == "argmax" else (a, form(k)) for k in range(len(forms))]
        wins = [
            [("atom", plus(f, g, -1), j < k) for j, g in enumerate(forms) if j != k]
            for k, f in enumerate(forms)
        ]
        return "or", [
            ("and", [("and", win), compare(op, *side)]) for win, side in zip(wins, sides, strict=True)
        ]
    if isinstance(a, list) or isinstance(b, list):
        return "and", [compare(op, x, y) for x, y in stretched(a, b)]
    if op is ast.Eq:
        return "and", [compare(ast.LtE, a, b), compare(ast.GtE, a, b)]
    low, high = (a, b) if op in (ast.Lt, ast.LtE) else (b, a)
    need(op in (ast.Lt, ast.LtE, ast.Gt, ast.GtE), "unknown comparison")
    return "atom", plus(high, low, -1), op in (ast.Lt, ast.Gt)


class Problem:
    """A claim bound to networks: `parts` together are N, over a box `low`, `high` of the declared components."""

    def __init__(self, claim, substitution, networks):
        declared, given, show, semantics = fields(claim, "for", "given", "show", "semantics")
        need(semantics in ("real", "float32"), f"unknown semantics {semantics!r}")
        self.ranges, groups, self.rounding = {}, {}, semantics == "float32"
        for name, kind, lo, hi, size in declared:
            need(
                kind in KINDS and re.fullmatch(r"[A-Za-z_]\w*", name) and name not in groups,
                f"variable {name!r}?",
            )
            groups[name] = name if size is None else [f"{name}[{i}]" for i in range(size)]
            parts = [name] if size is None else groups[name]
            self.ranges |= dict.fromkeys(parts, (number(lo), number(hi), kind != "real"))
            need(
                not self.rounding or kind == "real" or max(-number(lo), number(hi)) <= 2**24,
                "not float32 inputs",
            )
        self.inputs = {name: form(0, {(0, i): 1}) for i, name in enumerate(self.ranges)}
        self.low, self.high, self.whole = map(list, zip(*self.ranges.values(), strict=True))

        def meaning(networks):
            pick = {
                n: [self.inputs[c] for c in g] if isinstance(g, list) else self.inputs[g]
                for n, g in groups.items()
            }
            return Meaning(Program(len(self.inputs), self.rounding), pick, networks)

        eliminated = []
        tree = meaning({}).parse(given) if given is not None else ast.Constant(value=0)
        for name, k in substitution:
            part = tree.values[k] if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else tree
            need(
                isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Eq),
                "substitutes what is no equality",
            )
            scratch = meaning({})
            difference = plus(scratch.of(part.left), scratch.of(part.comparators[0]), -1)
            pivot = list(self.ranges).index(name)
            factor = difference[1].get((0, pivot))
            need(
                factor and all(key[0] == 0 for key in difference[1]),
                f"the equality does not determine {name}",
            )
            for c, f in self.inputs.items():
                self.inputs[c] = plus(f, difference, -f[1].get((0, pivot), Fraction(0)) / factor)
            eliminated.append(name)
        final = meaning(networks)
        self.program, self.parts = final.program, []
        for name in eliminated:
            low, high, _ = self.ranges[name]
            f = self.inputs[name]
            self.parts += [("atom", plus(f, form(low), -1), False), ("atom", plus(form(high), f, -1), False)]
        self.parts += flat(final.of(tree)) if given is not None else []
        self.parts += flat(negate(final.of(final.parse(show))))


def flat(formula):
    return [atom for part in formula[1] for atom in flat(part)] if formula[0] == "and" else [formula]


class Box:
    """Bounds of all steps where the components are in [low, high] and some ReLUs are known to be on or off."""

    def __init__(self, program, low, high, phases=(), slopes=()):
        self.program, self.phases, self.slopes = program, dict(phases), dict(slopes)
        self.below = lcm(*(v.denominator for v in (*low, *high)))
        self.low, self.high = ([int(v * self.below) for v in side] for side in (low, high))
        self.intervals, self.radii, self.lines = {}, {}, {}

    def refuted(self, formula):
        """Whether the formula holds nowhere in the box."""
        if formula[0] == "atom":
            top = self.top(formula[1])
            return top < 0 or (top == 0 and formula[2])
        return (any if formula[0] == "and" else all)(map(self.refuted, formula[1]))

    def top(self, f):
        """A number with the sign of an upper bound of the form, and zero only where that is zero."""
        below = lcm(f[0].denominator, *(v.denominator for v in f[1].values()))
        rows = {step: [0] * self.program.steps[step][1] for step, _ in f[1]}
        for (step, i), value in f[1].items():
            rows[step][i] = int(value * below)
        return self.upper(rows, int(f[0] * below), below)[0]

    def upper(self, rows, const, below, error=0):
        """Upper bound p / q, q > 0, of (sum of rows · steps + const + error 2^-GRID) / below."""
        rows = {0: [0] * len(self.low), **rows}
        while (step := max(rows)) > 0:
            row, (kind, _, *about) = rows.pop(step), self.program.steps[step]
            if kind == "affine":
                _, columns, offsets, scale, _ = about
                self.program.work += sum(len(row) * len(each) for each in columns.values())
                error += sum(map(mul, map(abs, row), self.radius(step)))
                const = const * scale + sum(map(mul, row, offsets))
                new = {s: [sum(map(mul, row, column)) for column in each] for s, each in columns.items()}
            else:
                scale, lines = 1 << SLOPE, self.relaxation(step)
                error += sum(v * t for v, (_, _, t) in zip(row, lines, strict=True) if v > 0)
                const *= scale
                new = {
                    about[0]: [
                        v * (up if v > 0 else down) for v, (down, up, _) in zip(row, lines, strict=True)
                    ]
                }
            error, below = error * scale, below * scale
            rows = {s: [v * scale for v in old] for s, old in rows.items()}
            for s, more in new.items():
                rows[s] = [a + b for a, b in zip(rows[s], more, strict=True)] if s in rows else more
        corner = sum(v * (h if v > 0 else l) for v, l, h in zip(rows[0], self.low, self.high, strict=True))
        return ((corner + const * self.below) << GRID) + error * self.below, (below * self.below) << GRID

    def interval(self, step):
        """Bounds of a step's values, in units of 2^-GRID, rounded outwards."""
        if step not in self.intervals:
            kind, size, *about = self.program.steps[step]
            if kind == "free":
                pairs = [
                    ((l << GRID) // self.below, -((-h << GRID) // self.below))
                    for l, h in zip(self.low, self.high)
                ]
            elif kind == "relu":
                pairs = [(max(l, 0), max(h, 0)) for l, h in self.interval(about[0])]
            else:
                pairs = [self.row(step, i) for i in range(size)]
            self.intervals[step] = pairs
        return self.intervals[step]

    def row(self, step, i):
        _, _, whole, _, offsets, below, _ = self.program.steps[step]
        error, ends = self.radius(step)[i], []
        for sign in (-1, 1):
            p, q = self.upper(
                {s: [sign * v for v in rows[i]] for s, rows in whole.items()},
                sign * offsets[i],
                below,
                error * below,
            )
            ends.append(sign * -((-p << GRID) // q))
        return tuple(ends)

    def radius(self, step):
        """Rounding error of each row of an affine step, in units of 2^-GRID."""
        if step not in self.radii:
            _, size, whole, _, offsets, below, k = self.program.steps[step]
            sizes = {s: [max(-l, h) for l, h in self.interval(s)] for s in whole} if k else {}
            total = [abs(c) << GRID for c in offsets]
            for s, magnitudes in sizes.items():
                total = [
                    t + sum(map(mul, map(abs, row), magnitudes))
                    for t, row in zip(total, whole[s], strict=True)
                ]
            need(k < 2**20 and (not k or max(total) < below << (GRID + 127)), "float32 may overflow")
            self.radii[step] = [-(-t * k // (below * (2**24 - k))) + 1 if k else 0 for t in total]
        return self.radii[step]

    def relaxation(self, step):
        """Per ReLU its lower slope, its upper slope (both times 2^SLOPE) and its upper intercept (times 2^GRID)."""
        if step not in self.lines:
            one, lines = 1 << SLOPE, []
            for i, (l, u) in enumerate(self.interval(self.program.steps[step][2])):
                phase = self.phases.get((step, i), 1 if l >= 0 else -1 if u <= 0 else 0)
                if phase:
                    lines.append((one, one, 0) if phase > 0 else (0, 0, 0))
                    continue
                up = (u << SLOPE) // (u - l)
                down = self.slopes.get((step, i), one if u > -l else 0)
                lines.append((down, up, -(-max(-up * l, (one - up) * u) >> SLOPE)))
            self.lines[step] = lines
        return self.lines[step]


def check_proof(problem, proof):
    """Walk the tree in preorder; raise Rejected at the first leaf that is not closed. Gives the number of leaves."""
    stack, leaves = [(problem.low, problem.high, problem.parts, {})], 0
    failed = []
    for at, item in enumerate(proof):
        need(stack, "the tree has too many nodes")
        low, high, parts, phases = stack.pop()
        if isinstance(item, list):
            kind, k, *rest = item
            need(type(k) is int and k >= 0, f"node {at}: an index is no index")
            if kind == "cut":
                left, right = (cut := number(*rest)), cut + 1 if problem.whole[k] else cut
                need(
                    low[k] <= left and right <= high[k] and (left < high[k]),
                    f"node {at}: a cut outside of the box",
                )
                need(not problem.whole[k] or cut.denominator == 1, f"node {at}: a cut between whole numbers")
                stack.append((low[:k] + [right] + low[k + 1 :], high, parts, phases))
                stack.append((low, high[:k] + [left] + high[k + 1 :], parts, phases))
            elif kind == "phase":
                source = problem.program.steps[k][2]
                v = form(0, {(source, rest[0]): 1})
                for sign in (1, -1):
                    known = ("atom", plus(form(0), v, sign), False)
                    stack.append((low, high, [*parts, known], {**phases, (k, rest[0]): sign}))
            else:
                need(kind == "case" and not rest and parts[k][0] == "or", f"node {at}: an unknown split")
                others = parts[:k] + parts[k + 1 :]
                stack += [(low, high, others + flat(part), phases) for part in reversed(parts[k][1])]
            continue
        slopes, multipliers = fields(item, "slopes", "sum") if item != 0 else ([], [])
        slopes = {(step, i): a for step, i, a in slopes}
        need(
            all(type(a) is int and 0 <= a <= 1 << SLOPE for a in slopes.values()),
            f"node {at}: a slope outside of [0, 1]",
        )
        box, total, strict = Box(problem.program, low, high, phases, slopes), form(0), False
        for k, text in multipliers:
            need(
                parts[k][0] == "atom" and number(text) > 0,
                f"node {at}: a multiplier must be positive, of an atom",
            )
            total, strict = plus(total, parts[k][1], number(text)), strict or parts[k][2]
        closed = box.refuted(("atom", total, strict)) if multipliers else any(map(box.refuted, parts))
        leaves, failed = leaves + 1, failed if closed else [*failed, at]
    need(not stack, "the tree is not complete")
    need(not failed, f"leaves not closed: {failed}")
    return leaves


def check_witness(problem, witness):
    """The witness is in scope, and no reading of the claim is true of it."""
    point = [number(witness[name]) for name in problem.ranges]
    need(len(witness) == len(point), "the witness names what is not declared")
    for value, (low, high, whole), f in zip(
        point, problem.ranges.values(), problem.inputs.values(), strict=True
    ):
        need(low <= value <= high and (value.denominator == 1 or not whole), "the witness is out of range")
        need(
            f[0] + sum(c * point[i] for (_, i), c in f[1].items()) == value, "the witness breaks an equality"
        )
        single = struct.unpack("<f", struct.pack("<f", value.numerator / value.denominator))[0]
        need(not problem.rounding or single == value, "the witness is no float32 point")
    need(
        Box(problem.program, point, point).refuted(negate(("and", problem.parts))),
        "the witness may satisfy the claim",
    )
    return 1


def check(path, weights):
    """Check one certificate. `weights` are digests and tensors; gives what was proved, in words."""
    certificate = json.loads(Path(path).read_text())
    seal = certificate.pop("seal", None)
    plain_text = json.dumps(certificate, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(plain_text.encode()).hexdigest(), "the seal does not match the content")
    head, claim, networks, substitution, verdict, evidence = fields(
        certificate, "format", "claim", "networks", "substitution", "verdict", "evidence"
    )
    need(head == "assay.certificate/1", f"unknown format {head!r}")
    loaded = {}
    for name, network in networks.items():
        digest, operations = fields(network, "digest", "operations")
        beside = Path(path).with_name(f"{digest}.safetensors")
        if digest not in weights and beside.exists():
            weights.update([read_weights(beside)])
        need(digest in weights, f"no weights with the digest {digest} of network {name}")
        single = all(dtype == "float32" for dtype, _, _ in weights[digest].values())
        need(single or claim["semantics"] != "float32", f"the weights of {name} are not float32")
        loaded[name] = operations, weights[digest]
    problem = Problem(claim, substitution, loaded)
    need(verdict in ("proved", "refuted"), f"unknown verdict {verdict!r}")
    count = (check_proof if verdict == "proved" else check_witness)(problem, evidence)
    theorem = f"for {claim['for']} given {claim['given']}: {claim['show']} [{claim['semantics']}]"
    return f"{verdict} ({count} leaves, {problem.program.work} multiplications): {theorem}"


def main(arguments):
    parser = argparse.ArgumentParser(description="Check certificates of claims about neural networks.")
    parser.add_argument("certificate", nargs="+")
    parser.add_argument("--weights", nargs="*", default=[], help="safetensors files")
    options = parser.parse_args(arguments)
    bad = 0
    weights = dict(map(read_weights, options.weights))
    for path in options.certificate:
        try:
            print(f"{path}: accepted: {check(path, weights)}")
        except Exception as error:  # whatever a file makes go wrong, it is not accepted
            print(f"{path}: REJECTED: {type(error).__name__}: {error}")
            bad += 1
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
