"""Check certificates of claims about neural networks: one file, standard library only, exact arithmetic.

    python3 -I check.py CERTIFICATE... [--weights W.safetensors ...]

A certificate holds a claim, the networks it speaks of (operations, and digests of their weights), and a
*proof* (a tree of case splits whose leaves bounds close) or a *witness* (an input on which the claim fails).
This file shares no code with the prover. It trusts `for`, `given` and `show`, the operations and itself; how
the author worded the claim (`stated`) is printed, not proved. Weights are DIGEST.safetensors, beside it or in
--weights.

The claim becomes a formula that only a counterexample satisfies; its atoms are e >= 0 or e > 0 for linear
forms e of units: the constant 1, inputs, affine forms, ReLUs, and other functions, which may be anything
between their bounds. e is bounded on a box by substituting units backwards (Singh et al. 2019, Zhang et al.
2018), where a·v <= relu(v) <= s·v + max(-s·l, (1-s)·h) on [l, h] is sound for any a, s in [0, 1]. An affine
unit may in "float32" be off by g (|M||v| + |c|) + k 2^-126 with g = k u / (1 - k u), u = 2^-24 (Higham 2002,
3.1); products, reciprocals and roots are rounded once, exp is within 2 units in the last place.

Everything is a whole number; many forms are substituted at once, side by side in lanes of one long integer.
Coefficients are rounded down to multiples of 2^-KEEP; what that may hide, |v| for each, is added to the
bound. A box takes over the bounds of the box it was cut from, and bounds anew only what may have either
sign. What stays open is tried again without rounding.
"""

# ruff: noqa: D102, D103
from __future__ import annotations

import ast
import hashlib
import json
import re
import struct
import sys
from collections import Counter
from contextlib import suppress
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from itertools import compress, product
from math import inf, isqrt, lcm, prod
from operator import itemgetter, mul, or_
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SLOPE, KEEP, GRID, FINE = 16, 48, 64, 128  # bits behind the point: slopes, coefficients, bounds, weights
EVERY = 3  # so seldom is a box bounded before it is cut
WHOLE = {"real": False, "integer": True, "token": True, "bit": True}
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
Form = dict[int, Any]  # exact coefficients of units; unit 0 is the constant 1
Formula = tuple[Any, ...]  # ("atom", form, strict), ("and", [formula…]) or ("or", [formula…])


def need(condition: object, why: str) -> None:
    if not condition:
        raise ValueError(why)


def fields(table: Any, *names: str) -> list[Any]:
    need(isinstance(table, dict) and sorted(table) == sorted(names), f"expected exactly the fields {names}")
    return [table[name] for name in names]


def number(text: Any) -> Fraction:
    good = isinstance(text, str) and re.fullmatch(r"-?\d{1,3000}(/0*[1-9]\d{0,3000})?", text, re.ASCII)
    need(good, f"not a number: {str(text)[:40]!r}")
    return Fraction(text)


def scaled(value: Any, one: int) -> int:
    top, below = value.as_integer_ratio()
    return int(top * one // below)


def read_weights(path: str | Path) -> tuple[str, Any]:
    """Digest over the sorted (name, dtype, shape, bytes), and the tensors of a safetensors file."""
    data, sha, tensors = Path(path).read_bytes(), hashlib.sha256(), {}
    start = 8 + int.from_bytes(data[:8], "little")
    for name, entry in sorted(json.loads(data[8:start]).items()):
        if name != "__metadata__":
            kind, shape, (first, last) = fields(entry, "dtype", "shape", "data_offsets")
            code, dtype = TYPES.get(kind, ("", kind.lower().replace("i", "int")))
            raw = data[start + first : start + last]
            sha.update(f"{name}\0torch.{dtype}\0{tuple(shape)}\0".encode() + raw)
            if code == "H":  # the first half of a float32
                code, raw = "f", b"".join(b"\0\0" + raw[k : k + 2] for k in range(0, len(raw), 2))
            tensors[name] = dtype, shape, [v for (v,) in struct.iter_unpack(f"<{code}", raw)] if code else []
    return sha.hexdigest(), tensors


def literal(node: Any) -> Fraction:
    return number(ast.unparse(node).replace(" ", ""))


def plus(a: Form, b: Form, factor: Any = 1) -> Form:
    total = {unit: a.get(unit, 0) + b.get(unit, 0) * factor for unit in {**a, **b}}
    return {unit: value for unit, value in total.items() if value}


def atom(large: Form, small: Form, strict: bool = False) -> Formula:
    return "atom", plus(large, small, -1), strict


def negate(formula: Formula) -> Formula:
    if formula[0] == "atom":
        return atom({}, formula[1], not formula[2])
    return "or" if formula[0] == "and" else "and", [negate(part) for part in formula[1]]


def flat(formula: Formula, *kinds: str) -> list[Formula]:
    return [p for part in formula[1] for p in flat(part, *kinds)] if formula[0] in kinds else [formula]


def decided(formula: Formula, tops: Any) -> bool:
    """Whether upper bounds of its atoms, in order, show that a formula is false."""
    if formula[0] == "atom":
        return (top := next(tops)) < 0 or bool(top == 0 and formula[2])
    return (any if formula[0] == "and" else all)([decided(part, tops) for part in formula[1]])


def exponential(t: int, one: int, error: Fraction = Fraction(1, 10**50)) -> list[int]:
    """Whole numbers around one · e^(t / one); decimal rounds correctly, to far less than `error`."""
    need(t < one << 12, "exp of a large number")
    near = Fraction(Context(60).divide(Decimal(max(t, -one << 12)), Decimal(one)).exp(Context(60))) * one
    return [max(0, int(near * (1 - error)) - 1), int(near * (1 + error)) + 1]


def rows_of(how: list[Any], tensors: Any, units: Any) -> Any:
    """The rows of a linear map of units, each with the number of its entry in the constant."""
    match how:
        case ["times", factor]:
            yield from enumerate([(unit, number(factor))] for unit in units)
        case ["pick", [*places]]:  # the place of each component, -1 for none
            yield from enumerate([(units[k], 1)] if k >= 0 else [] for k in places)
        case ["matrix", name, transposed]:
            (*rows, columns), w = tensors[name][1:]
            for i in range(columns if transposed else prod(rows)):
                row = w[i::columns] if transposed else w[i * columns : (i + 1) * columns]
                yield i, zip(units, row, strict=True)
        case ["conv2d", name, [_, *image], *axes, groups]:  # axes: stride, padding, dilation
            (out, depth, *window), w = tensors[name][1:]
            spans = zip(image, window, *axes, strict=True)
            places = [range((n + 2 * p - d * (k - 1) - 1) // s + 1) for n, k, s, p, d in spans]
            for channel, *place in product(range(out), *places):
                row, first = [], channel * groups // out * depth
                for k, (c, *tap) in enumerate(product(range(depth), *map(range, window))):
                    y, x = (o * s - p + t * d for o, t, s, p, d in zip(place, tap, *axes, strict=True))
                    if 0 <= y < image[0] and 0 <= x < image[1]:
                        at = ((first + c) * image[0] + y) * image[1] + x
                        row.append((units[at], w[channel * depth * prod(window) + k]))
                yield channel, row


class Problem:
    """A claim bound to networks: `parts` together are the formula, `ranges` those of the constant and inputs.

    `definitions` add inputs that are linear in those before, and say so in `given`: that excludes no input.
    `substitution` solves equations of `given` for inputs. `twins` are ReLUs v = c u + d of earlier ReLUs u,
    where d lies between 0 and the bounds of what v reads less c times what u reads: relu rises, by no more
    than its argument, and relu(c u) = c relu(u) for c > 0.
    """

    def __init__(self, claim: Any, lemmas: Any, networks: Any) -> None:
        declared, given, show, semantics, _ = fields(claim, "for", "given", "show", "semantics", "stated")
        definitions, substitution, twins = fields(lemmas, "definitions", "substitution", "twins")
        self.single, self.networks = bool(["real", "float32"].index(semantics)), networks
        self.inputs, self.groups, self.ranges = dict[str, Form](), dict[str, Any](), list[Any]()
        self.layers, self.made, self.called = list[Any](), list[Any](), dict[Any, Any]()
        self.readers, self.curved, self.work = Counter[int](), set[int](), 0  # curved: read by functions
        self.declare("", None, Fraction(1), Fraction(1), True)
        for name, kind, lo, hi, size in declared:
            self.declare(name, size, number(lo), number(hi), WHOLE[kind])
        large = any(whole and max(-low, high) > 2**24 for low, high, whole in self.ranges)
        need(not (large and self.single), "a whole number that may be no float32")
        node: Any = None if given is None else ast.parse(given, mode="eval").body
        conjunction = isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And)
        equations, singles = node.values if conjunction else [node] * (node is not None), [*self.inputs]
        for name, text in definitions:
            (form,) = self.numbers(node := ast.parse(text, mode="eval").body)
            ends = [sorted(c * end for end in self.ranges[u][:2]) for u, c in form.items()]
            whole = all(c.denominator == 1 and self.ranges[u][2] for u, c in form.items())
            self.declare(name, None, sum(low for low, _ in ends), sum(high for _, high in ends), whole)
            equations.append(ast.Compare(ast.Name(name), [ast.Eq()], [node]))
        self.one = lcm(*(end.denominator for *ends, _ in self.ranges for end in ends)) << GRID
        self.add("input", [("input", []) for _ in self.ranges])
        found, places = list[Formula](), {name: u for u, name in enumerate(self.inputs)}
        for name, k in substitution:
            need(isinstance(equations[k].ops[0], ast.Eq), f"it does not determine {name}")
            (one,), (other,) = self.numbers(equations[k].left), self.numbers(equations[k].comparators[0])
            zero, u = plus(one, other, -1), places[name]
            need(len(self.layers) == 1, "an equation of more than inputs")
            self.inputs = {c: plus(f, zero, -f.get(u, 0) / zero[u]) for c, f in self.inputs.items()}
        for name, _ in substitution:
            low, high, _ = self.ranges[places[name]]
            found += [atom(self.inputs[name], {0: low}), atom({0: high}, self.inputs[name])]
        self.singles = [self.inputs[name] for name in singles]  # what float32 numbers hold
        found += map(self.statement, equations)
        found.append(negate(self.statement(ast.parse(show, mode="eval").body)))
        self.parts, self.twins = (
            flat(("and", found), "and"),
            {v: (u, scaled(number(c), 1 << FINE)) for v, u, c in twins},
        )
        for v, (u, scale) in self.twins.items():
            (layer,) = (layer for layer in self.layers if v in layer.units)
            earlier = self.made[v][0] == "relu" == self.made[u][0] and u < layer.units[0]
            need(earlier and scale > 0, f"{v} is no multiple of {u}")
            self.readers[self.made[v][1][0]] -= 1
            layer.bits, layer.norm = FINE, (layer.norm << (FINE - layer.bits)) + scale
        self.precise = sum(layer.bits for layer in self.layers)

    def declare(self, name: str, size: int | None, low: Any, high: Any, whole: bool) -> None:
        fits = name not in self.groups and re.fullmatch(r"[A-Za-z_]\w*|", name, re.ASCII)
        need(fits and not self.layers, f"{name!r} is no name, declared already, or too late")
        self.groups[name] = [name] if size is None else [f"{name}[{i}]" for i in range(size)]
        for component in self.groups[name]:
            self.inputs[component] = {len(self.ranges): Fraction(1)}
            self.ranges.append((low, high, whole))

    def add(self, kind: str, made: list[Any]) -> range:
        """Append units: rows of weights in 2^-FINE, or functions and what they read."""
        sources = Counter(u for _, read, *_ in made for u in read) if kind != "affine" else Counter[int]()
        units, norm = range(len(self.made), len(self.made) + len(made)), max(sources.values(), default=0)
        self.made += made
        self.readers.update(sources)
        self.curved.update(sources if kind != "relu" else ())
        layer = {"kind": kind, "units": units, "columns": [], "errs": 0, "bits": SLOPE, "norm": norm << SLOPE}
        self.layers.append(SimpleNamespace(**layer))  # coefficients grow by at most norm / 2^bits
        return units

    def affine(self, forms: list[Form], depth: int) -> range:
        """Append affine units; `depth` float32 roundings are on the way of any term. Weights are rounded
        to multiples of 2^-FINE, which the rounding errors cover."""
        rows = [{j: int(w * 2**FINE) for j, w in f.items() if w} for f in forms]
        units, columns = self.add("affine", rows), dict[int, list[Any]]()
        layer, spread = self.layers[-1], reduce(or_, (w for row in rows for w in row.values()), 1 << FINE)
        layer.bits = FINE + 1 - (spread & -spread).bit_length()
        exact = all(
            w * 2**FINE == row[j] for f, row in zip(forms, rows, strict=True) for j, w in f.items() if w
        )
        layer.errs = depth * self.single or (not exact and -1)
        for u, row in zip(units, rows, strict=True):
            for j, w in row.items():
                columns.setdefault(j, [(-1, 0), (-1, 0)]).append((u, w >> (FINE - layer.bits)))
        for j, column in columns.items():
            readers, weights = zip(*column, strict=True)
            layer.columns.append((j, itemgetter(*readers), weights))
        layer.norm = max(sum(map(abs, weights)) for _, _, weights in layer.columns) if columns else 0
        self.readers.update(columns.keys())
        return units

    def statement(self, node: Any) -> Formula:
        """The formula that a text means."""
        match node:
            case ast.BoolOp(op=op, values=parts):
                return "and" if isinstance(op, ast.And) else "or", list(map(self.statement, parts))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return negate(self.statement(inner))
            case ast.Compare(left=ast.Call(func=ast.Name(id="argmax"), args=args), ops=[ast.Eq()]):
                forms, k = self.numbers(*args), literal(node.comparators[0])
                need(k in [*range(len(forms))], "an argmax that is no place")  # the first of the largest wins
                return "and", [atom(forms[int(k)], f, j < k) for j, f in enumerate(forms) if j != k]
            case ast.Compare(left=left, ops=[ast.LtE() | ast.Lt() | ast.Eq() as op], comparators=[right]):
                (a,), (b,) = self.numbers(left), self.numbers(right)
                less = atom(b, a, isinstance(op, ast.Lt))
                return ("and", [less, atom(a, b)]) if isinstance(op, ast.Eq) else less
        raise ValueError(f"no statement of the language: {ast.dump(node)[:60]}")

    def numbers(self, *nodes: Any) -> list[Form]:
        """The numbers that texts mean, one after the other."""
        match nodes:
            case [ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right)]:
                (a,), (b,) = self.numbers(left), self.numbers(right)
                return [plus(a, b, 1 if isinstance(op, ast.Add) else -1)]
            case [ast.BinOp(left=factor, op=ast.Mult(), right=right)]:
                return [plus({}, form, literal(factor)) for form in self.numbers(right)]
            case [ast.Subscript(value=base, slice=ast.Constant(value=int(i)))]:
                return [self.numbers(base)[i]]
            case [ast.Name(id=name)]:
                return [self.inputs[component] for component in self.groups[name]]
            case [ast.Call(func=ast.Name(id="max" | "abs" as name), args=[one, *other])]:
                need(len(other) == (name == "max"), "max is of two, abs of one")
                (a,) = self.numbers(one)
                (b,) = self.numbers(*other) if other else [plus({}, a, -1)]
                gap = plus(a, b, -1)  # the larger is b + relu(a - b), which is taken in whole multiples
                key, below = repr(sorted(gap.items())), lcm(*(w.denominator for w in gap.values()))
                if key not in self.called:
                    self.called[key] = self.add("relu", [("relu", self.affine([plus({}, gap, below)], 0))])
                return [plus(b, {self.called[key][0]: Fraction(1, below)})]
            case [ast.Call(func=ast.Name(id=name), args=args)] if name in self.networks:
                return self.call(name, self.numbers(*args))
            case [node]:
                return [plus({}, {0: literal(node)})]
        return [form for node in nodes for form in self.numbers(node)]

    def call(self, name: str, forms: list[Form]) -> list[Form]:
        """A network on some inputs; equal inputs, and equal calls, are the same units."""
        key = repr([sorted(f.items()) for f in forms])
        if key not in self.called:  # a float32 holds an input, and a small whole constant
            small = [{0: w} for f in forms for w in f.values() if abs(w) <= 2**24 and w % 1 == 0]
            self.called[key] = self.affine(forms, not all(f in [{}, *self.singles, *small] for f in forms))
        if (name, key) not in self.called:
            values, (operations, tensors) = [self.called[key]], self.networks[name]
            for op in operations:
                values.append(self.operation(op, values, tensors))
            self.called[name, key] = [{u: Fraction(1)} for u in values[-1]]
        return list(self.called[name, key])

    def operation(self, op: list[Any], values: list[Any], tensors: Any) -> Any:
        """Append one operation of a network; `values` are the units of its earlier values."""
        match op:
            case ["relu" | "exp" | "reciprocal" | "sqrt" as kind, s]:
                return self.add(kind, [(kind, [u]) for u in values[s]])
            case ["product", s, t]:
                return self.add("product", [("product", uv) for uv in zip(values[s], values[t], strict=True)])
            case ["table", s, name]:  # the row of a matrix for each token
                (_, n), w = tensors[name][1:]
                whole = {u for u, (_, _, listed) in enumerate(self.ranges) if listed}
                tokens = all(
                    j in whole and c % 2**FINE == 0 for u in values[s] for j, c in self.made[u].items()
                )
                need(tokens, "a table of what is not whole")
                return self.add("table", [("table", [u], w[c::n]) for u in values[s] for c in range(n)])
        need(op[0] == "affine", f"unknown operation {op[0]!r}")
        _, terms, const = op
        shift = tensors[const[1:]][2] if const[0] == "@" else [number(const)]
        rows, forms = dict[int, Any](), list[Form]()
        for s, *how in terms:
            for i, (c, row) in enumerate(rows_of(how, tensors, values[s])):
                start = [(0, shift[c if len(shift) > 1 else 0])]
                rows.setdefault(i, start).extend((u, w) for u, w in row if w)  # 0 v adds no rounding
        for row in rows.values():
            forms.append(dict(row))
            if len(forms[-1]) < len(row):  # a unit that is read more than once
                forms[-1] = reduce(plus, ({u: Fraction(w)} for u, w in row))
        plain = all(abs(w) == 1 for row in rows.values() for _, w in row[1:])
        depth = max(max(map(len, rows.values())) - 1 - plain, 0)
        return self.affine(forms, depth + any(row[0][1] for row in rows.values()))


class Box:
    """Bounds of units, in multiples of 1 / problem.one, in a part of the `outer` box; `facts` are the atoms
    of the cuts that led there, `lines` bound a unit from both sides: source, two slopes, two intercepts."""

    def __init__(self, problem: Problem, outer: Any = None, exact: bool = False) -> None:
        self.problem, self.exact, self.settled, unknown = problem, exact, False, [inf] * len(problem.made)
        self.low: list[Any] = [*outer.low] if outer else [-v for v in unknown]
        self.high: list[Any] = [*outer.high] if outer else unknown
        self.sizes: list[Any] = [*outer.sizes] if outer else [*unknown, 0]  # the largest |v|
        self.facts: dict[int, Formula] = outer.facts if outer else {}
        self.gaps: dict[int, Any] = {**outer.gaps} if outer else {}  # of twins
        self.depth: int = outer.depth + 1 if outer else 0
        self.lines, self.radii = dict[int, Any](), dict[int, int]()
        for u, (low, high, _) in enumerate(() if outer else problem.ranges):
            self.set(u, scaled(low, problem.one), -scaled(-high, problem.one))

    def set(self, unit: int, low: Any, high: Any) -> None:
        self.low[unit], self.high[unit] = max(self.low[unit], low), min(self.high[unit], high)
        self.sizes[unit] = max(-self.low[unit], self.high[unit], 0)

    def at(self, values: Any) -> Box:
        """The part of the box where some units have given values."""
        inner = Box(self.problem, self)
        for u, value in values:
            inner.set(u, scaled(value, self.problem.one), -scaled(-value, self.problem.one))
        return inner

    def halves(self, k: int, value: Fraction) -> Any:
        """The box where unit k (for k < 0: unit -k, negated) is at most `value`, and where it is more."""
        unit, sign, one, ranges = abs(k), 1 if k > 0 else -1, self.problem.one, self.problem.ranges
        whole = unit < len(ranges) and ranges[unit][2]
        need(unit and (not whole or value.denominator == 1), "a cut between whole numbers")
        for above in (False, True):
            edge, half = value + (above and whole), Box(self.problem, self)
            fact = atom({unit: sign}, {0: edge}, not whole) if above else atom({0: edge}, {unit: sign})
            half.facts = {**self.facts, k if above else -k: fact}
            low, high = scaled(edge * sign, one), -scaled(-edge * sign, one)
            half.set(unit, *((low, inf) if above == (k > 0) else (-inf, high)))
            yield half

    def settle(self) -> None:
        """Bound the units that others read, from the first layer to the last."""
        problem = self.problem
        anew = self.exact and any(layer.errs for layer in problem.layers)  # errors follow all sizes
        for layer in () if self.settled else problem.layers[1:]:
            if layer.kind != "affine":
                for u in layer.units:
                    self.set(u, *self.function(u, 1 << layer.bits, *problem.made[u]))
                continue
            for u in layer.units if layer.errs else ():
                row, k = problem.made[u], max(layer.errs, 0)
                size = sum(abs(w) * self.sizes[j] for j, w in row.items()) >> FINE
                need(not k or (k < 2**20 and size < problem.one << 127), "float32 may overflow")
                lost = 2 * sum(self.sizes[j] for j in row) >> FINE
                self.radii[u] = (size + 1) * k // (2**24 - k) + (k * problem.one >> 126) + lost + 3
            doubtful = [u for u in layer.units if problem.readers[u]]
            if not anew:
                doubtful = [u for u in doubtful if u in problem.curved or self.low[u] < 0 < self.high[u]]
            tops, keep = self.upper([{u: sign} for u in doubtful for sign in (1, -1)], {}, self.exact)
            for u, top, bottom in zip(doubtful, tops[::2], tops[1::2], strict=True):
                self.set(u, -bottom >> keep, -(-top >> keep))
        self.settled = True

    def function(self, unit: int, slope: int, kind: str, sources: Any, table: Any = ()) -> tuple[int, int]:
        """Bounds of a function's unit from those of what it reads; ReLUs also get their lines."""
        one, source = self.problem.one, sources[0]
        if unit in self.problem.twins:
            self.lines[unit] = self.twin(unit, source, *self.problem.twins[unit])
        low, high = self.low[source], self.high[source]
        match kind:
            case "relu":
                up = high * slope // (high - low) if low < 0 < high else slope
                cap = -(-max(-up * low, (slope - up) * high) // slope) if low < 0 < high else 0
                self.lines.setdefault(unit, (source, slope * (high > -low), up, 0, cap))
                return max(low, 0), max(high, 0)
            case "table":
                need(-one < low and high < len(table) * one, "no row of the table")
                entries = table[-(-low // one) : high // one + 1]
                return scaled(min(entries), one), -scaled(-max(entries), one)
            case "product":
                ends = [v * w for v in (low, high) for w in (self.low[sources[1]], self.high[sources[1]])]
                low = (max(min(ends), 0) if sources[0] == sources[1] else min(ends)) // one
                high = -(-max(ends) // one)
            case "exp":
                low, high = exponential(low, one)[0], exponential(high, one)[1]
            case "reciprocal":
                need(low > 0 or high < 0, "dividing by what may be 0")
                low, high = one * one // high, -(-one * one // low)
            case "sqrt":
                need(low >= 0, "the root of what may be negative")
                low, high = isqrt(low * one), isqrt(high * one) + 1
        if not self.problem.single:
            return low, high
        need(max(-low, high) < one << 127, "float32 may overflow")
        off = [(abs(v) >> (22 if kind == "exp" else 24)) + (one >> 126) + 2 for v in (low, high)]
        return max(low - off[0], min(low, 0)) if low >= 0 else low - off[0], high + off[1]

    def twin(self, v: int, mine: int, u: int, scale: int) -> tuple[int, int, int, int, int]:
        """The lines of ReLU v along `scale` times ReLU u: what they read, `mine` and `other`, is compared
        where it is written in what that reads."""
        (other,), twins = self.problem.made[u][1], self.problem.twins
        total, ends = Counter[int](), list[Any]()
        for unit, factor in ((mine, 1 << FINE), (other, -scale)) if v not in self.gaps else ():
            for j, w in self.problem.made[unit].items():
                source, multiple, _, least, most = self.lines[j] if j in twins else (j, 1 << FINE, 0, 0, 0)
                total[source] += w * factor * multiple
                if least < most:
                    ends.append((w * factor * least << FINE, w * factor * most << FINE))
        if v not in self.gaps:
            ends += [(t * self.low[j], t * self.high[j]) for j, t in total.items() if t]
            slack = self.radii.get(mine, 0) - (-self.radii.get(other, 0) * scale >> FINE)
            least, most = (sum(map(min, ends)) >> 3 * FINE), -(-sum(map(max, ends)) >> 3 * FINE)
            self.gaps[v] = least - slack, most + slack
        least, most = self.gaps[v]
        self.set(mine, (self.low[other] * scale >> FINE) + least, -(-self.high[other] * scale >> FINE) + most)
        return u, scale, scale, min(least, 0), max(most, 0)

    def refuted(self, formula: Formula, slopes: dict[int, int]) -> bool:
        """Whether the formula is shown to hold nowhere in the box; `slopes` replace the usual lower ones."""
        self.settle()
        forms = list[Any]()
        for _, form, _ in flat(formula, "and", "or"):
            below = lcm(*(w.denominator for w in form.values()))
            forms.append({u: int(w * below) for u, w in form.items()})
        for precisely in sorted({self.exact, True}):
            if decided(formula, iter(self.upper(forms, slopes, precisely)[0])):
                return True
        return not self.exact and Box(self.problem, self, True).refuted(formula, slopes)

    def upper(self, forms: list[Any], slopes: dict[int, int], exact: bool) -> tuple[list[int], int]:
        """Upper bounds of forms times 2^keep, and `keep`: substitute from the last unit to the first in all
        forms at once, each in a lane of `width` bits; `found` are the coefficients, `bound` the bounds."""
        problem, sizes, bound = self.problem, self.sizes, 0
        keep, last = problem.precise if exact else KEEP, max((u for f in forms for u in f), default=0)
        layers = [layer for layer in reversed(problem.layers) if layer.units[0] <= last]
        size: int = max((abs(w) for f in forms for w in f.values()), default=0) << keep
        change = size
        for layer in layers:
            change, size = max(change, size * layer.norm), size + (size * layer.norm >> layer.bits) + 1
        reach = sum(v for v in sizes[: last + 1] if v < inf) + sum(self.radii.values())
        reach += sum(most - least for *_, least, most in self.lines.values())
        width = (int(max(change, 4 * size * reach)).bit_length() + 10) // 8 * 8
        ones: int = ((1 << width * len(forms)) - 1) // ((1 << width) - 1)
        half = ones << (width - 1)  # added to a number, it makes every lane positive

        def negative(number: int) -> int:  # the lanes that are negative, the others as 0
            lifted = number + half
            sign = (lifted & half) ^ half
            return (lifted & ((sign << 1) - (sign >> (width - 1)))) - sign

        def floor(number: int, by: int) -> int:  # every lane divided by 2^by, rounded down
            lifted = number + half
            return ((lifted - (lifted & ((ones << by) - ones))) >> by) - (half >> by)

        found = [0] * (len(problem.made) + 1)
        for k, (u, value) in ((k, term) for k, form in enumerate(forms) for term in form.items()):
            found[u] += value << (width * k + keep)
        for layer in layers:
            if not any(found[layer.units.start : layer.units.stop]):
                continue
            lost, one = 0, 1 << layer.bits
            for u in layer.units if layer.errs else ():
                bound += (found[u] - 2 * negative(found[u])) * self.radii[u]
            for j, pick, weights in layer.columns:
                read = pick(found)
                if sizes[j] and (sums := sum(map(mul, filter(None, read), compress(weights, read)))):
                    found[j] += floor(sums, layer.bits)
                    lost += sizes[j]
                    problem.work += len(weights) * len(forms)
            for u in layer.units if layer.kind != "affine" else ():
                c = found[u]
                if c and sizes[u]:  # else it is 0 in this box
                    line = self.lines.get(u) or (0, 0, 0, self.low[u], self.high[u])
                    source, down, up, least, most = line
                    if up != one or least < most:
                        minus = negative(c)
                        bound += (c - minus) * most + minus * least
                        c = floor((c - minus) * up + minus * slopes.get(u, down), layer.bits)
                        lost += sizes[source]
                    found[source] += c
            bound += 0 if exact else lost * ones
        lanes, length = (bound + half).to_bytes(width * len(forms) // 8 + 1, "little"), width // 8
        starts = range(0, length * len(forms), length)
        return [int.from_bytes(lanes[k : k + length], "little") - (1 << width - 1) for k in starts], keep


def closed(box: Box, parts: list[Formula], item: Any) -> bool:
    """Whether the parts exclude each other in the box: one fails, or a sum of parts and facts; or this is so
    wherever some inputs are set to whole numbers."""
    problem, everything = box.problem, ("and", parts)
    if isinstance(item, dict) and "points" in item:
        (units,) = fields(item, "points")
        need(all(problem.ranges[u][2] for u in units), "points of what is not whole")
        spans = [range(-(-box.low[u] // problem.one), box.high[u] // problem.one + 1) for u in units]
        need(prod(map(len, spans)) <= 2**20, "too many points")
        return all(
            box.at(zip(units, point, strict=True)).refuted(everything, {}) for point in product(*spans)
        )
    slopes, multiples, cuts = fields(item, "slopes", "sum", "cuts") if item != 0 else ([], [], [])
    for u, a in slopes:
        need(type(a) is int and 0 <= a <= 1 << SLOPE, "a slope outside [0, 1]")
        need(problem.made[u][0] == "relu" and u not in problem.twins, "a slope of what is no plain ReLU")
    chosen = [(parts[k], text) for k, text in multiples] + [(box.facts[k], text) for k, text in cuts]
    total, strictly = Form(), False
    for (kind, form, strict), text in chosen:
        need(kind == "atom" and number(text) > 0, "no positive multiple of an atom")
        total, strictly = plus(total, form, number(text)), strictly or strict
    return box.refuted(("atom", total, strictly) if chosen else everything, dict(slopes))


def check_proof(problem: Problem, proof: Any) -> int:
    """Walk the tree in preorder, and close every leaf. Gives the number of leaves."""
    stack: list[Any] = [(Box(problem), problem.parts)]
    leaves, failed = 0, []
    for place, item in enumerate(proof):
        need(stack, "the tree has too many nodes")
        box, parts = stack.pop()
        match item:
            case ["cut", int(k), value]:
                if box.depth % EVERY == 0:
                    with suppress(ValueError):  # what a function does not allow here, it may in the halves
                        box.settle()
                stack += reversed([(half, parts) for half in box.halves(k, number(value))])
            case ["case", int(k)]:
                need(k >= 0 and parts[k][0] == "or", f"node {place}: no alternatives")
                others = parts[:k] + parts[k + 1 :]
                stack += reversed([(box, others + flat(part, "and")) for part in flat(parts[k], "or")])
            case _:
                leaves += 1
                failed += [] if closed(box, parts, item) else [place]
    need(not stack, "the tree is not complete")
    need(not failed, f"leaves not closed: {failed}")
    return leaves


def check_witness(problem: Problem, witness: dict[str, str]) -> int:
    """The witness is in scope, and the claim is false of it whatever the roundings."""
    point = [Fraction(1), *map(number, fields(witness, *[*problem.inputs][1:]))]
    for value, (low, high, whole), f in zip(point, problem.ranges, problem.inputs.values(), strict=True):
        need(low <= value <= high and (value.denominator == 1 or not whole), "the witness is out of range")
        need(sum(c * point[u] for u, c in f.items()) == value, "the witness breaks an equality")
        single = not problem.single or struct.unpack("<f", struct.pack("<f", float(value)))[0] == value
        need(single, "the witness is no float32 point")
    box = Box(problem).at(enumerate(point))
    need(box.refuted(negate(("and", problem.parts)), {}), "the witness may satisfy the claim")
    return 1


def check(path: Path, weights: dict[str, Any]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = ("format", "claim", "networks", "lemmas", "verdict", "evidence")
    head, claim, networks, lemmas, verdict, evidence, seal = fields(content, *names, "seal")
    body = json.dumps({name: content[name] for name in names}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.certificate/3" and verdict in ("proved", "refuted"), f"unknown: {head!r} {verdict!r}")
    loaded = {}
    for name, network in networks.items():
        digest, operations = fields(network, "digest", "operations")
        if digest not in weights and (beside := path.with_name(f"{digest}.safetensors")).exists():
            weights.update([read_weights(beside)])
        need(digest in weights, f"no weights with the digest {digest} of network {name}")
        single = all(dtype == "float32" for dtype, _, _ in weights[digest].values())
        need(single or claim["semantics"] != "float32", f"the weights of {name} are not float32")
        loaded[name] = operations, weights[digest]
    problem = Problem(claim, lemmas, loaded)
    count = (check_proof if verdict == "proved" else check_witness)(problem, evidence)
    theorem = f"for {claim['for']} given {claim['given']}: {claim['show']} [{claim['semantics']}]"
    work = f"{count} leaves, {problem.work} multiplications"
    return f"{verdict} ({work}): {theorem}; stated as: {claim['stated']}"


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
