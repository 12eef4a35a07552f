"""Check certificates of claims about neural networks: one file, standard library only, exact arithmetic.

    python3 -I check.py CERTIFICATE... [--weights W.safetensors ...]

A certificate holds a claim, the networks it speaks of (operations, and digests of their weights), and a
*proof* (a tree of case splits whose leaves bounds close) or a *witness* (an input on which the claim fails).
This file shares no code with the prover. It trusts `for`, `given` and `show`, the operations and itself; how
the author worded the claim (`stated`) is printed, not proved. Weights are DIGEST.safetensors, beside it or in
--weights.

The claim becomes a formula that only a counterexample satisfies; its atoms are e >= 0 or e > 0 for linear
forms e of units: the constant 1, inputs, affine forms, ReLUs, and other functions, which lie between two
lines. e is bounded on a box by substituting units backwards (Singh et al. 2019, Zhang et al. 2018), where
a·v <= relu(v) <= s·v + max(-s·l, (1-s)·h) on [l, h] is sound for any a, s in [0, 1]. An affine
unit may in "float32" be off by g (|M||v| + |c|) + k 2^-126 with g = k u / (1 - k u), u = 2^-24 (Higham 2002,
3.1); products, reciprocals and roots are rounded once, exp and log are within 2 units in the last place, erf
within 2^-20, sigmoids within 2^-22.

Everything is a whole number; many forms are substituted at once, side by side in lanes of one long integer.
Coefficients are rounded down to multiples of 2^-KEEP; what that may hide, |v| for each, is added to the
bound. A box takes over the bounds of the box it was cut from, and bounds anew only what may have either
sign; at first, what the bounds of what it reads do not tell well. What stays open is tried again without
rounding.
"""

# ruff: noqa: D102, D103
from __future__ import annotations

import hashlib
import json
import re
import struct
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cached_property, reduce
from itertools import compress
from math import inf, isqrt, lcm, prod
from operator import itemgetter, mul, or_
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SLOPE, KEEP, GRID, FINE = 16, 48, 64, 128  # bits behind the point: slopes, coefficients, bounds, weights
FLOAT = {"exp": 22, "log": 22}  # 2^-24 else: how far float32 is off, relatively
ABSOLUTE = {"erf": 20, "sigmoid": 22}  # and by how much altogether
FUNCTIONS = ["relu", "exp", "log", "erf", "sigmoid", "reciprocal", "sqrt", "product"]
EVERY, TOGETHER = 3, 128  # so seldom is a box bounded before it is cut, so many units at once
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
WHOLE = {"real": False, "integer": True, "token": True, "bit": True}
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
Form = dict[int, Any]  # exact coefficients of units; unit 0 is the constant 1
Formula = tuple[Any, ...]  # ("atom", form, strict), ("and", [formula…]) or ("or", [formula…])


def need(condition: object, why: str) -> None:
    if not condition:
        raise ValueError(why)


def fields(table: Any, names: str) -> list[Any]:
    need(isinstance(table, dict) and sorted(table) == sorted(names.split()), f"not the fields {names}")
    return [table[name] for name in names.split()]


def number(text: Any) -> Fraction:
    good = isinstance(text, str) and re.fullmatch(r"-?\d{1,3000}(/0*[1-9]\d{0,3000})?", text, re.ASCII)
    need(good, f"not a number: {str(text)[:40]!r}")
    return Fraction(text)


def single(value: Any) -> bool:
    """Whether a float32 holds a number."""
    return bool(struct.unpack("<f", struct.pack("<f", float(value)))[0] == value)


def read_weights(path: str | Path) -> tuple[str, Any]:
    """Digest over the sorted (name, dtype, shape, bytes), and the tensors of a safetensors file."""
    data, sha, tensors = Path(path).read_bytes(), hashlib.sha256(), {}
    start = 8 + int.from_bytes(data[:8], "little")
    for name, entry in sorted(json.loads(data[8:start]).items()):
        if name != "__metadata__":
            kind, shape, (first, last) = fields(entry, "dtype shape data_offsets")
            code, dtype = TYPES.get(kind, ("", kind.lower().replace("i", "int")))
            raw = data[start + first : start + last]
            sha.update(f"{name}\0torch.{dtype}\0{tuple(shape)}\0".encode() + raw)
            if code == "H":  # the first half of a float32
                code, raw = "f", b"".join(b"\0\0" + raw[k : k + 2] for k in range(0, len(raw), 2))
            plain = code in ("f", "d") and sys.byteorder == "little"
            unpacked = memoryview(raw).cast(code) if plain else struct.iter_unpack(f"<{code or 'x'}", raw)
            tensors[name] = dtype, shape, unpacked if plain else [v for (v,) in unpacked] if code else []
    return sha.hexdigest(), tensors


def plus(a: Form, b: Form, factor: Any = 1) -> Form:
    total = {unit: a.get(unit, 0) + b.get(unit, 0) * factor for unit in {**a, **b}}
    return {unit: value for unit, value in total.items() if value}


def atom(large: Form, small: Form, strict: bool = False, true: bool = True) -> Formula:
    return "atom", plus(large, small, -1) if true else plus(small, large, -1), strict == true


def flat(formula: Formula, *kinds: str) -> list[Formula]:
    return [p for part in formula[1] for p in flat(part, *kinds)] if formula[0] in kinds else [formula]


def decided(formula: Formula, tops: Any) -> bool:
    """Whether upper bounds of its atoms, in order, show that a formula is false."""
    if formula[0] == "atom":
        return (top := next(tops)) < 0 or bool(top == 0 and formula[2])
    return (any if formula[0] == "and" else all)([decided(part, tops) for part in formula[1]])


def enclosed(kind: str, t: int, one: int) -> tuple[int, int]:
    """Whole numbers around one · f(t / one); ten of the digits are left for errors. The series of erf is
    2 / sqrt(pi) e^(-x²) Σ 2^n x^(2n+1) / (2n+1)!! (Abramowitz and Stegun 1964, 7.1.6)."""
    if kind == "reciprocal":
        return one * one // t, -(-one * one // t)
    if kind == "sqrt":  # isqrt refuses what may be negative
        return isqrt(t * one), isqrt(t * one) + 1
    digits = min(len(str(one)) + 20, 80)
    with localcontext(Context(digits)):
        x = Decimal(t) / Decimal(one)
        if kind == "exp":
            need(x < 4096, "exp of a large number")
            near = max(x, Decimal(-4096)).exp()
        elif kind == "log":
            need(x > 0, "the logarithm of what may be 0")
            near = x.ln()
        elif kind == "sigmoid":
            near = 1 / (1 + (-min(max(x, Decimal(-4096)), Decimal(4096))).exp())
        else:
            near = term = x = min(max(x, Decimal(-13)), Decimal(13))
            n = 0
            while abs(term) > abs(near) / 10**digits:
                n += 1
                term *= 2 * x * x / (2 * n + 1)
                near += term
            near *= 2 * (-x * x).exp() / PI.sqrt()
        value, error = near * one, (abs(near) + 1) * one / 10 ** (digits - 10)
        low = int(value - error) - 1
        return max(low, 0) if kind in ("exp", "sigmoid") else low, int(value + error) + 1


def along(kind: str, a: int, b: int, ends: Any, one: int, slope: int) -> tuple[list[int], int, int]:
    """The slope of a function on [a, b] from its values there, and bounds of what is left of it beside a line
    so steep: no more than its derivative, between `d` and `e`, lets it be off the values at the ends."""
    (fa, fA), (fb, fB) = ends
    match kind:
        case "exp":
            d, e, bent = fa, fB, 1
        case "log":
            d, e, bent = one * one // b, -(-one * one // a), -1
        case "sqrt" if fa:
            d, e, bent = one * one // (2 * fB), -(-one * one // (2 * fa)), -1
        case "reciprocal":
            squares, bent = [v * v for v in (fa, fA, fb, fB)], 1 if a > 0 else -1
            d, e = -max(squares) // one, -(min(squares) // one)
        case "erf" | "sigmoid":  # the steeper, the nearer 0
            near, far, bent = min(abs(a), abs(b)) * (a * b > 0), max(-a, b), (b <= 0) - (a >= 0)
            if kind == "erf":
                e = enclosed("exp", -(near * near // one), one)[1] * 11283791671 // 10**10 + 1  # 2 / sqrt(pi)
                d = enclosed("exp", -far * far // one, one)[0] * 11283791670 // 10**10
            else:
                e = prod(enclosed(kind, t, one)[1] for t in (near, -near)) // one + 1
                d = prod(enclosed(kind, t, one)[0] for t in (far, -far)) // one
        case _:
            return [], 0, 0
    k = (fb - fa) * slope // max(b - a, 1)
    line = k * one // slope
    p, q, w = max(line - d, 0), max(e - line, 0), b - a
    if not p + q:
        return [], 0, 0
    (la, lA), (lb, lB) = ([f * one - line * t for f in at] for at, t in zip(ends, (a, b), strict=True))
    least = min(la, lb) if bent < 0 else (q * la + p * lb - p * q * w) // (p + q)
    most = max(lA, lB) if bent > 0 else -((-p * lA - q * lB - p * q * w) // (p + q))
    return [k], least // one, -(-most // one)


def corners(v: Any, w: Any, square: bool) -> tuple[int, int]:
    """Bounds of products of numbers between the ends v and w; of squares, where they are one number."""
    ends = [x * y for x in v for y in w]
    return max(min(ends), 0) if square else min(ends), max(ends)


class Problem:
    """A claim bound to networks: `parts` together are the formula, `ranges` those of the constant and inputs.

    `definitions` add inputs that are linear in those before, and say so in `given`: that excludes no input.
    `substitution` solves equations of `given` for inputs. `twins` are ReLUs v = c u + d of earlier ReLUs u,
    where d lies between 0 and the bounds of what v reads less c times what u reads: relu rises, by no more
    than its argument, and relu(c u) = c relu(u) for c > 0.
    """

    def __init__(self, claim: Any, lemmas: Any, networks: Any, proved: bool = True) -> None:
        declared, given, show, semantics, _ = fields(claim, "for given show semantics stated")
        definitions, substitution, twins = fields(lemmas, "definitions substitution twins")
        self.single, self.networks, self.work = bool(["real", "float32"].index(semantics)), networks, 0
        self.names, self.forms, self.ranges = dict[str, range](), list[Form](), list[Any]()
        self.layers, self.made, self.called = list[Any](), list[Any](), dict[Any, Any]()
        self.readers, self.curved, self.whole = Counter[int](), set[int](), set[int]()
        self.gross, self.rows, self.chosen = dict[int, Any](), dict[int, Any](), dict[Any, Any]()
        self.declare("", 1, Fraction(1), Fraction(1), True)
        for name, kind, low, high, size in declared:
            self.declare(name, size, number(low), number(high), WHOLE[kind])
            large = WHOLE[kind] and max(-number(low), number(high)) > 2**24
            need(not (large and self.single), "a whole number that may be no float32")
        equations, singles = [*given], len(self.ranges)
        for name, term in definitions:
            form = self.form(term)
            ends = [sorted(c * end for end in self.ranges[u][:2]) for u, c in form.items()]
            whole = all(c.denominator == 1 and self.ranges[u][2] for u, c in form.items())
            self.declare(name, 1, sum(low for low, _ in ends), sum(high for _, high in ends), whole)
            equations.append(["==", name, term])
        self.one = lcm(*(end.denominator for *ends, _ in self.ranges for end in ends)) << GRID
        self.add([("input", []) for _ in self.ranges])
        self.whole.update(u for u, (_, _, whole) in enumerate(self.ranges) if whole)
        for u, k in substitution:
            equal, left, right = equations[k]
            zero = plus(self.form(left), self.form(right), -1)
            need(equal == "==" and len(self.layers) == 1, f"{k} does not determine input {u}")
            self.forms = [plus(f, zero, -f.get(u, 0) / zero[u]) for f in self.forms]
        self.singles, bounds = self.forms[:singles], list[Formula]()  # what float32 numbers hold
        for u, _ in substitution:
            (low, high, _), form = self.ranges[u], self.forms[u]
            bounds += [atom(form, {0: low}), atom({0: high}, form)]
        counterexample = self.statement(["and", *equations, ["not", show]], proved)
        self.parts = flat(("and", [*bounds, counterexample]), "and")
        self.twins = {v: (u, int(number(c) * 2**FINE)) for v, u, c in twins}
        for v, (u, scale) in self.twins.items():
            (layer,) = (layer for layer in self.layers if v in layer.units)
            earlier = self.made[v][0] == "relu" == self.made[u][0] and u < layer.units[0]
            need(earlier and scale > 0, f"{v} is no multiple of {u}")
            self.readers[self.made[v][1][0]] -= 1
            layer.bits, layer.norm = FINE, (layer.norm << (FINE - layer.bits)) + scale
        self.precise = sum(layer.bits for layer in self.layers)

    def declare(self, name: str, size: int, low: Any, high: Any, whole: bool) -> None:
        fits = name not in self.names and size > 0 and re.fullmatch(r"[A-Za-z_]\w*|", name, re.ASCII)
        need(fits and not self.layers, f"{name!r} is no name, declared already, or too late")
        self.names[name] = range(len(self.ranges), len(self.ranges) + size)
        self.forms += [{u: Fraction(1)} for u in self.names[name]]
        self.ranges += [(low, high, whole)] * size

    def statement(self, node: Any, true: bool = True) -> Formula:
        """The formula that a statement means, or its opposite."""
        match node:
            case ["not", part]:
                return self.statement(part, not true)
            case ["and" | "or" as word, *parts]:
                return "and" if (word == "and") == true else "or", [self.statement(p, true) for p in parts]
            case ["==", left, right]:
                return self.statement(["and", ["<=", left, right], ["<=", right, left]], true)
            case ["argmax", int(k), *terms] if k >= 0:  # the first of the largest wins
                forms = self.numbers(*terms)
                won = [atom(forms[k], f, j < k, true) for j, f in enumerate(forms) if j != k]
                return "and" if true else "or", won
            case ["<=" | "<" as sign, left, right]:
                return atom(small=self.form(left), large=self.form(right), strict=sign == "<", true=true)
        raise ValueError(f"no statement of the language: {str(node)[:60]}")

    def form(self, node: Any) -> Form:
        (form,) = self.numbers(node)
        return form

    def numbers(self, *nodes: Any) -> list[Form]:
        """The numbers that terms mean, one after the other."""
        match nodes:
            case [["+", *terms]]:
                return [reduce(plus, map(self.form, terms))]
            case [["*", factor, term]]:
                return [plus({}, self.form(term), number(factor))]
            case [["[]", vector, int(i)]] if i >= 0:
                return [self.numbers(vector)[i]]
            case [["max" | "abs" as word, one, *other]]:
                need(len(other) == (word == "max"), "max is of two, abs of one")
                a = self.form(one)
                b = self.form(*other) if other else plus({}, a, -1)
                gap = plus(a, b, -1)  # the larger is b + relu(a - b), which is taken in whole multiples
                key, below = repr(sorted(gap.items())), lcm(*(w.denominator for w in gap.values()))
                if key not in self.called:
                    self.called[key] = self.add([("relu", self.affine([plus({}, gap, below)], 0))])
                return [plus(b, {self.called[key][0]: Fraction(1, below)})]
            case [[name, *args]] if name in self.networks:
                return self.call(name, self.numbers(*args))
            case [str(node)] if node:
                return [self.forms[u] for u in self.names.get(node, ())] or [plus({}, {0: number(node)})]
        need(len(nodes) != 1, f"no number of the language: {str(nodes)[:60]}")
        return [form for node in nodes for form in self.numbers(node)]

    def call(self, name: str, forms: list[Form]) -> list[Form]:
        """A network on some inputs; equal inputs, and equal calls, are the same units."""
        key = repr([sorted(f.items()) for f in forms])
        if key not in self.called:  # a float32 holds an input, and a small whole constant
            small = [{0: w} for f in forms for w in f.values() if abs(w) <= 2**24 and w % 1 == 0]
            self.called[key] = self.affine(forms, not all(f in [{}, *self.singles, *small] for f in forms))
        if (name, key) not in self.called:
            values, (size, operations, tensors) = [self.called[key]], self.networks[name]
            need(len(forms) == size, f"{name} reads {size} numbers")
            for op in operations:
                values.append(self.operation(op, values, tensors))
            self.called[name, key] = [{u: Fraction(1)} for u in values[-1]]
        return list(self.called[name, key])

    def operation(self, op: list[Any], values: list[Any], tensors: Any) -> range:
        """Append one operation of a network; `values` are the units of its earlier values."""
        match op:
            case [kind, *read] if kind in FUNCTIONS:
                need(len(read) == 1 + (kind == "product"), f"{kind} of {len(read)} values")
                return self.add([(kind, units) for units in zip(*(values[s] for s in read), strict=True)])
            case ["step", s, t]:  # where one is above the other: float32 compares without rounding
                gaps = [plus({u: Fraction(1)}, {v: -1}) for u, v in zip(values[s], values[t], strict=True)]
                return self.add([("step", [u]) for u in self.affine(gaps, 0)])
            case ["table", s, name]:  # the row of a matrix for each token
                (_, *row), w = tensors[name][1:]
                n = prod(row)
                need(self.whole.issuperset(values[s]), "a table of what is not whole")
                return self.add([("table", [u], w[c::n]) for u in values[s] for c in range(n)])
        word, terms, const = op
        need(word == "affine", f"unknown operation {word!r}")
        rows, height = defaultdict[int, list[Any]](list), 0
        for s, places, weight, loops in terms:
            units = values[s] if places is None else [values[s][k] if k >= 0 else None for k in places]
            w = tensors[weight[1:]][2] if weight[0] == "@" else [number(weight)]
            at, taps = [(0, 0, 0)], [(0, 0)]
            need(loops and all(n > 0 <= min(steps) for n, *steps in loops), "a loop back, or of no steps")
            for n, a, b, c in loops:  # how often, and the steps of row, weight and unit
                at = [(row + i * a, k + i * b, u + i * c) for row, k, u in at for i in range(n if a else 1)]
                taps = taps if a else [(k + i * b, u + i * c) for k, u in taps for i in range(n)]
            dense = at[-1][1] + len(taps) <= len(w) and all(j == i for i, (j, _) in enumerate(taps))
            for row, k, u in at:
                taken = w[k : k + len(taps)] if dense else [w[k + j] for j, _ in taps]
                got = zip((units[u + v] for _, v in compress(taps, taken)), filter(None, taken), strict=True)
                rows[row] += [(unit, x) for unit, x in got if unit is not None]  # 0 v is not rounded
            height = max(height, at[-1][0] + 1)
        shift, forms = tensors[const[1:]][2] if const[0] == "@" else [number(const)], []
        twice = dict[int, Form]()
        for i in range(height):
            row = [(0, shift[i * len(shift) // height]), *rows[i]]
            forms.append(dict(row))
            if len(forms[-1]) < len(row):  # a unit that is read more than once
                forms[-1] = reduce(plus, ({u: Fraction(x)} for u, x in row))
                twice[i] = reduce(plus, ({u: abs(Fraction(x))} for u, x in row))
        plain = all(abs(x) == 1 for row in rows.values() for _, x in row)
        depth = max(max(map(len, rows.values())) - plain, 0)
        depth += any(form.get(0) and (rows[i] or not single(form[0])) for i, form in enumerate(forms))
        units = self.affine(forms, depth)
        for i, form in twice.items():  # what cancels is rounded before: magnitudes of all that is read
            self.gross[units[i]] = {j: -(-w * 2**FINE // 1) for j, w in form.items()}
        self.whole -= {units[i] for i in twice if any(x % 1 for _, x in rows[i])}
        return units

    def add(self, made: list[Any], bits: int = SLOPE, errs: int = 0) -> range:
        """Append units: rows of weights in 2^-FINE, or functions and what they read."""
        units, read = range(len(self.made), len(self.made) + len(made)), defaultdict[int, list[Any]](list)
        affine = isinstance(made[0], dict)
        for u, each in zip(units, made, strict=True):
            for j, w in each.items() if affine else ((j, 1 << FINE) for j in each[1]):
                read[j].append((u, w >> (FINE - bits)))
            if not affine and (each[0] == "step" or (each[0] == "relu" and each[1][0] in self.whole)):
                self.whole.add(u)
            self.curved.update(() if affine or each[0] == "relu" else each[1])  # they need its bounds
        self.made += made
        self.readers.update(read.keys())
        picked: list[Any] = [(j, *zip(*column, strict=True)) for j, column in read.items()]
        columns = [(j, itemgetter(*us, -1, -1), ws) for j, us, ws in picked] if affine else None
        norm = max((sum(map(abs, ws)) for *_, ws in picked), default=0)  # coefficients grow by norm / 2^bits
        self.layers.append(SimpleNamespace(units=units, columns=columns, bits=bits, norm=norm, errs=errs))
        return units

    def row(self, unit: int) -> Any:
        """How to pick what an affine unit reads from a list, weights, and magnitudes that are rounded."""
        if unit not in self.rows:
            sizes = self.gross.get(unit, self.made[unit])
            weights = [self.made[unit].get(j, 0) for j in sizes]
            self.rows[unit] = itemgetter(*sizes, -1, -1), weights, [*map(abs, sizes.values())]
        return self.rows[unit]

    @cached_property
    def origins(self) -> list[int]:
        """Which inputs each unit depends on, as bits."""
        found = list[int]()
        for u, made in enumerate(self.made):
            read = made if isinstance(made, dict) else made[1]
            found.append(reduce(or_, (found[j] for j in read), (u > 0) << u if u < len(self.ranges) else 0))
        return found

    def between(self, done: int, until: int) -> Any:
        """Layers, and their units that depend on inputs of `until` alone but not on those of `done` alone."""
        if (done, until) not in self.chosen:
            found = [(layer, layer.units) for layer in self.layers[1:]]
            if (done, until) != (0, -1):
                news = [not o & ~until and bool(not done or o & ~done) for o in self.origins]
                found = [(layer, [u for u in units if news[u]]) for layer, units in found]
            self.chosen[done, until] = [(layer, units) for layer, units in found if units]
        return self.chosen[done, until]

    def affine(self, forms: list[Form], depth: int) -> range:
        """Append affine units; `depth` float32 roundings are on the way of any term. Weights are rounded
        to multiples of 2^-FINE, which the rounding errors cover."""
        one = 1 << FINE
        grains = {w: int(w * one) for w in {w for form in forms for w in form.values()}}
        rows = [{j: grains[w] for j, w in form.items() if w} for form in forms]
        spread = reduce(or_, grains.values(), one)
        off = any(w * one != grain for w, grain in grains.items())
        units = self.add(rows, FINE + 1 - (spread & -spread).bit_length(), depth * self.single or -off)
        for u, form in zip(units, forms, strict=True):  # sums of whole numbers are whole in float32, too
            self.whole.update([u] if all(j in self.whole and w % 1 == 0 for j, w in form.items()) else [])
        return units


class Box:
    """Bounds of units, in multiples of 1 / problem.one, in a part of the `outer` box; `facts` are the atoms
    of the cuts that led there, `lines` bound a unit from both sides: two intercepts, then each source with
    the slopes below and above; `steep` holds slopes above 1, `fixed` are inputs that were set, as bits."""

    def __init__(self, problem: Problem, outer: Any = None, exact: bool = False) -> None:
        self.problem, self.exact, self.settled, unknown = problem, exact, False, [inf] * len(problem.made)
        self.low: list[Any] = [*outer.low] if outer else [-v for v in unknown]
        self.high: list[Any] = [*outer.high] if outer else unknown
        self.sizes: list[Any] = [*outer.sizes] if outer else [*unknown, 0]  # the largest |v|
        self.facts: dict[int, Formula] = {**outer.facts} if outer else {}
        self.depth, self.fixed = outer.depth + 1 if outer else 0, 0
        self.lines, self.radii, self.steep = dict[int, Any](), dict[int, int](), Counter[int]()
        for u, (low, high, _) in enumerate(() if outer else problem.ranges):
            self.set(u, low * problem.one // 1, -(-high * problem.one // 1))

    def set(self, unit: int, low: Any, high: Any) -> None:
        self.low[unit], self.high[unit] = max(self.low[unit], low), min(self.high[unit], high)
        self.sizes[unit] = max(-self.low[unit], self.high[unit], 0)

    def at(self, values: Any) -> Box:
        """The part of the box where some inputs have given values; what depends on them alone is bounded."""
        inner, fixed = Box(self.problem, self), self.fixed
        inner.lines, inner.radii, inner.fixed = {**self.lines}, {**self.radii}, fixed
        for u, value in values:
            inner.set(u, value * self.problem.one // 1, -(-value * self.problem.one // 1))
            fixed |= (u > 0) << u
        inner.settle(fixed)
        return inner

    def nowhere(self, spans: Any, formula: Formula) -> bool:
        """Whether the formula is shown to hold nowhere in the box where inputs are any of some numbers."""
        if not spans:
            return self.refuted(formula, {})
        (unit, values), *rest = spans
        return all(self.at([(unit, value)]).nowhere(rest, formula) for value in values)

    def halves(self, k: int, value: Fraction) -> Any:
        """The box where unit k (for k < 0: unit -k, negated) is at most `value`, and where it is more."""
        unit, sign, one, ranges = abs(k), 1 if k > 0 else -1, self.problem.one, self.problem.ranges
        whole = unit < len(ranges) and ranges[unit][2]
        need(unit and (not whole or value.denominator == 1), "a cut between whole numbers")
        for above in (-1, 1):
            edge, half = (value + (above > 0 and whole)) * above, Box(self.problem, self)
            half.facts[k * above] = "atom", {unit: sign * above, 0: -edge}, above > 0 and not whole
            half.set(unit, *((edge * one // 1, inf) if sign == above else (-inf, -(edge * one // 1))))
            yield half

    def settle(self, until: int = -1, rough: bool = False) -> None:
        """Bound the units that others read, from the first layer to the last, roughly by the bounds of what
        they read; or those that depend on some inputs only, which are known."""
        problem, one = self.problem, self.problem.one
        narrow = (self.high[u] - self.low[u] < 2 for u in problem.layers[0].units)
        self.point, self.near = not self.exact and (rough or until >= 0), not self.exact and all(narrow)
        for layer, units in () if self.settled else problem.between(self.fixed, until):
            if layer.columns is None:
                for u in units:
                    self.set(u, *self.function(u, 1 << layer.bits, *problem.made[u]))
                continue
            for u in units if layer.errs else ():
                (pick, _, row), k = problem.row(u), max(layer.errs, 0)
                size = sum(map(mul, row, pick(self.sizes))) >> FINE
                need(not k or (k < 2**20 and size < one << 127), "float32 may overflow")
                lost = 2 * sum(pick(self.sizes)[:-2]) >> FINE
                self.radii[u] = (size + 1) * k // (2**24 - k) + (k * one >> 126) + lost + 3
                if u in problem.whole and size < one << 24:  # float32 holds every sum on the way
                    self.radii[u] = 0
            doubtful = [u for u in units if problem.readers[u]]
            if not self.exact:  # else anew, since errors follow all sizes
                doubtful = [u for u in doubtful if u in problem.curved or self.low[u] < 0 < self.high[u]]
            first = [u for u in doubtful if self.low[u] == -inf]
            for u in units if self.point or self.near or self.steep else first:  # often they say enough
                (pick, row, sizes), off = problem.row(u), self.radii.get(u, 0)
                ends = pick(self.low), pick(self.high)
                twice = sum(sum(map(mul, row, end)) for end in ends)
                gap = sum(map(mul, sizes, ends[1])) - sum(map(mul, sizes, ends[0]))
                self.set(u, (twice - gap >> FINE + 1) - off, off - (-twice - gap >> FINE + 1))
                problem.work += len(row)
            if self.point:
                continue
            if not self.exact:  # enough: to an eighth, above 0; at a point: closely beside the layer's size
                least = max(self.sizes[u] for u in units) >> 6 if self.near else 0
                wide = [(u, gap) for u in doubtful if (gap := self.high[u] - self.low[u]) > least]
                doubtful = [u for u, gap in wide if u in problem.curved or 0 < self.high[u] < 8 * gap]
            for part in (doubtful[k : k + TOGETHER] for k in range(0, len(doubtful), TOGETHER)):
                tops, keep = self.upper([{u: sign} for u in part for sign in (1, -1)], {}, self.exact)
                for u, top, bottom in zip(part, tops[::2], tops[1::2], strict=True):
                    low, high = -bottom >> keep, -(-top >> keep)
                    if u in problem.whole:
                        low, high = -(-low // one) * one, high // one * one
                    self.set(u, low, high)
        self.settled = until < 0
        self.fixed = max(self.fixed, until)

    def top(self, form: Form, sign: int) -> int:
        """An upper bound of a form, or of its opposite, from the bounds of its units alone."""
        self.problem.work += len(form)
        return sum(max(sign * w * self.low[u], sign * w * self.high[u]) for u, w in form.items())

    def function(self, unit: int, slope: int, kind: str, sources: Any, table: Any = ()) -> tuple[int, int]:
        """Bounds of a function's unit from those of what it reads; ReLUs also get their lines."""
        if unit in self.problem.twins:
            self.lines[unit] = self.twin(sources[0], *self.problem.twins[unit])
        one, low, high = self.problem.one, self.low[sources[0]], self.high[sources[0]]
        steep, least, most = list[int](), 0, 0  # lines of these slopes, and where what is left lies
        match kind:
            case "relu":
                up = high * slope // (high - low) if low < 0 < high else slope
                cap = -(-max(-up * low, (slope - up) * high) // slope) if low < 0 < high else 0
                self.lines.setdefault(unit, (0, cap, (sources[0], slope * (high > -low), up)))
                return max(low, 0), max(high, 0)
            case "step":  # 1 above 0, else 0; of a bit, the bit
                _, form, strict = self.facts.get(sources[0], ("", {0: 1}, False))
                on, off = low > 0 or (strict and form.get(0, 0) <= 0), high <= 0
                if not on and not off:  # lines through (low, 0) and (0, 1), or (0, 0) and (high, 1)
                    up, down = slope * one // max(-low, one), slope * one // max(high, one)
                    self.lines[unit] = (0, one, (sources[0], down * (high > -low), up * (high <= -low)))
                    if sources[0] in self.problem.whole and low >= 0 and high <= one:
                        self.lines[unit] = (0, 0, (sources[0], slope, slope))
                return on * one, (not off) * one
            case "table":
                need(-one < low and high < len(table) * one, "no row of the table")
                entries = list(map(Fraction, table[-(-low // one) : high // one + 1]))
                return min(entries) * one // 1, -(-max(entries) * one // 1)
            case "product":
                for gate, other in (sources, sources[::-1]):
                    if (g := self.low[gate]) == self.high[gate] and abs(g) in (0, one):
                        self.lines[unit] = (0, 0, (other, slope * g // one, slope * g // one))
                        low, high = sorted((self.low[other] * g // one, self.high[other] * g // one))
                        return low, high
                v, w = ((self.low[u], self.high[u]) for u in sources)
                steep = [sum(w) * slope // (2 * one), sum(v) * slope // (2 * one)]
                t, s = (k * one // slope for k in steep)  # v w = t v + s w - s t + (v - s) (w - t)
                square = sources[0] == sources[1]
                low, high = corners(v, w, square)
                least, most = corners([x - s for x in v], [y - t for y in w], square)
                low, high = low // one, -(-high // one)
                least, most = (least - s * t) // one, -((s * t - most) // one)
            case _:
                need(kind != "reciprocal" or low > 0 or high < 0, "dividing by what may be 0")
                ends = [enclosed(kind, end, one) for end in (low, high)]
                if not self.point:
                    steep, least, most = along(kind, low, high, ends, one, slope)
                low, high = min(end for end, _ in ends), max(end for _, end in ends)
        below = above = 0
        if self.problem.single:
            need(max(-low, high) < one << 127, "float32 may overflow")
            below, above = ((abs(v) >> FLOAT.get(kind, 24)) + (one >> 126) + 2 for v in (low, high))
            if kind in ABSOLUTE:
                below = above = one >> ABSOLUTE[kind]
        off = max(below, above)
        if steep and most - least < high - low and max(map(abs, steep)) < slope << 32:
            self.lines[unit] = (least - off, most + off, *((u, k, k) for u, k in zip(sources, steep)))  # noqa: B905
            self.steep[unit] = max(map(abs, steep)) // slope + 1
        return max(low - below, 0) if low >= 0 and kind != "erf" else low - below, high + above

    def twin(self, mine: int, u: int, scale: int) -> tuple[int, int, tuple[int, int, int]]:
        """The lines of a ReLU along `scale` times ReLU u: what they read, `mine` and `other`, is compared
        where it is written in inputs and functions, twins in what they are twins of."""
        problem, least, most, lost = self.problem, 0, 0, 0
        (other,) = problem.made[u][1]
        total = {other: -scale << FINE}
        total[mine] = total.get(mine, 0) + (1 << 2 * FINE)
        for j in range(mine, -1, -1):
            if t := total.pop(j, 0):
                row, off, end = problem.made[j], -self.radii.get(j, 0), self.radii.get(j, 0)
                if j in problem.twins:
                    off, end, (source, multiple, _) = self.lines[j]
                    row = {source: multiple}
                elif not isinstance(row, dict):
                    row, off, end = {}, self.low[j], self.high[j]
                least, most = least + min(t * off, t * end), most + max(t * off, t * end)
                for i, w in row.items():
                    whole, rest = divmod(t * w, 1 << FINE)
                    total[i] = total.get(i, 0) + whole
                    lost += self.sizes[i] if rest else 0
        least, most = least - lost >> 2 * FINE, -(-most - lost >> 2 * FINE)
        self.set(mine, (self.low[other] * scale >> FINE) + least, -(-self.high[other] * scale >> FINE) + most)
        return min(least, 0), max(most, 0), (u, scale, scale)

    def refuted(self, formula: Formula, slopes: dict[int, int]) -> bool:
        """Whether the formula is shown to hold nowhere in the box; `slopes` replace the usual lower ones."""
        if self.problem.twins and not self.settled and not self.exact:  # often their differences say enough
            rough = Box(self.problem, self)
            rough.settle(rough=True)
            if rough.closed(formula, slopes):
                return True
        self.settle()
        if self.closed(formula, slopes):
            return True
        return not self.exact and Box(self.problem, self, True).refuted(formula, slopes)

    def closed(self, formula: Formula, slopes: dict[int, int]) -> bool:
        """Whether these bounds show it."""
        parts = [form for _, form, _ in flat(formula, "and", "or")]
        below = [lcm(*(w.denominator for w in form.values())) for form in parts]
        forms = [{u: int(w * n) for u, w in form.items()} for form, n in zip(parts, below, strict=True)]
        if (self.point or self.near or self.steep) and decided(
            formula, (self.top(form, 1) for form in forms)
        ):
            return True
        ways = sorted({self.exact, True})
        return any(decided(formula, iter(self.upper(forms, slopes, exact)[0])) for exact in ways)

    def upper(self, forms: list[Any], slopes: dict[int, int], exact: bool) -> tuple[list[int], int]:
        """Upper bounds of forms times 2^keep, and `keep`: substitute from the last unit to the first in all
        forms at once, each in a lane of `width` bits; `found` are the coefficients, `bound` the bounds."""
        problem, sizes, bound = self.problem, self.sizes, 0
        keep, last = problem.precise if exact else KEEP, max((u for f in forms for u in f), default=0)
        layers = [layer for layer in reversed(problem.layers) if layer.units[0] <= last]
        change = size = int(max((abs(w) for f in forms for w in f.values()), default=0)) << keep
        for layer in layers:
            more = size * layer.norm * max([1, *(self.steep[u] for u in layer.units if self.steep)])
            change, size = max(change, more), size + (more >> layer.bits) + 1
        reach = sum(v for v in sizes[: last + 1] if v < inf) + sum(self.radii.values())
        reach += sum(max(-least, most, 0) for least, most, *_ in self.lines.values())
        length = (int(max(change, 4 * size * reach)).bit_length() + 10) // 8
        starts, width = range(0, length * len(forms), length), 8 * length
        ones: int = ((1 << width * len(forms)) - 1) // ((1 << width) - 1)
        half = ones << (width - 1)  # added to a number, it makes every lane positive

        def negative(number: int) -> int:  # the lanes that are negative, the others as 0
            sign = (number + half & half) ^ half
            return (number + half & ((sign << 1) - (sign >> (width - 1)))) - sign

        def floor(number: int, by: int) -> int:  # every lane divided by 2^by, rounded down
            lifted = number + half
            return (lifted - (lifted & ((ones << by) - ones)) >> by) - (half >> by)

        found = [0] * (len(problem.made) + 1)
        for k, (u, value) in ((k, term) for k, form in enumerate(forms) for term in form.items()):
            found[u] += value << (width * k + keep)
        for layer in layers:
            lost = 0
            for u in (u for u in layer.units if found[u] and self.radii[u]) if layer.errs else ():
                bound += (found[u] - 2 * negative(found[u])) * self.radii[u]
            for j, pick, weights in layer.columns or ():
                read = pick(found)
                if sizes[j] and (sums := sum(map(mul, filter(None, read), compress(weights, read)))):
                    found[j] += floor(sums, layer.bits) if layer.bits else sums
                    lost += sizes[j] if layer.bits else 0
                    problem.work += len(weights) * len(forms)
            for u in layer.units if layer.columns is None else ():
                if sizes[u] and (c := found[u]):  # else it is 0 in this box
                    least, most, *reads = self.lines.get(u) or (self.low[u], self.high[u])
                    if not least and not most and reads[0][1:] == (1 << layer.bits, 1 << layer.bits):
                        found[reads[0][0]] += c
                        continue
                    minus = negative(c)
                    bound += (c - minus) * most + minus * least
                    for source, down, up in reads:
                        both = (c - minus) * up + minus * slopes.get(u, down)
                        found[source] += floor(both, layer.bits)
                        lost += sizes[source]
            bound += 0 if exact else lost * ones
        lanes = (bound + half).to_bytes(len(starts) * length + 1, "little")
        return [int.from_bytes(lanes[k : k + length], "little") - (1 << width - 1) for k in starts], keep


def check_proof(problem: Problem, proof: Any) -> int:
    """Walk the tree in preorder, and close every leaf. Gives the number of leaves.

    A leaf is closed if one part is false in the box, or a sum of parts and facts is; or if this is so
    wherever some inputs are set to whole numbers.
    """
    stack, leaves, failed = list[Any]([(Box(problem), problem.parts)]), 0, list[int]()
    for place, item in enumerate(proof):
        need(stack, "the tree has too many nodes")
        box, parts = stack.pop()
        match item:
            case ["cut", int(k), value]:
                if box.depth % EVERY == 0:
                    with suppress(ValueError):  # what a function does not allow here, it may in the halves
                        box.settle()
                stack += reversed([(half, parts) for half in box.halves(k, number(value))])
                continue
            case ["case", int(k)]:
                need(k >= 0 and parts[k][0] == "or", f"node {place}: no alternatives")
                others = parts[:k] + parts[k + 1 :]
                stack += reversed([(box, others + flat(part, "and")) for part in flat(parts[k], "or")])
                continue
            case {"points": [*units]} if len(item) == 1:
                need(all(problem.ranges[u][2] for u in units), "points of what is not whole")
                spans = [range(-(-box.low[u] // problem.one), box.high[u] // problem.one + 1) for u in units]
                need(prod(map(len, spans)) <= 2**20, "too many points")
                closed = box.nowhere([*zip(units, spans, strict=True)], ("and", parts))
            case {"slopes": slopes, "sum": sums, "cuts": cuts} if len(item) == 3:
                chosen = [(parts[k], text) for k, text in sums] + [(box.facts[k], text) for k, text in cuts]
                formula: Any = ("atom", {}, False) if chosen else ("and", parts)
                for (kind, form, strict), text in chosen:
                    need(kind == "atom" and number(text) > 0, "no positive multiple of an atom")
                    formula = "atom", plus(formula[1], form, number(text)), formula[2] or strict
                for u, a in slopes:
                    need(type(a) is int and 0 <= a <= 1 << SLOPE, "a slope outside [0, 1]")
                    need(problem.made[u][0] == "relu" and u not in problem.twins, "a slope of no plain ReLU")
                closed = box.refuted(formula, dict(slopes))
            case _:
                need(item == 0, f"node {place} is of no kind")
                closed = box.refuted(("and", parts), {})
        leaves, failed = leaves + 1, failed + [place] * (not closed)
    need(not stack, "the tree is not complete")
    need(not failed, f"leaves not closed: {failed}")
    return leaves


def check_witness(problem: Problem, witness: list[str]) -> int:
    """The witness is in scope, and the claim is false of it whatever the roundings."""
    point = [Fraction(1), *map(number, witness)]
    for value, (low, high, whole) in zip(point, problem.ranges, strict=True):
        need(low <= value <= high and (value.denominator == 1 or not whole), "the witness is out of range")
        need(not problem.single or single(value), "the witness is no float32 point")
    need(problem.forms == [{u: 1} for u in range(len(point))], "a witness needs no lemmas")
    problem.ranges = [(v, v, ends[2]) for v, ends in zip(point, problem.ranges, strict=True)]
    need(Box(problem).refuted(("and", problem.parts), {}), "it may satisfy the claim")
    return 1


def check(path: Path, weights: dict[str, Any]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = "format claim networks lemmas verdict evidence seal"
    head, claim, networks, lemmas, verdict, evidence, seal = fields(content, names)
    body = json.dumps({**content, "seal": ""}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.certificate/4" and verdict in ("proved", "refuted"), f"unknown: {head!r} {verdict!r}")
    loaded = {}
    for name, network in networks.items():
        digest, size, operations = fields(network, "digest inputs operations")
        if digest not in weights and (beside := path.with_name(f"{digest}.safetensors")).exists():
            weights.update([read_weights(beside)])
        need(digest in weights, f"no weights with the digest {digest} of network {name}")
        plain = all(dtype == "float32" for dtype, _, _ in weights[digest].values())
        need(plain or claim["semantics"] != "float32", f"the weights of {name} are not float32")
        loaded[name] = size, operations, weights[digest]
    problem = Problem(claim, lemmas, loaded, verdict == "proved")
    count = (check_proof if verdict == "proved" else check_witness)(problem, evidence)
    theorem = f"for {claim['for']} given {claim['given']}: {claim['show']} [{claim['semantics']}]"
    return f"{verdict} ({count} leaves, {problem.work} multiplications): {theorem}; stated: {claim['stated']}"


def main(arguments: list[str]) -> int:
    at = arguments.index("--weights") if "--weights" in arguments else len(arguments)
    weights, rejected = dict(map(read_weights, arguments[at + 1 :])), int(at == 0)
    for path in map(Path, arguments[:at]):
        try:
            print(f"{path}: accepted: {check(path, weights)}")
        except Exception as error:  # whatever a file makes go wrong, it is not accepted
            print(f"{path}: REJECTED: {type(error).__name__}: {error}")
            rejected = 1
    return rejected


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
