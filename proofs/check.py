"""Check certificates of claims about neural networks: one file, standard library only, exact arithmetic.

    python3 -I check.py CERTIFICATE... [--weights W.safetensors ...]

A certificate holds a claim, the networks it speaks of (operations, and digests of their weights), and either
a *proof*, a tree of case splits whose leaves are closed by linear bounds or point by point, or a *witness*,
an input on which the claim fails. This file shares no code with the prover. It trusts `for`, `given`, `show`,
the operations and itself; how the author worded the claim (`stated`) is printed, but not proved. Weights are
found in --weights or beside the certificate as DIGEST.safetensors, and must have the digest.

How a leaf is closed. The claim becomes a formula N that only a counterexample satisfies; its atoms are e >= 0
or e > 0 for linear forms e over the units of a program: the constant 1, inputs, affine forms, ReLUs. A bound
of e on a box is found by substituting units backwards (Singh et al. 2019; Zhang et al. 2018), where
a·v <= relu(v) <= s·v + max(-s·l, (1-s)·u) on [l, u] is sound for any a, s in [0, 1]. In "float32" an affine
unit may be off by g (|M||v| + |c|) + k 2^-126, where g = k u / (1 - k u), u = 2^-24 (Higham 2002, 3.1).

How it is computed. Everything is a whole number; many forms are substituted at once, side by side in lanes of
one long integer. Coefficients are rounded down to multiples of 2^-KEEP; what that may hide, |v| for each, is
added to the bound. A box takes over the intervals of the box it was cut from, and bounds anew only what may
have either sign. What stays open so is tried again with everything bounded anew, and nothing rounded.
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
from itertools import product
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
        begin, end = entry["data_offsets"]
        raw, shape = data[start + begin : start + end], tuple(entry["shape"])
        code, dtype = TYPES.get(entry["dtype"], ("", entry["dtype"].lower().replace("i", "int")))
        sha.update(f"{name}\0torch.{dtype}\0{shape}\0".encode() + raw)
        values = list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw)) if code else []
        if code == "H":
            values = [struct.unpack("<f", struct.pack("<I", v << 16))[0] for v in values]
        tensors[name] = (dtype, shape, values)
    return sha.hexdigest(), tensors


def plus(a: Form, b: Form, factor: Any = 1) -> Form:
    need(isinstance(a, dict) and isinstance(b, dict), "arithmetic of what is no number")
    total = {unit: a.get(unit, 0) + b.get(unit, 0) * factor for unit in {**a, **b}}
    return {unit: value for unit, value in total.items() if value}


def times(a: Form, b: Form, power: int = 1) -> Form:
    a, b = (b, a) if power == 1 and set(a) <= {0} else (a, b)
    need(set(b) <= {0}, "not linear")
    return plus({}, a, b.get(0, Fraction(0)) ** power)


def atom(large: Form, small: Form, strict: bool = False) -> Formula:
    return "atom", plus(large, small, -1), strict


def negate(formula: Formula) -> Formula:
    need(isinstance(formula, tuple), "a number in the place of a statement")
    if formula[0] == "atom":
        return atom({}, formula[1], not formula[2])
    return "or" if formula[0] == "and" else "and", [negate(part) for part in formula[1]]


def flat(formula: Formula, kind: str) -> list[Formula]:
    return [part for each in formula[1] for part in flat(each, kind)] if formula[0] == kind else [formula]


def atoms(formula: Formula) -> list[Form]:
    need(isinstance(formula, tuple), "a number in the place of a statement")
    return [formula[1]] if formula[0] == "atom" else [form for part in formula[1] for form in atoms(part)]


def decided(formula: Formula, tops: Any) -> bool:
    """Whether upper bounds of its atoms, in order, show that a formula is false."""
    if formula[0] == "atom":
        top = next(tops)
        return bool(top < 0 or (top == 0 and formula[2]))
    return (any if formula[0] == "and" else all)([decided(part, tops) for part in formula[1]])


WORDS: dict[type, Any] = {
    ast.Add: plus,
    ast.Sub: lambda a, b: plus(a, b, -1),
    ast.Mult: times,
    ast.Div: lambda a, b: times(a, b, -1),
    ast.USub: lambda a: plus({}, a, -1),
    ast.LtE: lambda a, b: atom(b, a),
    ast.Lt: lambda a, b: atom(b, a, True),
    ast.GtE: atom,
    ast.Gt: lambda a, b: atom(a, b, True),
    ast.Eq: lambda a, b: ("and", [atom(b, a), atom(a, b)]),
    ast.Not: negate,
    ast.And: lambda *parts: ("and", [*parts]),
    ast.Or: lambda *parts: ("or", [*parts]),
}


def dense(shape: Any, entries: list[float], transposed: bool) -> Any:
    for i in range(shape[1] if transposed else shape[0]):
        row = entries[i :: shape[1]] if transposed else entries[i * shape[1] : (i + 1) * shape[1]]
        yield i, dict(enumerate(row))


def convolution(shape: Any, entries: list[float], image: list[int], *geometry: Any) -> Any:
    """Rows of a convolution (stride, padding, dilation, groups), each with its channel."""
    (out, depth, *window), (_, height, width), (*axes, groups) = shape, image, geometry
    spans = zip((height, width), window, *axes, strict=True)
    places = [range((n + 2 * p - d * (k - 1) - 1) // stride + 1) for n, k, stride, p, d in spans]
    taps = list(product(range(depth), *map(range, window)))
    for channel, *place in product(range(out), *places):
        row, group = {}, channel * groups // out
        for (c, *tap), weight in zip(taps, entries[channel * len(taps) :], strict=False):
            y, x = (o * s - p + k * d for o, k, s, p, d in zip(place, tap, *axes, strict=True))
            if 0 <= y < height and 0 <= x < width:
                row[((group * depth + c) * height + y) * width + x] = weight
        yield channel, row


class Program:
    """Units in `layers`: the constant 1 and the inputs, then affine forms, or ReLUs of units before them."""

    def __init__(self, size: int) -> None:
        self.layers, self.made = [range(size + 1)], dict[int, Any]()
        self.work, self.width = 0, {False: 128, True: 256}  # of lanes, by whether they are exact

    def add(self, made: list[Any]) -> range:
        """Append units: forms, each with the number of its float32 roundings; or what ReLUs read."""
        self.layers.append(range(self.layers[-1].stop, self.layers[-1].stop + len(made)))
        self.made |= zip(self.layers[-1], made, strict=True)
        return self.layers[-1]

    def operation(self, op: list[Any], values: list[Any], tensors: Tensors) -> range:
        """Append one operation of a network; `values` are the units of its earlier values."""
        match op:
            case ["relu", s]:
                return self.add(list(values[s]))
            case ["sum", [first, *_] as sources, [*texts], str(const)]:
                factors = [number(text) for text in texts]
                shift = tensors[const[1:]][2] if const[0] == "@" else [number(const)] * len(values[first])
                forms, depth = [plus({}, {0: c}) for c in shift], sum(abs(f) != 1 for f in factors) - 1
                for s, factor in zip(sources, factors, strict=True):
                    forms = [plus(f, {u: factor}) for f, u in zip(forms, values[s], strict=True)]
                return self.add([(f, depth + len(sources) + any(shift)) for f in forms])
            case ["linear" | "conv2d" as kind, s, weight, bias, *layout]:
                rows = list((dense if kind == "linear" else convolution)(*tensors[weight][1:], *layout))
                shift = tensors[bias][2] if bias is not None else [0.0] * len(rows)
                forms = [{values[s][j]: w for j, w in row.items() if w} for _, row in rows]
                depth = max(map(len, forms)) + any(shift)
                return self.add(
                    [(plus(f, {0: shift[c]}), depth) for f, (c, _) in zip(forms, rows, strict=True)]
                )
        raise ValueError(f"unknown operation {op[0]!r}")

    def finish(self, rounding: bool) -> None:
        """Weights as whole multiples of 2^-bits, by the unit that is read; if they are none of 2^-FINE, they
        are rounded down, which the rounding error of the affine unit covers."""
        self.relus = {u: made for u, made in self.made.items() if isinstance(made, int)}
        forms = {u: made for u, made in self.made.items() if u not in self.relus}
        fine = {
            u: [Fraction(Fraction(w) * 2**FINE // 1, 2**FINE) for w in f.values()]
            for u, (f, _) in forms.items()
        }
        numbers, below = whole(w for f in fine.values() for w in f)
        queue, readers = iter(numbers), [([-1, -1], [0, 0]) for _ in range(self.layers[-1].stop)]
        for u, j in ((u, j) for u, (f, _) in forms.items() for j in f):
            readers[j][0].append(u)
            readers[j][1].append(next(queue))
        self.bits, sources = below.bit_length() - 1, set(self.relus.values())
        self.readers = [(itemgetter(*units), weights) for units, weights in readers]
        self.read = [len(units) > 2 or u in sources for u, (units, _) in enumerate(readers)]
        self.norms = [max(sum(map(abs, readers[u][1])) for u in layer) for layer in self.layers]
        self.precise = sum(SLOPE if layer[0] in self.relus else self.bits for layer in self.layers)
        self.rounded = {}
        for u, (f, k) in forms.items():
            if k * rounding or [*f.values()] != fine[u]:
                self.rounded[u] = itemgetter(-1, -1, *f), *whole([0, 0, *map(abs, fine[u])]), k * rounding


class Problem:
    """A claim bound to networks: `parts` together are N, over the `ranges` of the declared components."""

    def __init__(self, claim: Any, substitution: Any, networks: dict[str, Any]) -> None:
        declared, given, show, semantics, _ = fields(claim, "for", "given", "show", "semantics", "stated")
        need(semantics in ("real", "float32"), f"unknown semantics {semantics!r}")
        self.rounding, self.networks, self.called = semantics == "float32", networks, dict[Any, Any]()
        self.groups: dict[str, list[str]] = {}  # names of a variable's components
        self.ranges: dict[str, tuple[Fraction, Fraction, bool]] = {}
        for name, kind, lo, hi, size in declared:
            fits = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name not in self.groups and size != 0
            low, high, listed = number(lo), number(hi), WHOLE[kind]
            single = not (self.rounding and listed) or max(-low, high) <= 2**24
            need(fits and single, f"a variable that is named twice, empty, or exceeds float32: {name!r}")
            self.groups[name] = [name] if size is None else [f"{name}[{i}]" for i in range(size)]
            self.ranges |= dict.fromkeys(self.groups[name], (low, high, listed))
        self.program = Program(len(self.ranges))
        self.inputs: dict[str, Form] = {name: {u: Fraction(1)} for u, name in enumerate(self.ranges, 1)}
        parts: list[Any] = [] if given is None else [ast.parse(given, mode="eval").body]
        if parts and isinstance(parts[0], ast.BoolOp) and isinstance(parts[0].op, ast.And):
            parts = parts[0].values
        for name, k in substitution:
            self.substitute(1 + list(self.ranges).index(name), parts[k])
        self.gone, found = [name for name, _ in substitution], list[Formula]()
        for name in self.gone:
            low, high, _ = self.ranges[name]
            found += [atom(self.inputs[name], {0: low}), atom({0: high}, self.inputs[name])]
        found += map(self.of, parts)
        found.append(negate(self.of(ast.parse(show, mode="eval").body)))
        need(atoms(("and", found)), "nothing is claimed")
        self.parts = flat(("and", found), "and")
        self.program.finish(self.rounding)

    def substitute(self, unit: int, part: Any) -> None:
        """Solve an equality among the inputs for one of them."""
        need(isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Eq), "it is no equality")
        zero = plus(self.of(part.left), self.of(part.comparators[0]), -1)
        need(unit in zero and len(self.program.layers) == 1, "it does not determine the input")
        self.inputs = {c: plus(f, zero, -f.get(unit, 0) / zero[unit]) for c, f in self.inputs.items()}

    def of(self, node: Any) -> Any:
        """The meaning of a text: a form, a list of forms for a vector, or a formula."""
        match node:
            case ast.Constant(value=int(value)):
                return plus({}, {0: Fraction(value)})
            case ast.Name(id=name):
                forms = [self.inputs[component] for component in self.groups[name]]
                return forms[0] if self.groups[name] == [name] else forms
            case ast.Subscript(value=base, slice=ast.Constant(value=int(i))):
                return self.vectors(base)[i]
            case ast.Call(func=ast.Name(id="max"), args=[one, other], keywords=[]):
                return self.larger(self.of(one), self.of(other))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, self.vectors(*args))
            case ast.Compare(left=ast.Call(func=ast.Name(id="argmax"), args=args), ops=[ast.Eq()]):
                forms, k = self.vectors(*args), ast.literal_eval(node.comparators[0])
                need(k in range(len(forms)), "an argmax that is no place")  # the first of the largest wins
                return "and", [atom(forms[k], f, j < k) for j, f in enumerate(forms) if j != k]
            case ast.BinOp(left=a, op=op, right=b) | ast.Compare(left=a, ops=[op], comparators=[b]):
                return WORDS[type(op)](self.of(a), self.of(b))
            case ast.UnaryOp(op=op, operand=inner):
                return WORDS[type(op)](self.of(inner))
            case ast.BoolOp(op=op, values=parts):
                return WORDS[type(op)](*map(self.of, parts))
        raise ValueError(f"not in the language: {ast.dump(node)[:60]}")

    def vectors(self, *nodes: Any) -> list[Form]:
        values = [self.of(node) for node in nodes]
        return [plus(f, {}) for value in values for f in (value if isinstance(value, list) else [value])]

    def larger(self, a: Form, b: Form) -> Form:
        """max(a, b) = b + relu(a - b), the difference in whole multiples."""
        gap = plus(a, b, -1)
        key, (_, below) = repr(sorted(gap.items())), whole(gap.values())
        if key not in self.called:
            self.called[key] = self.program.add([*self.program.add([(plus({}, gap, below), 0)])])[0]
        return plus(b, {self.called[key]: Fraction(1, below)})

    def call(self, name: str, forms: list[Form]) -> list[Form]:
        """A network on some inputs; equal inputs, and equal calls, are the same units."""
        inputs, key = self.program.layers[0], repr([sorted(f.items()) for f in forms])
        if key not in self.called:
            single = [[*f.values()] == [1] and max(f) in inputs[1:] for f in forms]
            small = [set(f) <= {0} and abs(c := f.get(0, 0)) <= 2**24 and c == int(c) for f in forms]
            rounded = [(f, not all(map(max, single, small))) for f in forms]  # unless float32 holds all
            self.called[key] = list(map(max, forms)) if all(single) else self.program.add(rounded)
        if (name, key) not in self.called:
            values = [self.called[key]]
            for op in self.networks[name][0]:
                values.append(self.program.operation(op, values, self.networks[name][1]))
            self.called[name, key] = [{u: Fraction(1)} for u in values[-1]]
        return list(self.called[name, key])

    def points(self, box: Box) -> Any:
        """Every point of a box of whole numbers; components that were substituted count no more."""
        spans: list[Any] = []
        for (name, (_, _, listed)), low, high in zip(self.ranges.items(), *box.ends, strict=True):
            one = low == high or name in self.gone
            need(listed or one, f"{name} is not whole")
            spans.append([low] if one else range(-(-low // 1), high // 1 + 1))
        need(prod(map(len, spans)) <= 2**20, "too many points")
        return (Box(self.program, point, point, box) for point in map(list, product(*spans)))


class Box:
    """Bounds of units, times 2^GRID, where the inputs are in [low, high], a part of the `outer` box."""

    def __init__(self, program: Program, low: Any, high: Any, outer: Any = None, exact: bool = False) -> None:
        self.program, self.ends, self.exact, self.settled = program, (low, high), exact, False
        ends, self.below = whole([1, *low, 1, *high])
        self.corners = list(zip(ends[: len(ends) // 2], ends[len(ends) // 2 :], strict=True))
        open_ends = [float("inf")] * program.layers[-1].stop
        self.low: list[Any] = [*outer.low] if outer else [-v for v in open_ends]
        self.high: list[Any] = [*outer.high] if outer else open_ends[:]
        self.sizes: list[Any] = [*outer.sizes] if outer else [*open_ends, 0]  # the largest |v|
        self.depth: int = outer.depth + 1 if outer else 0
        self.lines, self.radii = dict[int, tuple[int, int, int]](), dict[int, int]()
        for u, (least, most) in enumerate(self.corners):
            self.set(u, (least << GRID) // self.below, -((-most << GRID) // self.below))

    def set(self, unit: int, low: int, high: int) -> None:
        self.low[unit], self.high[unit] = max(self.low[unit], low), min(self.high[unit], high)
        self.sizes[unit] = max(-self.low[unit], self.high[unit], 0)

    def settle(self) -> None:
        """Bound the units that others read, from the first layer to the last, and relax ReLUs."""
        program, one = self.program, 1 << SLOPE
        for layer in () if self.settled else program.layers[1:]:
            for u in layer:
                if u in program.relus:
                    low, high = self.low[program.relus[u]], self.high[program.relus[u]]
                    self.set(u, max(low, 0), max(high, 0))
                    up = high * one // (high - low) if low < 0 < high else one
                    cap = -(-max(-up * low, (one - up) * high) // one) if low < 0 < high else 0
                    self.lines[u] = (
                        one * (high > -low),
                        up,
                        cap,
                    )  # lower slope, upper slope, and its intercept
                elif u in program.rounded:
                    pick, weights, below, k = program.rounded[u]
                    size, total = sum(map(mul, pick(self.sizes), weights)), sum(pick(self.sizes))
                    need(not k or (k < 2**20 and size < below << (GRID + 127)), "float32 may overflow")
                    self.radii[u] = -(-size * k // (below * (2**24 - k))) + (total >> (FINE - 1)) + 2
            doubtful = [u for u in layer if program.read[u] and u not in program.relus]
            anew = self.exact and program.rounded  # rounding errors follow the size of all units
            doubtful = [u for u in doubtful if anew or self.low[u] < 0 < self.high[u]]
            tops, unit = self.upper([{u: sign} for u in doubtful for sign in (1, -1)], {})
            for u, top, bottom in zip(doubtful, tops[::2], tops[1::2], strict=True):
                self.set(u, -bottom // unit, -(-top // unit))
        self.settled = True

    def refuted(self, formula: Formula, slopes: dict[int, int]) -> bool:
        """Whether the formula is shown to hold nowhere in the box; `slopes` replace the usual lower ones."""
        self.settle()
        forms = [dict(zip(f, whole(f.values())[0], strict=True)) for f in atoms(formula)]
        if decided(formula, iter(self.upper(forms, slopes)[0])):
            return True
        return not self.exact and Box(self.program, *self.ends, self, exact=True).refuted(formula, slopes)

    def upper(self, forms: list[dict[int, int]], slopes: dict[int, int]) -> tuple[list[int], int]:
        """Upper bounds n / d of forms, in units of 2^-GRID."""
        while (found := self.substituted(forms, slopes, self.program.width[self.exact])) is None:
            self.program.width[self.exact] += 32
        return found

    def substituted(self, forms: Any, slopes: dict[int, int], width: int) -> tuple[list[int], int] | None:
        """Substitute from the last unit to the first in all forms at once, each in a lane of `width` bits.

        The sum of `found` (coefficients) and `error` 2^-GRID, both in units of 2^-keep, is the bound; they
        are at most `size` and `loss` in any lane. None where these do not fit into a lane.
        """
        program, error, loss, size = self.program, 0, 0, 0
        keep, bits = program.precise if self.exact else KEEP, program.bits
        last = max((u for terms in forms for u in terms), default=0)
        ones = ((1 << width * len(forms)) - 1) // ((1 << width) - 1)
        half = ones << (width - 1)  # added to a number, it makes every lane positive

        def negative(number: int) -> int:
            """The lanes that are negative, the others as 0."""
            lifted = number + half
            sign = (lifted & half) ^ half
            return (lifted & ((sign << 1) - (sign >> (width - 1)))) - sign

        def floor(number: int, by: int) -> int:
            """Every lane divided by 2^by, rounded down."""
            lifted = number + half
            return ((lifted - (lifted & ((ones << by) - ones))) >> by) - (half >> by)

        found = [0] * (program.layers[-1].stop + 1)
        for k, (u, value) in ((k, term) for k, terms in enumerate(forms) for term in terms.items()):
            found[u] += value << (width * k + keep)
            size = max(size, abs(value) << keep)
        for layer, norm in zip(reversed(program.layers), reversed(program.norms), strict=True):
            ramps = layer[0] in program.relus
            if layer[0] > last or not (norm or ramps or layer[0] in program.rounded):
                continue
            change, gaps, lost = size * norm, 0, 0
            size += (change >> bits) + 1
            if max(change, size << SLOPE).bit_length() + 2 > width:
                return None
            for u in layer:
                if not self.sizes[u]:  # it is 0 in this box
                    found[u] = 0
                    continue
                pick, weights = program.readers[u]
                if norm and (sums := sum(map(mul, pick(found), weights))):
                    found[u] += floor(sums, bits)
                    lost += self.sizes[u]
                    program.work += len(weights) * len(forms)
                if (c := found[u]) and ramps:
                    (down, up, cap), source = self.lines[u], program.relus[u]
                    if cap:  # it may be on or off
                        minus = negative(c)
                        error += (c - minus) * cap
                        c = floor((c - minus) * up + minus * slopes.get(u, down), SLOPE)
                        gaps, lost = gaps + cap, lost + self.sizes[source]
                    found[source] += c
                elif c and u in program.rounded:
                    error += (c - 2 * negative(c)) * self.radii[u]
                    gaps += self.radii[u]
            if not self.exact:
                error, loss = error + lost * ones, loss + lost
            loss, size = loss + size * gaps, size << ramps
        corner = 0
        if max(size * sum(abs(v) for ends in self.corners for v in ends), loss).bit_length() + 2 > width:
            return None
        for c, (least, most) in zip(found, self.corners, strict=False):
            minus = negative(c)
            corner += (c - minus) * most + minus * least
        mask, middle, tops = (1 << width) - 1, 1 << (width - 1), []
        for at in range(0, width * len(forms), width):
            c, e = (((side + half) >> at & mask) - middle for side in (corner, error))
            tops.append((c << GRID) + e * self.below)
        return tops, self.below << keep


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
    stack: list[Any] = [(Box(problem.program, low, high), problem.parts)]
    leaves, failed, program = 0, [], problem.program
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
            left_high, right_low = [*high[:k], left, *high[k + 1 :]], [*low[:k], right, *low[k + 1 :]]
            halves = Box(program, low, left_high, box), Box(program, right_low, high, box)
            children = [(half, parts) for half in halves]
        elif kind == "phase" and last is None:  # a unit is not positive, or not negative
            children = []
            for sign, least, most in ((-1, box.low[k], 0), (1, 0, box.high[k])):
                half = Box(program, box.ends[0], box.ends[1], box)
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
        single = not problem.rounding or struct.unpack("<f", struct.pack("<f", float(value)))[0] == value
        need(single, "the witness is no float32 point")
    box = Box(problem.program, point, point)
    need(box.refuted(negate(("and", problem.parts)), {}), "the witness may satisfy the claim")
    return 1


def check(path: Path, weights: dict[str, Tensors]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = ("format", "claim", "networks", "substitution", "verdict", "evidence")
    head, claim, networks, substitution, verdict, evidence, seal = fields(content, *names, "seal")
    body = json.dumps({name: content[name] for name in names}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.certificate/2", f"unknown format {head!r}")
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
    work = f"{count} leaves, {problem.program.work} multiplications"
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
