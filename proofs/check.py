"""Check certificates of claims about neural networks: one file, standard library only, exact arithmetic.

    python3 -I check.py CERTIFICATE... [--weights W.safetensors ...]

A certificate holds a claim, the networks it speaks of (operations, and digests of their weights), and a
*proof* (a tree of case splits; leaves are closed by linear bounds, or point by point) or a *witness* (an
input on which the claim fails). This file shares no code with the prover. It trusts `for`, `given` and
`show`, the operations and itself; how the author worded the claim (`stated`) is printed, but not proved.
Weights are found in --weights or beside the certificate as DIGEST.safetensors, and must have the digest.

The claim becomes a formula that only a counterexample satisfies; its atoms are e >= 0 or e > 0 for linear
forms e over units: the constant 1, inputs, affine forms, ReLUs. e is bounded on a box by substituting units
backwards (Singh et al. 2019; Zhang et al. 2018), where a·v <= relu(v) <= s·v + max(-s·l, (1-s)·u) on [l, u]
is sound for any a, s in [0, 1]. In "float32" an affine unit may be off by g (|M||v| + |c|) + k 2^-126, where
g = k u / (1 - k u), u = 2^-24 (Higham 2002, 3.1).

Everything is a whole number; many forms are substituted at once, side by side in lanes of one long integer.
Coefficients are rounded down to multiples of 2^-KEEP; what that may hide, |v| for each, is added to the
bound. A box takes over the intervals of the box it was cut from, and bounds anew only what may have either
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
from fractions import Fraction
from itertools import compress, product
from math import lcm, prod
from operator import itemgetter, mul
from pathlib import Path
from typing import Any

GRID, SLOPE, KEEP, FINE = 64, 16, 48, 128  # bits behind the point: bounds, slopes, coefficients, weights
EVERY = 3  # so seldom is a box bounded before it is cut
WHOLE = {"real": False, "integer": True, "token": True, "bit": True}
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
Form = dict[int, Any]  # exact coefficients of units; unit 0 is the constant 1
Formula = tuple[Any, ...]  # ("atom", form, strict), ("and", [formula…]) or ("or", [formula…])
Tensors = dict[str, tuple[str, tuple[int, ...], list[float]]]


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


def whole(values: Any) -> tuple[list[int], int]:
    """Exact values times their smallest common denominator, and this."""
    ratios = [value.as_integer_ratio() for value in values]
    below = lcm(*{bottom for _, bottom in ratios})
    return [top * (below // bottom) for top, bottom in ratios], below


def read_weights(path: str | Path) -> tuple[str, Tensors]:
    """Digest over the sorted (name, dtype, shape, bytes), and the tensors of a safetensors file."""
    data = Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    sha, tensors, table = hashlib.sha256(), {}, json.loads(data[8:start])
    table.pop("__metadata__", None)
    for name, entry in sorted(table.items()):
        raw, shape = data[start:][slice(*entry["data_offsets"])], tuple(entry["shape"])
        code, dtype = TYPES.get(entry["dtype"], ("", entry["dtype"].lower().replace("i", "int")))
        sha.update(f"{name}\0torch.{dtype}\0{shape}\0".encode() + raw)
        values = [v for (v,) in struct.iter_unpack(f"<{code}", raw)] if code else []
        if code == "H":
            values = [struct.unpack("<f", struct.pack("<I", v << 16))[0] for v in values]
        tensors[name] = (dtype, shape, values)
    return sha.hexdigest(), tensors


def literal(node: ast.AST) -> Fraction:
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


def flat(formula: Formula, kind: str) -> list[Formula]:
    return [part for each in formula[1] for part in flat(each, kind)] if formula[0] == kind else [formula]


def decided(formula: Formula, tops: Any) -> bool:
    """Whether upper bounds of its atoms, in order, show that a formula is false."""
    if formula[0] == "atom":
        top = next(tops)
        return bool(top < 0 or (top == 0 and formula[2]))
    return (any if formula[0] == "and" else all)([decided(part, tops) for part in formula[1]])


def linear_map(how: list[Any], tensors: Tensors, units: Any) -> Any:
    """The rows of a map of units, each with the number of its entry in the constant."""
    match how:
        case ["times", factor]:
            yield from enumerate({unit: number(factor)} for unit in units)
        case ["matrix", name, transposed]:
            (rows, columns), w = tensors[name][1:]
            for i in range(columns if transposed else rows):
                row = w[i::columns] if transposed else w[i * columns : (i + 1) * columns]
                yield i, dict(zip(units, row, strict=True))
        case ["conv2d", name, [_, height, width], *axes, groups]:  # axes: stride, padding, dilation
            (out, depth, *window), w = tensors[name][1:]
            spans = zip((height, width), window, *axes, strict=True)
            places = [range((n + 2 * p - d * (k - 1) - 1) // s + 1) for n, k, s, p, d in spans]
            taps = list(product(range(depth), *map(range, window)))
            for channel, *place in product(range(out), *places):
                found, first = dict[int, float](), channel * groups // out * depth
                for (c, *tap), weight in zip(taps, w[channel * len(taps) :], strict=False):
                    y, x = (o * s - p + k * d for o, k, s, p, d in zip(place, tap, *axes, strict=True))
                    if 0 <= y < height and 0 <= x < width:
                        found[units[((first + c) * height + y) * width + x]] = weight
                yield channel, found


class Problem:
    """A claim bound to networks: `parts` together are the formula, `ranges` those of the inputs.

    Units lie in `layers`: the constant 1 and the inputs, then affine forms, or ReLUs of units before them.
    """

    def __init__(self, claim: Any, substitution: Any, networks: dict[str, Any]) -> None:
        declared, given, show, semantics, _ = fields(claim, "for", "given", "show", "semantics", "stated")
        need(semantics in ("real", "float32"), f"unknown semantics {semantics!r}")
        self.single, self.networks, self.called = semantics == "float32", networks, dict[Any, Any]()
        self.groups: dict[str, list[str]] = {}  # names of a variable's components
        self.ranges: dict[str, tuple[Fraction, Fraction, bool]] = {}
        for name, kind, lo, hi, size in declared:
            low, high, listed = number(lo), number(hi), WHOLE[kind]
            fits = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name not in self.groups and size != 0
            need(fits and not (self.single and listed and max(-low, high) > 2**24), f"bad variable {name!r}")
            self.groups[name] = [name] if size is None else [f"{name}[{i}]" for i in range(size)]
            self.ranges |= dict.fromkeys(self.groups[name], (low, high, listed))
        self.layers, self.made, self.work = [range(len(self.ranges) + 1)], dict[int, Any](), 0
        self.width = {False: 128, True: 256}  # of lanes, by whether they are exact
        self.inputs: dict[str, Form] = {name: {u: Fraction(1)} for u, name in enumerate(self.ranges, 1)}
        parts: list[Any] = [] if given is None else [ast.parse(given, mode="eval").body]
        if parts and isinstance(parts[0], ast.BoolOp) and isinstance(parts[0].op, ast.And):
            parts = parts[0].values
        self.gone, found = [name for name, _ in substitution], list[Formula]()
        for name, k in substitution:  # an equality among the inputs is solved for one of them
            (kind, (one, other)), unit = self.statement(parts[k]), 1 + list(self.ranges).index(name)
            equal = kind == "and" and one[0] == other[0] == "atom" and not plus(one[1], other[1])
            need(equal and unit in one[1] and len(self.layers) == 1, f"it does not determine {name}")
            solution = {c: -f.get(unit, 0) / one[1][unit] for c, f in self.inputs.items()}
            self.inputs = {c: plus(f, one[1], solution[c]) for c, f in self.inputs.items()}
        for name in self.gone:
            low, high, _ = self.ranges[name]
            found += [atom(self.inputs[name], {0: low}), atom({0: high}, self.inputs[name])]
        found += map(self.statement, parts)
        self.parts = flat(("and", [*found, negate(self.statement(ast.parse(show, mode="eval").body))]), "and")
        self.finish()

    def add(self, made: list[Any]) -> range:
        """Append units: forms, each with the number of its float32 roundings; or what ReLUs read."""
        self.layers.append(range(self.layers[-1].stop, self.layers[-1].stop + len(made)))
        self.made |= zip(self.layers[-1], made, strict=True)
        return self.layers[-1]

    def finish(self) -> None:
        """Weights as whole multiples of 2^-bits, by the unit that is read; if they are none of 2^-FINE, they
        are rounded down, which the rounding error of the affine unit covers."""
        self.relus = {u: made for u, made in self.made.items() if isinstance(made, int)}
        self.rounded, weights, readers = (
            {},
            dict[tuple[int, int], Any](),
            [[-1, -1] for _ in range(self.layers[-1].stop)],
        )
        for u, (f, k) in ((u, made) for u, made in self.made.items() if u not in self.relus):
            fine = {j: Fraction(Fraction(w) * 2**FINE // 1, 2**FINE) for j, w in f.items()}
            if k * self.single or fine != f:
                self.rounded[u] = (
                    itemgetter(-1, -1, *f),
                    *whole([0, 0, *map(abs, fine.values())]),
                    k * self.single,
                )
            for j, w in fine.items():
                readers[j].append(u)
                weights[j, u] = w
        values, below = whole(weights.values())
        exact, self.bits = dict(zip(weights, values, strict=True)), below.bit_length() - 1
        table = [[exact.get((j, u), 0) for u in units] for j, units in enumerate(readers)]
        self.readers = [(itemgetter(*units), row) for units, row in zip(readers, table, strict=True)]
        self.read = {j for j, units in enumerate(readers) if len(units) > 2} | set(self.relus.values())
        self.norms = [max(sum(map(abs, table[u])) for u in layer) for layer in self.layers]
        self.precise = sum(SLOPE if layer[0] in self.relus else self.bits for layer in self.layers)

    def statement(self, node: Any) -> Any:
        """The formula that a text means."""
        match node:
            case ast.BoolOp(op=op, values=parts):
                return "and" if isinstance(op, ast.And) else "or", list(map(self.statement, parts))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return negate(self.statement(inner))
            case ast.Compare(left=ast.Call(func=ast.Name(id="argmax"), args=args), ops=[ast.Eq()]):
                forms, k = self.vector(*args), int(literal(node.comparators[0]))
                need(k in range(len(forms)), "an argmax that is no place")  # the first of the largest wins
                return "and", [atom(forms[k], f, j < k) for j, f in enumerate(forms) if j != k]
            case ast.Compare(left=left, ops=[ast.LtE() | ast.Lt() | ast.Eq() as op], comparators=[right]):
                a, b = self.form(left), self.form(right)
                less = atom(b, a, isinstance(op, ast.Lt))
                return ("and", [less, atom(a, b)]) if isinstance(op, ast.Eq) else less
        raise ValueError(f"no statement of the language: {ast.dump(node)[:60]}")

    def form(self, node: Any) -> Form:
        """The number that a text means."""
        match node:
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                return plus(self.form(left), self.form(right), 1 if isinstance(op, ast.Add) else -1)
            case ast.BinOp(left=factor, op=ast.Mult(), right=right):
                return plus({}, self.form(right), literal(factor))
            case ast.Subscript(value=base, slice=ast.Constant(value=int(i))):
                return self.vector(base)[i]
            case ast.Name(id=name):
                return self.inputs[name]
            case ast.Call(func=ast.Name(id="max"), args=[one, other]):  # b + relu(a - b), in whole multiples
                gap = plus(self.form(one), b := self.form(other), -1)
                key, (_, below) = repr(sorted(gap.items())), whole(gap.values())
                if key not in self.called:
                    self.called[key] = self.add([*self.add([(plus({}, gap, below), 0)])])[0]
                return plus(b, {self.called[key]: Fraction(1, below)})
        return plus({}, {0: literal(node)})

    def vector(self, *nodes: Any) -> list[Form]:
        """The numbers that texts mean: variables, calls of networks, or single numbers."""
        match nodes:
            case [ast.Name(id=name)]:
                return [self.inputs[component] for component in self.groups[name]]
            case [ast.Call(func=ast.Name(id=name), args=args)] if name in self.networks:
                return self.call(name, self.vector(*args))
            case [node]:
                return [self.form(node)]
        return [form for node in nodes for form in self.vector(node)]

    def call(self, name: str, forms: list[Form]) -> list[Form]:
        """A network on some inputs; equal inputs, and equal calls, are the same units."""
        key = repr([sorted(f.items()) for f in forms])
        if key not in self.called:  # a float32 holds an input, and a small whole constant
            ends = [(len(f), *max(f.items(), default=(0, 0))) for f in forms]
            plain = [
                w == 1 and u in self.layers[0] if u else w == int(w) and abs(w) <= 2**24 for _, u, w in ends
            ]
            rounded = max(size for size, _, _ in ends) > 1 or not all(plain)
            self.called[key] = self.add([(f, rounded) for f in forms])
        if (name, key) not in self.called:
            values, (operations, tensors) = [self.called[key]], self.networks[name]
            for op in operations:
                values.append(self.operation(op, values, tensors))
            self.called[name, key] = [{u: Fraction(1)} for u in values[-1]]
        return list(self.called[name, key])

    def operation(self, op: list[Any], values: list[range], tensors: Tensors) -> range:
        """Append one operation of a network; `values` are the units of its earlier values."""
        match op:
            case ["relu", s]:
                return self.add([*values[s]])
            case ["affine", [*terms], str(const)]:
                shift, total = (
                    tensors[const[1:]][2] if const[0] == "@" else [number(const)],
                    dict[int, Form](),
                )
                for s, *how in terms:
                    for i, (c, row) in enumerate(linear_map(how, tensors, values[s])):
                        start = {0: Fraction(shift[c if len(shift) > 1 else 0])}
                        total[i] = plus(total.get(i, start), {u: Fraction(w) for u, w in row.items()})
                weights = [[w for u, w in f.items() if u] for f in total.values()]
                depth = max(map(len, weights)) - all(abs(w) == 1 for row in weights for w in row)
                depth = max(depth, 0) + any(0 in f for f in total.values())
                return self.add([(f, depth) for f in total.values()])
        raise ValueError(f"unknown operation {op[0]!r}")

    def points(self, box: Box) -> Any:
        """Every point of a box of whole numbers; components that were substituted count no more."""
        spans: list[Any] = []
        for (name, (_, _, listed)), low, high in zip(self.ranges.items(), *box.ends, strict=True):
            one = low == high or name in self.gone
            need(listed or one, f"{name} is not whole")
            spans.append([low] if one else range(-(-low // 1), high // 1 + 1))
        need(prod(map(len, spans)) <= 2**20, "too many points")
        return (Box(self, point, point, box) for point in map(list, product(*spans)))


class Box:
    """Bounds of units, times 2^GRID, where the inputs are in [low, high], a part of the `outer` box."""

    def __init__(self, problem: Problem, low: Any, high: Any, outer: Any = None, exact: bool = False) -> None:
        self.problem, self.ends, self.exact, self.settled = problem, (low, high), exact, False
        ends, self.below = whole([1, *low, 1, *high])
        self.corners = list(zip(ends[: len(ends) // 2], ends[len(ends) // 2 :], strict=True))
        unknown = [float("inf")] * problem.layers[-1].stop
        self.low: list[Any] = [*outer.low] if outer else [-v for v in unknown]
        self.high: list[Any] = [*outer.high] if outer else [*unknown]
        self.sizes: list[Any] = [*outer.sizes] if outer else [*unknown, 0]  # the largest |v|
        self.lines, self.radii, self.depth = (
            dict[int, Any](),
            dict[int, int](),
            outer.depth + 1 if outer else 0,
        )
        for u, (least, most) in enumerate(self.corners):
            self.set(u, (least << GRID) // self.below, -((-most << GRID) // self.below))

    def set(self, unit: int, low: int, high: int) -> None:
        self.low[unit], self.high[unit] = max(self.low[unit], low), min(self.high[unit], high)
        self.sizes[unit] = max(-self.low[unit], self.high[unit], 0)

    def settle(self) -> None:
        """Bound the units that others read, from the first layer to the last, and relax ReLUs."""
        problem, one = self.problem, 1 << SLOPE
        for layer in () if self.settled else problem.layers[1:]:
            for u in layer:
                if u in problem.relus:
                    low, high = self.low[problem.relus[u]], self.high[problem.relus[u]]
                    self.set(u, max(low, 0), max(high, 0))
                    up = high * one // (high - low) if low < 0 < high else one
                    cap = -(-max(-up * low, (one - up) * high) // one) if low < 0 < high else 0
                    self.lines[u] = (
                        one * (high > -low),
                        up,
                        cap,
                    )  # lower slope, upper slope, and its intercept
                elif u in problem.rounded:
                    pick, weights, below, k = problem.rounded[u]
                    size, total = sum(map(mul, pick(self.sizes), weights)), sum(pick(self.sizes))
                    need(not k or (k < 2**20 and size < below << (GRID + 127)), "float32 may overflow")
                    self.radii[u] = -(-size * k // (below * (2**24 - k))) + (total >> (FINE - 1)) + 2
            anew = self.exact and problem.rounded  # rounding errors follow the size of all units
            doubtful = [u for u in layer if u in problem.read and u not in problem.relus]
            doubtful = [u for u in doubtful if anew or self.low[u] < 0 < self.high[u]]
            signs = [{u: sign} for u in doubtful for sign in (1, -1)]
            tops, unit = self.upper(signs, {}) if doubtful else ([], 1)
            for u, top, bottom in zip(doubtful, tops[::2], tops[1::2], strict=True):
                self.set(u, -bottom // unit, -(-top // unit))
        self.settled = True

    def refuted(self, formula: Formula, slopes: dict[int, int]) -> bool:
        """Whether the formula is shown to hold nowhere in the box; `slopes` replace the usual lower ones."""
        self.settle()
        atoms, queue = list[Form](), [formula]
        while queue:
            part = queue.pop(0)
            queue[:0] = [] if part[0] == "atom" else part[1]
            atoms += [part[1]] if part[0] == "atom" else []
        forms = [dict(zip(f, whole(f.values())[0], strict=True)) for f in atoms]
        if decided(formula, iter(self.upper(forms, slopes)[0])):
            return True
        return not self.exact and Box(self.problem, *self.ends, self, True).refuted(formula, slopes)

    def upper(self, forms: list[dict[int, int]], slopes: dict[int, int]) -> tuple[list[int], int]:
        """Upper bounds n / d of forms, in units of 2^-GRID: substitute from the last unit to the first in all
        forms at once, each in a lane of `width` bits. The sum of `found` (coefficients) and `error` 2^-GRID,
        both in units of 2^-keep, is the bound; they are at most `size` and `loss` in any lane."""
        problem, width = self.problem, self.problem.width[self.exact]
        error = loss = size = change = 0
        keep, last = problem.precise if self.exact else KEEP, max((u for f in forms for u in f), default=0)
        ones = ((1 << width * len(forms)) - 1) // ((1 << width) - 1)
        half = ones << (width - 1)  # added to a number, it makes every lane positive

        def negative(number: int) -> int:  # the lanes that are negative, the others as 0
            lifted = number + half
            sign = (lifted & half) ^ half
            return (lifted & ((sign << 1) - (sign >> (width - 1)))) - sign

        def floor(number: int, by: int) -> int:  # every lane divided by 2^by, rounded down
            lifted = number + half
            return ((lifted - (lifted & ((ones << by) - ones))) >> by) - (half >> by)

        found = [0] * (problem.layers[-1].stop + 1)
        for k, (u, value) in ((k, term) for k, terms in enumerate(forms) for term in terms.items()):
            found[u] += value << (width * k + keep)
            size = max(size, abs(value) << keep)
        for layer, norm in zip(reversed(problem.layers), reversed(problem.norms), strict=True):
            ramps = layer[0] in problem.relus
            if layer[0] > last or not (norm or ramps or layer[0] in problem.rounded):
                continue
            change, gaps, lost = size * norm, 0, 0
            size += (change >> problem.bits) + 1
            if max(change, size << SLOPE).bit_length() + 2 > width:
                break
            for u in layer:
                if not self.sizes[u]:  # it is 0 in this box
                    found[u] = 0
                    continue
                pick, weights = problem.readers[u]
                read = pick(found) if norm else ()
                if sums := sum(map(mul, filter(None, read), compress(weights, read))):
                    found[u] += floor(sums, problem.bits)
                    lost += self.sizes[u]
                    problem.work += len(weights) * len(forms)
                if (c := found[u]) and ramps:
                    (down, up, cap), source = self.lines[u], problem.relus[u]
                    if cap:  # it may be on or off
                        minus = negative(c)
                        error += (c - minus) * cap
                        c = floor((c - minus) * up + minus * slopes.get(u, down), SLOPE)
                        gaps, lost = gaps + cap, lost + self.sizes[source]
                    found[source] += c
                elif c and u in problem.rounded:
                    error += (c - 2 * negative(c)) * self.radii[u]
                    gaps += self.radii[u]
            lost = 0 if self.exact else lost
            error, loss, size = error + lost * ones, loss + lost + size * gaps, size << ramps
        reach = sum(abs(v) for ends in self.corners for v in ends)
        if max(size * reach, change, size << SLOPE, loss).bit_length() + 2 > width:
            self.problem.width[self.exact] += 32  # numbers do not fit into their lanes
            return self.upper(forms, slopes)
        corner = 0
        for c, (least, most) in zip(found, self.corners, strict=False):
            minus = negative(c)
            corner += (c - minus) * most + minus * least
        middle, ats = 1 << (width - 1), range(0, width * len(forms), width)
        lanes = (
            [((side + half) >> at & (2 * middle - 1)) - middle for at in ats] for side in (corner, error)
        )
        return [(c << GRID) + e * self.below for c, e in zip(*lanes, strict=True)], self.below << keep


def closed(problem: Problem, box: Box, parts: list[Formula], item: Any) -> bool:
    """Whether the parts exclude each other in the box: one fails, or their sum; or at every point."""
    if item == "points":
        return all(point.refuted(("and", parts), {}) for point in problem.points(box))
    slopes, multipliers = fields(item, "slopes", "sum") if item != 0 else ([], [])
    need(all(type(a) is int and 0 <= a <= 1 << SLOPE for _, a in slopes), "a slope outside [0, 1]")
    total, strict = Form(), False
    for k, text in multipliers:
        need(type(k) is int and k >= 0 and parts[k][0] == "atom", "a multiplier of what is no atom")
        need(number(text) > 0, "a multiplier that is not positive")
        total, strict = plus(total, parts[k][1], number(text)), strict or parts[k][2]
    return box.refuted(("atom", total, strict) if multipliers else ("and", parts), dict(slopes))


def check_proof(problem: Problem, proof: Any) -> int:
    """Walk the tree in preorder, and close every leaf. Gives the number of leaves."""
    low, high, listed = map(list, zip(*problem.ranges.values(), strict=True))
    stack: list[Any] = [(Box(problem, low, high), problem.parts)]
    leaves, failed = 0, []
    for at, item in enumerate(proof):
        need(stack, "the tree has too many nodes")
        box, parts = stack.pop()
        if not isinstance(item, list):
            leaves += 1
            failed += [] if closed(problem, box, parts, item) else [at]
            continue
        kind, k, last = item
        need(type(k) is int and k >= 0, f"node {at}: an index is no index")
        if box.depth % EVERY == 0:
            box.settle()
        if kind == "cut":
            (low, high), left = box.ends, number(last)
            right = left + 1 if listed[k] else left
            need(low[k] <= left < high[k] and right <= high[k], f"node {at}: a cut outside of the box")
            need(not listed[k] or left.denominator == 1, f"node {at}: a cut between whole numbers")
            below, above = [*high[:k], left, *high[k + 1 :]], [*low[:k], right, *low[k + 1 :]]
            children = [(Box(problem, low, below, box), parts), (Box(problem, above, high, box), parts)]
        elif kind == "phase" and last is None:  # a unit is not positive, or not negative
            children = []
            for sign, least, most in ((-1, box.low[k], 0), (1, 0, box.high[k])):
                half = Box(problem, box.ends[0], box.ends[1], box)
                half.set(k, least, most)
                children.append((half, [*parts, atom({k: Fraction(sign)}, {})]))
        else:
            need(kind == "case" and last is None and parts[k][0] == "or", f"node {at}: an unknown split")
            others = parts[:k] + parts[k + 1 :]
            children = [(box, others + flat(part, "and")) for part in flat(parts[k], "or")]
        stack += reversed(children)
    need(not stack, "the tree is not complete")
    need(not failed, f"leaves not closed: {failed}")
    return leaves


def check_witness(problem: Problem, witness: dict[str, str]) -> int:
    """The witness is in scope, and the claim is false of it whatever the roundings."""
    point = [number(value) for value in fields(witness, *problem.ranges)]
    entries = zip(point, problem.ranges.values(), problem.inputs.values(), strict=True)
    for value, (low, high, listed), f in entries:
        need(low <= value <= high and (value.denominator == 1 or not listed), "the witness is out of range")
        need(sum(c * [1, *point][u] for u, c in f.items()) == value, "the witness breaks an equality")
        single = not problem.single or struct.unpack("<f", struct.pack("<f", float(value)))[0] == value
        need(single, "the witness is no float32 point")
    box = Box(problem, point, point)
    need(box.refuted(negate(("and", problem.parts)), {}), "the witness may satisfy the claim")
    return 1


def check(path: Path, weights: dict[str, Tensors]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = ("format", "claim", "networks", "substitution", "verdict", "evidence")
    head, claim, networks, substitution, verdict, evidence, seal = fields(content, *names, "seal")
    body = json.dumps({name: content[name] for name in names}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.certificate/2" and verdict in ("proved", "refuted"), f"unknown: {head!r} {verdict!r}")
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
