"""Check certificates of accuracy bounds: one file, standard library only, exact integer arithmetic.

    python3 -I check_bound.py CERTIFICATE... [--weights W.safetensors ...]

A certificate says of how many of the v^K sequences of K tokens it is proved that a transformer of one
attention head (no normalisation, no biases, no MLP; scores divided by sqrt(e)) answers at the last position
with the largest token. It holds the digest of the weights, which strategy, and the count; all else is
computed here. This file shares no code with the prover. Weights are found in --weights or beside it as
DIGEST.safetensors.

Why. Let q be the last token, m the largest, s the scores, L_j(q, p, t) = EU[q,j] + EV[t,j] + PV[p,j], with
EU = (E + P[-1]) U, EV = E V O U, PV = P V O U. Times the softmax denominator, logit_j - logit_m is the sum
over positions p of exp(s(q, p, x_p)) (L_j - L_m)(q, p, x_p). So x is right if, for numbers psi(p, t) that are
at least this for all j other than m, the sum of psi(p, x_p) is negative; sequences with such a sum are
counted.
  bracket "joint": psi has max_j of L_j - L_m; "split": max_j of the EU part plus max_j of the EV and PV part;
  positions "together": one psi for all positions but the last, the largest such bound of them, times the
  exponential of the position where it is largest (or smallest, if what it multiplies is not positive);
  counting "threshold": with c copies of m, at least all others below a common level; "exact": all sums < 0;
  outputs: what is not certified may also be bounded by the sum over j of the sequences that j alone spoils.
Semantics "float32" asks of logit differences to be below -margin, `rounding` shows why that is enough.

Weights are exact. EU, EV, PV are rounded down to 2^-places, exp to 28 bits; then every bound is rounded up,
on a grid whose unit is a power of two for each (q, m). So whatever is counted is right.
"""

# ruff: noqa: D102, D103
from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import ceil, isqrt, prod
from operator import add, mul
from pathlib import Path
from typing import Any

FINE, LOGIT = 200, 30  # bits: behind the point where exponentials are enclosed; of the largest path logit
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
FIELDS = ("format", "weights", "K", "semantics", "strategy", "certified", "of")
Matrix = list[list[int]]
Tensor = tuple[tuple[int, ...], list[Fraction]]
Tensors = tuple[bool, dict[str, Tensor]]


def need(condition: object, why: str) -> None:
    if not condition:
        raise ValueError(why)


def fields(table: Any, *names: str) -> list[Any]:
    need(isinstance(table, dict) and sorted(table) == sorted(names), f"expected exactly the fields {names}")
    return [table[name] for name in names]


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


class Network:
    """The weights of a file as whole numbers, in units of 2^-shift, and their products along the paths."""

    def __init__(self, tensors: dict[str, Tensor], K: Any, single: bool) -> None:
        head = "blocks.0.attn.W_"
        names = {"E": "embed.W_E", "P": "pos_embed.W_pos", "U": "unembed.W_U"} | {c: head + c for c in "QKVO"}
        need(set(names.values()) <= set(tensors), f"expected the tensors {sorted(names.values())}")
        for name in set(tensors) - set(names.values()):
            biased = name.rsplit(".", 1)[-1].lstrip("_").startswith("b_")
            need(biased and not any(tensors[name][1]), f"{name}: only biases may be there besides, all zero")
        shapes = {c: tensors[name][0] for c, name in names.items()}
        (v, d), e = shapes["E"], shapes["Q"][-1]
        wanted = {"E": (v, d), "U": (d, v), "O": (1, e, d)} | dict.fromkeys("QKV", (1, d, e))
        need(all(shapes[c] == shape for c, shape in wanted.items()), f"shapes do not fit: {shapes}")
        need(
            shapes["P"][1:] == (d,) and type(K) is int and 2 <= K <= shapes["P"][0],
            "no such number of positions",
        )
        self.v, self.d, self.e, self.K = v, d, e, K
        self.shift = max(x.denominator for name in names.values() for x in tensors[name][1]).bit_length() - 1
        w = {c: self.whole(tensors[name][1], shapes[c][-1]) for c, name in names.items()}
        self.weights = w = {**w, "P": w["P"][:K]}
        query = [[a + b for a, b in zip(row, w["P"][-1], strict=True)] for row in w["E"]]
        VOU, QK = times(times(w["V"], w["O"]), w["U"]), times(w["Q"], turned(w["K"]))
        EU = [[x << 2 * self.shift for x in row] for row in times(query, w["U"])]
        tables = EU, times(w["E"], VOU), times(w["P"], VOU)
        drop = max(abs(x) for table in tables for row in table for x in row).bit_length() - LOGIT
        self.places = 4 * self.shift - drop
        self.EU, self.EV, self.PV = ([[shifted(x, drop) for x in row] for row in table] for table in tables)
        QK = times(query, QK)
        self.A, self.B = times(QK, turned(w["E"])), times(QK, turned(w["P"]))
        self.eA, self.eB = ([[self.exp(n) for n in row] for row in table] for table in (self.A, self.B))
        self.margin, self.spread = self.rounding() if single else (0, 0)

    def whole(self, values: list[Fraction], width: int) -> Matrix:
        flat = [x.numerator * ((1 << self.shift) // x.denominator) for x in values]
        return [flat[i : i + width] for i in range(0, len(flat), width)]

    def exp(self, n: int) -> tuple[int, int]:
        """M, x with M 2^x <= exp(n / (2^(4 shift) sqrt(e))) <= (M + 1) 2^x, M of 28 bits, rounded down."""
        if n == 0:
            return 1 << 27, -27
        root = isqrt(self.e << 2 * FINE)  # sqrt(e) 2^FINE, from below, off by less than one
        score = shifted(n, 4 * self.shift - 2 * FINE) // root
        need(abs(score) < 1 << FINE + 20, "a score that is too large")
        if abs(score) < 1 << FINE - 59:  # just above one, or just below it
            return (1 << 27, -27) if n > 0 else ((1 << 28) - 1, -28)
        k = score // LN2
        rest, term, total, i = score - k * LN2, 1 << FINE, 0, 0
        while term:
            total, i = total + term, i + 1
            term = (term * rest >> FINE) // i
        error = 1 << 40  # rest is off by less than 2^23, the sum by less than 200 more than twice that
        low, high = (total - error) >> FINE - 27, (total + error) >> FINE - 27
        need(low == high, "an exponential too near a boundary")
        return low, k - 27

    def rounding(self) -> tuple[int, int]:
        """What float32 may do: (margin in 2^-places on logit differences, 2^30 times the spread of exp(s)).

        Any order of summation, FMA or not; no overflow; exp to 2 ulp. A term that is rounded n times is off
        by at most g(n) = n / (2^24 - n) of its size (Higham 2002, 3.1). 2^-51 is added to every size, so that
        2^-24 times a product is more than underflow loses (2^-126). X has the largest |E| + |P|. Attention
        may not add up to one, hence 4 and not 2; its own denominator is common to all positions.
        """
        one = max(self.shift, 51)

        def size(table: Matrix, finer: int, unit: int) -> Matrix:
            return [[(abs(x) << finer) + (1 << unit - 51) for x in row] for row in table]

        w = {c: size(self.weights[c], one - self.shift, one) for c in "QKVOU"}
        E, P = ([max(map(abs, column)) for column in zip(*self.weights[c], strict=True)] for c in "EP")
        X = size([list(map(add, E, P))], one - self.shift, one)
        moved = times(size(times(size(times(X, w["V"]), 0, 2 * one), w["O"]), 0, 3 * one), w["U"])[0]
        M = max(a + (b << 2 * one) for a, b in zip(moved, times(X, w["U"])[0], strict=True))
        q, k = (size(times(X, w[c]), 0, 2 * one) for c in "QK")
        n, n_score = 2 * self.d + self.e + self.K + 24, 2 * self.d + self.e + 28
        margin = Fraction(4 * n * M, (1 << 24) - n) * Fraction(2) ** (self.places - 4 * one)
        off = Fraction(n_score * times(q, turned(k))[0][0], ((1 << 24) - n_score) << 4 * one) / isqrt(self.e)
        off += Fraction(1, 1 << 21)
        need(off <= Fraction(1, 4) and margin < 1 << LOGIT, "float32 rounds too much to say anything")
        return 1 + ceil(margin), ceil(off * (1 + off) * (1 << 30))


def shifted(n: int, right: int) -> int:
    return n >> right if right >= 0 else n << -right


def turned(a: Matrix) -> Matrix:
    return [list(column) for column in zip(*a, strict=True)]


def times(a: Matrix, b: Matrix) -> Matrix:
    columns = turned(b)
    return [[sum(map(mul, row, column)) for column in columns] for row in a]


# --- numerators: what psi is, on its grid --------------------------------------------------------------


def excess(row: list[int]) -> list[int]:
    """max over j != m of row[j] - row[m], for each m, if entries are rounded down."""
    second, first = sorted(row)[-2:]
    return [(second if x == first else first) - x + 1 for x in row]


class Query:
    """The numerators of one query token, as whole numbers times powers of two."""

    def __init__(self, net: Network, q: int, bracket: str, positions: str) -> None:
        self.net, self.q, self.bracket, self.direct = net, q, bracket, excess(net.EU[q])
        free, last = range(net.K - 1), net.K - 1
        least, most = min(free, key=net.B[q].__getitem__), max(free, key=net.B[q].__getitem__)
        self.apart = positions == "apart"
        self.ends = [(p, p) for p in free] if self.apart else [(least, most)]
        tops = [[self.tops(t, p) for p in free] for t in range(net.v)]
        if not self.apart:
            tops = [[list(map(max, zip(*row, strict=True)))] for row in tops]
        self.free = [
            [self.numerators(t, tops[t][p], *ends) for t in range(net.v)] for p, ends in enumerate(self.ends)
        ]
        self.last = self.numerators(q, self.tops(q, last), last, last)

    def tops(self, t: int, p: int) -> list[int]:
        """Upper bounds on the largest L_j - L_m at position p: [m]; each table is off by less than one."""
        net = self.net
        moved = list(map(add, net.EV[t], net.PV[p]))
        if self.bracket == "joint":
            return [n + 2 + net.margin for n in excess(list(map(add, net.EU[self.q], moved)))]
        return [a + b + 1 + net.margin for a, b in zip(self.direct, excess(moved), strict=True)]

    def numerators(self, t: int, tops: list[int], p_low: int, p_high: int) -> list[tuple[int, int]]:
        """Each bound times exp(score): (n, x) for n 2^x, the exponential taken on the side that is safe."""
        net, q = self.net, self.q
        (M, x), (M_low, x_low), (M_high, x_high) = net.eA[q][t], net.eB[q][p_low], net.eB[q][p_high]
        low, high = M * M_low >> 27, ((M + 1) * (M_high + 1) >> 27) + 1
        if net.spread:
            low, high = low - (low * net.spread >> 30) - 1, high + (high * net.spread >> 30) + 1
        return [(n * high, x + x_high + 27) if n > 0 else (n * low, x + x_low + 27) for n in tops]

    def rows(self, m: int, grid: int) -> tuple[Matrix, int]:
        """psi of maximum m: for each position that of every t <= m, and the last position's."""
        free = [[row[m] for row in position[: m + 1]] for position in self.free]
        return rounded(free, self.last[m], grid, self.net.K)

    def output(self, m: int, j: int, grid: int) -> tuple[Matrix, int]:
        """The same for one output j, with positions apart."""
        net, q = self.net, self.q
        EU = net.EU[q][j] - net.EU[q][m] + 3 + net.margin
        EV = [row[j] - row[m] for row in net.EV[: m + 1]]
        PV = [row[j] - row[m] for row in net.PV]
        free = [
            [self.numerators(t, [EU + EV[t] + PV[p]], p, p)[0] for t in range(m + 1)]
            for p in range(net.K - 1)
        ]
        p = net.K - 1
        return rounded(free, self.numerators(q, [EU + EV[q] + PV[p]], p, p)[0], grid, net.K)


def rounded(
    free: list[list[tuple[int, int]]], last: tuple[int, int], grid: int, K: int
) -> tuple[Matrix, int]:
    """Rounded up to a unit in which m's own numerator has `grid` bits, and clipped."""
    unit = max(n.bit_length() + x for n, x in (row[-1] for row in free)) - grid
    low, high = -(1 << grid), (K - 1) << grid

    def up(n: int, x: int) -> int:
        return min(max(-shifted(-n, unit - x), low), high)

    return [[up(*entry) for entry in row] for row in free], up(*last)


# --- counting ------------------------------------------------------------------------------------------


def negative(free: Matrix, last: int) -> int:
    """How many choices of an entry of each row have a sum below -last: coefficients of a product of
    polynomials, in the lanes of one long integer."""
    if not all(free):
        return 0
    lane = prod(map(len, free)).bit_length() + 1
    sums, least = 1, 0
    for at, row in enumerate(free):
        low = min(row)
        sums = sum((sums * many) << lane * (n - low) for n, many in Counter(row).items())
        least += low
        room = -last - least - sum(map(min, free[at + 1 :]))  # sums of so much more, or above, end too high
        sums &= (1 << lane * max(room, 0)) - 1
    return sums % ((1 << lane) - 1)


def always(free: Matrix, last: int, needs_m: bool) -> bool:
    """Whether even the largest sum is negative; one row must hold its last entry, m's, if that is needed."""
    most = list(map(max, free))
    return sum(most) + last + needs_m * max(row[-1] - top for row, top in zip(free, most, strict=True)) < 0


def exact(free: Matrix, last: int, needs_m: bool) -> int:
    return negative(free, last) - (negative([row[:-1] for row in free], last) if needs_m else 0)


def threshold(free: Matrix, last: int, needs_m: bool) -> int:
    """Those with c copies of m, and all others at most a level that depends on c."""
    n, own = len(free), max(row[-1] for row in free)
    found = int(n * own + last < 0)
    for c in range(needs_m, n):
        level = (-c * own - last - 1) // (n - c)
        sizes = [sum(entry <= level for entry in row[:-1]) for row in free]
        chosen = [1] + [0] * (n - c)  # sums of products of so many different sizes
        for size in sizes:
            chosen = [chosen[0]] + [b + a * size for a, b in pairwise(chosen)]
        found += chosen[-1]
    return found


def certified(net: Network, strategy: Any) -> int:
    """How many sequences the strategy certifies."""
    names = ("bracket", "positions", "counting", "outputs", "grid")
    bracket, positions, counting, outputs, grid = fields(strategy, *names)
    need(bracket in ("joint", "split") and positions in ("apart", "together"), f"unknown: {strategy}")
    need(counting in ("exact", "threshold") and type(outputs) is bool, f"unknown: {strategy}")
    need(type(grid) is int and 2 <= grid <= 16, "grid is not in 2..16")
    total, K = 0, net.K
    for q in range(net.v):
        query = Query(net, q, bracket, positions)
        for m in range(q, net.v):
            needs_m, all_of_them = q < m, (m + 1) ** (K - 1) - (m ** (K - 1) if q < m else 0)
            free, last = query.rows(m, grid)
            free = free if query.apart else free * (K - 1)
            if always(free, last, needs_m):
                total += all_of_them
                continue
            found = (exact if counting == "exact" else threshold)(free, last, needs_m)
            if outputs and found < all_of_them:
                found = max(found, all_of_them - spoilt(query, m, grid, all_of_them, all_of_them - found))
            total += found
    return total


def spoilt(query: Query, m: int, grid: int, all_of_them: int, enough: int) -> int:
    """How many sequences single outputs spoil, added up; no further than `enough`."""
    bad = 0
    for j in range(query.net.v):
        if j != m and bad < enough:
            free, last = query.output(m, j, grid)
            if not always(free, last, query.q < m):
                bad += all_of_them - exact(free, last, query.q < m)
    return bad


def ln2() -> int:
    """ln 2 in units of 2^-FINE, rounded down but for less than FINE of them: the sum of 1 / (k 2^k)."""
    return sum((1 << FINE + 20 - k) // k for k in range(1, FINE + 20)) >> 20


LN2 = ln2()


def check(path: Path, weights: dict[str, Tensors]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    head, digest, K, semantics, strategy, count, of, seal = fields(content, *FIELDS, "seal")
    body = json.dumps({name: content[name] for name in FIELDS}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.bound/1" and semantics in ("real", "float32"), f"unknown: {head!r} {semantics!r}")
    if digest not in weights and (beside := path.with_name(f"{digest}.safetensors")).exists():
        weights.update([read_weights(beside)])
    need(digest in weights, f"no weights with the digest {digest}")
    single, tensors = weights[digest]
    need(single or semantics == "real", "the weights are not float32")
    net = Network(tensors, K, semantics == "float32")
    need(of == str(net.v**net.K), f"there are {net.v**net.K} sequences")
    found = certified(net, strategy)
    need(count == str(found), f"{count} sequences are claimed, {found} are certified")
    share = f"{Fraction(found, net.v**net.K).__float__():.6f}"
    return f"right on at least {found} of {of} sequences of {K} tokens ({share}), in {semantics} arithmetic"


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
