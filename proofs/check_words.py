"""Check certificates of accuracy bounds of networks that multiply: one file, standard library only.

    python3 -I check_words.py CERTIFICATE... [--weights W.safetensors ...]

A certificate says of how many of the n^K words of K symbols it is proved that a network answers with the
state that an automaton is led to: Zn adds modulo n, Sm multiplies permutations of m things in lexicographic
order, "first a, then b", Dm counts open brackets (0 opens, 1 closes; m + 1 once they are below 0 or above m).
The network is one of
  complex products   h = Z[x_1] * ... * Z[x_K], coordinate by coordinate; logit_j = Re sum_k h_k conj(V_kj);
                     Z [n, d, 2] and W [d, 2, n] hold real and imaginary parts, V = W[:, 0] + i W[:, 1];
  matrix products    h = start M[x_1] ... M[x_K], logits h U, with start [d], M [n, d, d], U [d, n].
The certificate holds the digest of the weights, the form of the proof, and what it was told; all else is
computed here, in exact integers. This file shares no code with the prover. Weights are found in --weights or
beside it as DIGEST.safetensors.

Form "fourier" (complex products; told: a frequency f for each coordinate). With w = exp(2 pi i / n), let
|Z_k[x] - a_k w^(f x)| <= e_k[x] and |V_kj - b_k w^(f j)| <= o_k[j]. Then, for a word with sum s,
  |h_k - a_k^K w^(f s)| <= prod_t (|a_k| + e_k[x_t]) - |a_k|^K =: R_k   and   logit_s - logit_j >=
  Re sum_k a_k^K conj(b_k) (1 - w^(f (s - j))) - sum_k R_k |b_k| |1 - w^(f (s - j))| - H_s - H_j
with H_j = sum_k (|a_k|^K + R_k) o_k[j]. Any a, b are sound, and so is any larger |a| in R.

Form "pairs" (told: states b, whose c_b form a basis). Let c_s be the network's state after a word that leads
to s (in a group, s; else as many opening brackets, or "()", or ")"), s x where x leads from s, and
  c_s M[x] = m (c_(s x) + sum_b g_b c_b)   with sum |g_b| <= e, for all s and x.
Numbers told that are no states are coordinates: further c, of which M[x] / m may make at most q. A state
c_s + sum_b g_b c_b, sum |g| <= r, becomes m (c_(s x) + ...) with sum <= r max(1 + e, q) + e. So r is known
after K symbols, and with L = c U logit_s is the largest if L_ss - L_sj > r max_t |L_ts - L_tj| for all j.

Words (form "fourier"): symbols that are "apart" are a class of their own; for each number c of them that a
word may hold, its R is at most that of c of the worst of all symbols, K - c of the worst of the others.
Semantics "float32": any order of summation, FMA or not, no TF32, underflow covered.

Numbers are in units of 2^-60 unless said otherwise, and every bound is rounded to the safe side.
"""

# ruff: noqa: D101, D102, D103
from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import compress, permutations
from math import comb, isqrt, prod
from operator import add, mul
from pathlib import Path
from typing import Any

P, COARSE = 60, 30
MOST = {"Z": 1024, "S": 6, "D": 64}
ONE = 1 << P
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
FIELDS = ("format", "weights", "automaton", "K", "semantics", "form", "apart", "told", "certified", "of")
Matrix = list[list[int]]
Complex = tuple[int, int]
Tensor = tuple[tuple[int, ...], list[Fraction]]
Named = dict[str, Tensor]
Tensors = tuple[bool, Named]
Integers = dict[str, list[int]]
Shapes = dict[str, tuple[int, ...]]


def need(condition: object, why: str) -> None:
    if not condition:
        raise ValueError(why)


def read_weights(path: Path) -> tuple[str, Tensors]:
    """Digest over the sorted (name, dtype, shape, bytes); whether all are float32, and the tensors."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    sha, tensors = hashlib.sha256(), {}
    for name in sorted(header):
        code, word = TYPES[header[name]["dtype"]]
        shape = tuple(header[name]["shape"])
        first, last = header[name]["data_offsets"]
        raw = data[start + first : start + last]
        sha.update(f"{name}\0torch.{word}\0{shape}\0".encode() + raw)
        plain: tuple[Any, ...] = struct.unpack(f"<{prod(shape)}{code}", raw)
        if code == "H":
            plain = tuple(struct.unpack("<f", struct.pack("<I", bits << 16))[0] for bits in plain)
        tensors[name] = shape, [Fraction(x) for x in plain]
    return sha.hexdigest(), (all(entry["dtype"] == "F32" for entry in header.values()), tensors)


def up(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def size(x: int, y: int) -> int:
    """|x + i y|, rounded up."""
    return isqrt(x * x + y * y) + 1


def roots(n: int) -> list[Complex]:
    """exp(2 pi i j / n), either part to the nearest unit: 90 more places, fewer than 2^20 units lost."""
    fine = P + 90
    half, two_pi = fine - 1, 0
    for factor, q in ((32, 5), (-8, 239)):  # Machin: pi = 16 arctan(1/5) - 4 arctan(1/239)
        power, k = (1 << fine) // q, 1
        while power:
            two_pi += factor * power // k * (-1) ** (k // 2)
            power, k = power // (q * q), k + 2
    found = []
    for j in range(n):
        angle, term, parts, k = two_pi * j // n, 1 << fine, [0, 0], 0
        while term:
            parts[k % 2] += term * (-1) ** (k // 2)
            k += 1
            term = (term * angle >> fine) // k
        found.append(((parts[0] + (1 << half - P)) >> fine - P, (parts[1] + (1 << half - P)) >> fine - P))
    return found


def times(a: Matrix, b: Matrix) -> Matrix:
    columns = [list(column) for column in zip(*b, strict=True)]
    return [[sum(map(mul, row, column)) for column in columns] for row in a]


def inverse(rows: Matrix, shift: int) -> Matrix:
    """Of a matrix of whole numbers 2^shift times the inverse, rounded down: fraction-free elimination."""
    d, last = len(rows), 1
    m = [row + [int(i == j) for j in range(d)] for i, row in enumerate(rows)]
    for k in range(d):
        at = next((i for i in range(k, d) if m[i][k]), None)
        need(at is not None, "the states told are no basis")
        m[k], m[at or k] = m[at or k], m[k]
        pivot, own = m[k][k], m[k]
        for i in range(d):
            if i != k:
                factor = m[i][k]
                m[i] = [(pivot * x - factor * y) // last for x, y in zip(m[i], own, strict=True)]
        last = pivot
    return [[(x << shift) // row[i] for x in row[d:]] for i, row in enumerate(m)]


def transitions(name: Any) -> Matrix:
    """Where symbol x leads from state s, at [s][x]; words begin in state 0."""
    need(isinstance(name, str) and name[:1] in MOST and name[1:].isdecimal(), f"no automaton: {name!r}")
    number = int(name[1:])
    need(name == name[0] + str(number) and 1 + (name[0] != "D") <= number <= MOST[name[0]], f"no {name}")
    if name[0] == "D":
        broken = number + 1
        counts = [[s + 1, s - 1 if s else broken] for s in range(number)]
        return [*counts, [broken, number - 1], [broken, broken]]
    if name[0] == "Z":
        return [[(a + b) % number for b in range(number)] for a in range(number)]
    listed = list(permutations(range(number)))
    at = {element: i for i, element in enumerate(listed)}
    return [[at[tuple(b[i] for i in a)] for b in listed] for a in listed]


def leading(table: Matrix, K: int, bad: set[int], copies: int) -> list[int]:
    """How many words with so many symbols of `bad` lead to each state."""
    n = len(table)
    counts = [[0] * n for _ in range(copies + 1)]
    counts[0][0] = 1  # the empty word
    for _ in range(K):
        longer = [[0] * n for _ in range(copies + 1)]
        for c, many in enumerate(counts):
            for s in filter(many.__getitem__, range(n)):
                for x, to in enumerate(table[s]):
                    if c + (x in bad) <= copies:
                        longer[c + (x in bad)][to] += many[s]
        counts = longer
    return counts[copies]


# --- the two forms: which states are `safe` -------------------------------------------------------------


class Fourier:
    def __init__(self, tensors: Named, table: Matrix, K: int, told: Any, apart: Any, single: bool) -> None:
        need(set(tensors) == {"Z", "W"}, "form fourier: expected the tensors Z and W")
        (shape, Z), (other, W) = tensors["Z"], tensors["W"]
        self.n, self.K, self.single = len(table), K, single
        n = self.n
        need(len(shape) == 3 and shape[::2] == (n, 2) and other == (shape[1], 2, n), f"shapes: {shape}")
        self.d = d = shape[1]
        need(table[1] == [*range(1, n), 0], "form fourier: for sums alone")
        need(len(told) == d and all(f < n for f in told), "expected a frequency for each coordinate")
        z, w = ([(x.numerator << P) // x.denominator for x in tensor] for tensor in (Z, W))
        self.told, self.roots = told, roots(n)
        self.good = [x for x in range(n) if x not in apart]
        factors = [[(z[2 * (x * d + k)], z[2 * (x * d + k) + 1]) for x in range(n)] for k in range(d)]
        answers = [[(w[2 * k * n + j], w[2 * k * n + n + j]) for j in range(n)] for k in range(d)]
        self.a, self.e = zip(*map(self.fit, told, factors, [self.good] * d), strict=True)
        self.b, self.o = zip(*map(self.fit, told, answers, [range(n)] * d), strict=True)
        self.A, self.B = ([size(*one) << P - COARSE for one in many] for many in (self.a, self.b))
        if single:  # a product is off by sqrt(2) gamma_2 < 2^-22 of its modulus, which is at most |a| + e
            rows = list(zip(self.A, self.e, strict=True))
            self.e = tuple([e + (A + e >> 22) + 1 for e in row] for A, row in rows)
            most = max(map(add, self.A, map(max, self.e)))
            need(most**K < ONE**K << 40, "factors so large that float32 might overflow")
        self.main = [self.power(a, b) for a, b in zip(self.a, self.b, strict=True)]
        self.chord = [size(ONE - c, s) + 2 for c, s in self.roots]

    def fit(self, f: int, values: list[Complex], at: Sequence[int]) -> tuple[Complex, list[int]]:
        """An amplitude in units of 2^-30, fitted at some places, and by how much each value is off."""
        turns = [self.roots[f * x % self.n] for x in range(self.n)]
        unit, fitted = len(at) << 2 * P - COARSE, [(*values[i], *turns[i]) for i in at]
        a = sum(x * c + y * s for x, y, c, s in fitted) // unit
        b = sum(y * c - x * s for x, y, c, s in fitted) // unit
        slack = 5 + 2 * up(size(a, b), 1 << COARSE)  # values, roots and products are rounded
        modes = [(a * c - b * s >> COARSE, a * s + b * c >> COARSE) for c, s in turns]
        return (a, b), [size(x - u, y - v) + slack for (x, y), (u, v) in zip(values, modes, strict=True)]

    def power(self, a: Complex, b: Complex) -> Complex:
        """a^K conj(b), rounded down."""
        x, y = b[0], -b[1]
        for _ in range(self.K):
            x, y = x * a[0] - y * a[1], x * a[1] + y * a[0]
        return x >> COARSE * (self.K + 1) - P, y >> COARSE * (self.K + 1) - P

    def safe(self, copies: int) -> list[bool]:
        n, extra = self.n, self.single << 10  # 2^10 units cover underflow
        most, R = [], []
        for A, e in zip(self.A, self.e, strict=True):
            good = max(e[x] for x in self.good)
            top = (A + good) ** (self.K - copies) * (A + max(e)) ** copies
            most.append(up(top, ONE ** (self.K - 1)) + extra)
            R.append(up(top - A**self.K, ONE ** (self.K - 1)) + extra)
        gaps = [self.gap(delta, R) for delta in range(1, n)]
        H = [sum(up(m * o[j], ONE) for m, o in zip(most, self.o, strict=True)) for j in range(n)]
        if self.single:  # a sum of 2 d products
            g, sizes = 2 * self.d + 2, list(zip(most, self.B, self.o, strict=True))
            weighed = [sum(up(m * (B + o[j]), ONE) for m, B, o in sizes) for j in range(n)]
            H = [h + up(w * g, (1 << 24) - g) + extra for h, w in zip(H, weighed, strict=True)]
        return [min(gaps) - max(H) - h > 0 for h in H]

    def gap(self, delta: int, R: list[int]) -> int:
        total = 0
        for f, (x, y), r, B in zip(self.told, self.main, R, self.B, strict=True):
            c, s = self.roots[f * delta % self.n]
            total += (x * (ONE - c) + y * s >> P) - 5 - 2 * up(size(x, y), ONE)
            total -= up(up(r * B, ONE) * self.chord[f * delta % self.n], ONE)
        return total


class Pairs:
    def __init__(self, tensors: Named, table: Matrix, K: int, told: Any, apart: Any, single: bool) -> None:
        need(apart == [], "form pairs: no symbols can be apart")
        self.n, self.m, self.K, self.single = len(table[0]), len(table), K, single
        self.shift = max(x.denominator for _, entries in tensors.values() for x in entries).bit_length() - 1
        one = 1 << self.shift
        whole = {name: [int(x * one) for x in entries] for name, (_, entries) in tensors.items()}
        shapes = {name: shape for name, (shape, _) in tensors.items()}
        self.looked_up = set(shapes) == {"Z", "W"}
        (self.complex if self.looked_up else self.matrices)(whole, shapes)
        self.D = D = len(self.U)
        need(len(told) == len(set(told)) == D and all(b < self.m + D for b in told), "expected a basis")
        words = [[s] for s in range(self.m)]
        if self.n < self.m:  # brackets
            words = [[0, 1], *([0] * depth for depth in range(1, self.m - 1)), [1]]
        longest = max(map(len, words))
        self.unit = self.shift * (longest + (not self.looked_up))  # of C
        after = [reduce(times, [self.M[x] for x in w], [self.start])[0] for w in words]
        wider = [self.shift * (longest - len(w)) for w in words]
        self.C = [[x << more for x in c] for c, more in zip(after, wider, strict=True)]
        top, zero = max(abs(x) for c in self.C for x in c), [0] * D
        extra = {b: [top * (b - self.m == i) for i in range(D)] for b in told if b >= self.m}
        atoms, zeros = [*self.C, *extra.values()], [zero] * len(extra)
        self.X = inverse([extra.get(b) or self.C[b] for b in told], P + self.unit)
        moved = [times(atoms, M) for M in self.M]
        goals = [[self.C[row[x]] for row in table] for x in range(self.n)]
        pairs = [pair for x in range(self.n) for pair in zip(moved[x], goals[x], strict=False)]
        kept = sum(sum(map(mul, a, b)) for a, b in pairs)
        self.stretch = (kept << P) // (sum(b * b for _, c in pairs for b in c) << self.shift)
        need(self.stretch > ONE >> 8, "factors all but erase states")
        self.reach = [sum(map(abs, row)) + D for row in self.X]  # X is rounded down, by less than a unit
        self.largest = [max(map(abs, column)) for column in zip(*atoms, strict=True)]
        norms = [self.norms(a, b + zeros) for a, b in zip(moved, goals, strict=True)]
        self.error = max(max(row[: self.m]) for row in norms)
        self.stray = max(max(row[self.m :], default=0) for row in norms)
        self.L = times(atoms, self.U)
        ends = [(row, min(row), max(row)) for row in self.L]
        self.spread = [max(max(r[s] - low, high - r[s]) for r, low, high in ends) for s in range(self.m)]

    def complex(self, whole: Integers, shapes: Shapes) -> None:
        """As matrices: real parts first, then imaginary ones."""
        n, shape = self.n, shapes["Z"]
        need(n == self.m and len(shape) == 3 and shape[::2] == (n, 2), f"shapes: {shapes}")
        need(shapes["W"] == (shape[1], 2, n), f"shapes: {shapes}")
        d, Z, W = shape[1], whole["Z"], whole["W"]
        self.M = [[[0] * 2 * d for _ in range(2 * d)] for _ in range(n)]
        for x, k in ((x, k) for x in range(n) for k in range(d)):
            a, b = Z[2 * (x * d + k) : 2 * (x * d + k) + 2]
            self.M[x][k][k], self.M[x][k][d + k], self.M[x][d + k][k], self.M[x][d + k][d + k] = a, b, -b, a
        self.start = [1] * d + [0] * d
        self.U = [W[(2 * k + part) * n : (2 * k + part + 1) * n] for part in (0, 1) for k in range(d)]

    def matrices(self, whole: Integers, shapes: Shapes) -> None:
        need(set(shapes) == {"start", "M", "U"}, "expected the tensors Z, W, or start, M, U")
        n, m, (d, *rest) = self.n, self.m, shapes["start"]
        need(not rest and shapes["M"] == (n, d, d) and shapes["U"] == (d, m), f"shapes: {shapes}")
        flat = whole["M"]
        self.M = [[flat[(x * d + i) * d : (x * d + i + 1) * d] for i in range(d)] for x in range(n)]
        self.start, self.U = whole["start"], [whole["U"][i * m : (i + 1) * m] for i in range(d)]

    def norms(self, moved: Matrix, goals: Matrix) -> list[int]:
        """The norm, in the basis, of each moved row divided by m, less its goal."""
        unit = self.stretch << self.shift
        V = [[(a << P) - b * unit for a, b in zip(*p, strict=True)] for p in zip(moved, goals, strict=True)]
        both = zip(times(V, self.X), V, strict=True)
        return [up(sum(map(abs, b)) + self.D * sum(map(abs, v)), unit << self.unit) for b, v in both]

    def rounded(self, x: int, first: bool = False) -> int:
        """What float32 adds: D sums are off by gamma_(D + 4) times the sum of sizes (Higham 2002, 3.1); a
        unit covers underflow, 2^-126 a product, which the basis and powers of m enlarge by at most 2^60."""
        need(max(self.reach) < ONE << 30, "a basis so extreme that float32 says nothing")
        need(ONE**self.K >> 20 < self.stretch**self.K < ONE**self.K << 40, "a stretch so extreme")
        sizes = list(map(abs, self.start)) if first else self.largest
        of = ONE << 2 * self.shift if first else self.stretch << self.unit + self.shift
        rows = [sum(map(mul, map(abs, row), self.reach)) for row in self.M[x]]
        return up(sum(map(mul, sizes, rows)) * (self.D + 4) << P, of * ((1 << 24) - self.D - 4)) + 1

    def safe(self, copies: int) -> list[bool]:
        lost = max(map(self.rounded, range(self.n))) if self.single else 0
        first = self.single and not self.looked_up
        r = max(self.rounded(x, True) for x in range(self.n)) if first else 0
        for _ in range(self.K - 1):
            r = up(r * (max(ONE + self.error, self.stray) + lost), ONE) + self.error + lost
        return [self.told_right(s, r) for s in range(self.m)]

    def told_right(self, s: int, r: int) -> bool:
        row, lost = self.L[s], 0
        if self.single:
            by = [sum(map(mul, self.largest, map(abs, column))) for column in zip(*self.U, strict=True)]
            sums = [up(b * (self.D + 4), (1 << 24) - self.D - 4) for b in by]
            lost = (ONE + r) * (sums[s] + max(sums)) + (1 << max(0, self.unit + self.shift - 20))
        return row[s] - max(row[:s] + row[s + 1 :]) << P > r * self.spread[s] + lost


def certified(evidence: Fourier | Pairs, table: Matrix, K: int, bad: list[int]) -> int:
    """How many words are certified."""
    n, apart, found = len(table[0]), len(bad), 0
    for copies in range(K + 1 if apart else 1):
        safe = evidence.safe(copies)
        if all(safe):
            found += comb(K, copies) * apart**copies * (n - apart) ** (K - copies)
        elif any(safe):
            found += sum(compress(leading(table, K, set(bad), copies), safe))
    return found


def check(path: Path, weights: dict[str, Tensors]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    need(
        isinstance(content, dict) and sorted(content) == sorted((*FIELDS, "seal")), f"expected {FIELDS}, seal"
    )
    head, digest, name, K, semantics, form, apart, told, count, of = (content[field] for field in FIELDS)
    body = json.dumps({field: content[field] for field in FIELDS}, sort_keys=True, separators=(",", ":"))
    need(content["seal"] == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.words/1" and semantics in ("real", "float32"), f"unknown: {head!r} {semantics!r}")
    need(type(K) is int and 2 <= K <= 1024, "K is not in 2..1024")
    table = transitions(name)
    for numbers in (told, apart):
        need(isinstance(numbers, list) and all(type(t) is int and t >= 0 for t in numbers), "no numbers")
    need(
        sorted(set(apart)) == apart and all(x < len(table) for x in apart), "apart: expected symbols in order"
    )
    need(len(apart) < len(table), "every symbol is apart")
    if digest not in weights and (beside := path.with_name(f"{digest}.safetensors")).exists():
        weights.update([read_weights(beside)])
    need(digest in weights, f"no weights with the digest {digest}")
    single, tensors = weights[digest]
    need(single or semantics == "real", "the weights are not float32")
    need(form in ("fourier", "pairs"), f"unknown form {form!r}")
    kind = Fourier if form == "fourier" else Pairs
    evidence = kind(tensors, table, K, told, apart, semantics == "float32")
    found, words = certified(evidence, table, K, apart), len(table[0]) ** K
    need(of == str(words), f"there are {words} words")
    need(count == str(found), f"{count} words are claimed, {found} are certified")
    share = f"{Fraction(found, words).__float__():.6f}"
    what = f"{of} words of {K} symbols of {name} ({share})"
    return f"right on at least {found} of {what}, in {semantics} arithmetic"


def main(arguments: list[str]) -> int:
    at = arguments.index("--weights") if "--weights" in arguments else len(arguments)
    weights, rejected = dict(map(read_weights, map(Path, arguments[at + 1 :]))), int(at == 0)
    for path in map(Path, arguments[:at]):
        try:
            print(f"{path}: accepted: {check(path, weights)}")
        except Exception as error:  # whatever a file makes go wrong, it is not accepted
            print(f"{path}: REJECTED: {type(error).__name__}: {error}")
            rejected = 1
    return rejected


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
