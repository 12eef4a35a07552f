"""Check certificates of accuracy bounds: one file, standard library only, exact integer arithmetic.

    python3 -I check_bound.py CERTIFICATE... [--weights W.safetensors ...]

A certificate says of how many of the v^K sequences of K tokens it is proved that a transformer of one
attention head (no normalisation, no biases, no MLP; scores divided by sqrt(e)) answers at the last position
with the largest token. Weights are found by their digest, in --weights or beside it as DIGEST.safetensors;
all else is computed here. This file shares no code with the prover.

Why. Let q be the last token, m the largest, s the scores, L_j(q, p, t) = EU[q,j] + EV[t,j] + PV[p,j], with
EU = (E + P[-1]) U, EV = E V O U, PV = P V O U. As attention adds up to one, what all q, or all p, have in
common moves to EV. Times the softmax denominator, logit_j - logit_m is the sum over positions p of
exp(s(q, p, x_p)) (L_j - L_m)(q, p, x_p). So x is right if, for numbers psi(p, t) that are at least this for
all j other than m, the sum of psi(p, x_p) is negative; sequences with such a sum are counted.
  bracket: psi has max_j of L_j - L_m ("joint"), of EU and EV and of PV ("paired"), or of each ("split");
  positions "together": one psi for all but the last: the largest such bound, times the exponential where that
  is largest, or smallest if what it multiplies is not positive; so do tokens share one psi in "blocks" of 8,
  but for those next to m, and in "prefixes", where each takes the worst of all tokens up to it;
  counting "exact": all sums < 0; "threshold": with c copies of m, all others below a level; "pure": with c
  copies of m, others that are right for all j if all are the same; "listed": every sequence and j;
  outputs: where more than v^K / 2^outputs are left over, they are at most the sum over j of what j spoils.
Low rank: of EU only norms are known (Cauchy-Schwarz), of scores the part along h, and norms of the rest.
"float32" asks of logit differences to be below -margin, `rounding` shows why that is enough.

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
from math import ceil, comb, isqrt, prod
from operator import add, mul
from pathlib import Path
from typing import Any

FINE, LOGIT = 200, 30  # bits behind the point where exp is enclosed, and of the largest path logit
LN2 = sum((1 << FINE + 20 - k) // k for k in range(1, FINE + 20)) >> 20  # down but for less than FINE units
TYPES = {"F64": ("d", "float64"), "F32": ("f", "float32"), "F16": ("e", "float16"), "BF16": ("H", "bfloat16")}
FIELDS = ("format", "weights", "K", "semantics", "strategy", "direction", "certified", "of")
FAR, FINE_GRID = (
    1 << 48,
    24,
)  # a numerator that nothing makes up for; bits of m's own where sequences are listed
CHOICES = "QK", "EU", "bracket", "positions", "counting", "tokens", "outputs", "grid"
WORDS = "joint paired split", "apart together", "exact threshold listed pure", "single blocks prefixes"
Matrix = list[list[int]]
Code = tuple[int, int]
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

    def __init__(self, tensors: dict[str, Tensor], K: Any, single: bool, low_EU: bool, h: list[int]) -> None:
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
        need(shapes["P"][1:] == (d,) and type(K) is int and 2 <= K <= shapes["P"][0], "no such positions")
        self.v, self.d, self.e, self.K = v, d, e, K
        self.shift = max(x.denominator for name in names.values() for x in tensors[name][1]).bit_length() - 1
        w = {c: self.whole(tensors[name][1], shapes[c][-1]) for c, name in names.items()}
        self.weights = w = {**w, "P": w["P"][:K]}
        query = [list(map(add, row, w["P"][-1])) for row in w["E"]]
        VOU, QK = times(times(w["V"], w["O"]), w["U"]), times(w["Q"], turned(w["K"]))
        query_mean, centred = apart(query)
        PV_mean, PV = apart(times(w["P"], VOU))
        common = times([query_mean], w["U"])[0]
        moved = [a + (b << 2 * self.shift) for a, b in zip(PV_mean, common, strict=True)]
        EV = [list(map(add, row, moved)) for row in times(w["E"], VOU)]
        sizes = norms(apart(turned(w["U"]))[1])
        norm = [
            [n * (x + max(sizes)) for x in sizes] for n in norms(centred)
        ]  # |query| (|U_m| + max_j |U_j|)
        EU = [[x << 2 * self.shift for x in row] for row in (norm if low_EU else times(centred, w["U"]))]
        drop = max(abs(x) for table in (EU, EV, PV) for row in table for x in row).bit_length() - LOGIT
        self.places = 4 * self.shift - drop
        self.EV, self.PV = ([[shifted(x, drop) for x in row] for row in table] for table in (EV, PV))
        self.EU = [[-shifted(-x, drop) if low_EU else shifted(x, drop) for x in row] for row in EU]
        # At least what EU, EV, PV have at j more than at m, whichever j: by query, token, position, and m.
        self.direct = self.EU if low_EU else list(map(excess, self.EU))
        self.moved, self.placed = list(map(excess, self.EV)), list(map(excess, self.PV))
        query = times(query, QK)
        self.eB = [[self.exp(n) for n in row] for row in times(query, turned(w["P"]))]
        both = self.along(query, apart(w["E"])[1], h) if h else 2 * (times(query, turned(w["E"])),)
        self.least, self.most = ([[self.exp(n) for n in row] for row in table] for table in both)
        self.margin, self.spread = self.rounding() if single else (0, 0)

    def along(self, query: Matrix, tokens: Matrix, h: list[int]) -> tuple[Matrix, Matrix]:
        """Bounds on query · token, from below and above: its part along h, and at most so much besides."""
        need(len(h) == self.d and all(type(x) is int for x in h) and any(h), "no direction of the embedding")
        H, rests = sum(map(mul, h, h)), norms(tokens, h)
        a, b = ([sum(map(mul, row, h)) for row in table] for table in (query, tokens))
        rows = list(zip(a, norms(query, h), strict=True))
        least = [[x * y // H - -(-u * v // H) for y, v in zip(b, rests, strict=True)] for x, u in rows]
        return least, [[x * y // H + 1 - -u * v // H for y, v in zip(b, rests, strict=True)] for x, u in rows]

    def whole(self, values: list[Fraction], width: int) -> Matrix:
        flat = [x.numerator * ((1 << self.shift) // x.denominator) for x in values]
        return [flat[i : i + width] for i in range(0, len(flat), width)]

    def exp(self, n: int) -> Code:
        """x, M with M 2^x <= exp(n / (2^(4 shift) sqrt(e))) <= (M + 1) 2^x, M of 28 bits, rounded down."""
        root = isqrt(self.e << 2 * FINE)  # sqrt(e) 2^FINE, from below, off by less than one
        score = shifted(n, 4 * self.shift - 2 * FINE) // root
        need(abs(score) < 1 << FINE + 20, "a score that is too large")
        if abs(score) < 1 << FINE - 59:  # one, just above it, or just below it
            return (-27, 1 << 27) if n >= 0 else (-28, (1 << 28) - 1)
        k = score // LN2
        rest, term, total, i = score - k * LN2, 1 << FINE, 0, 0
        while term:
            total, i = total + term, i + 1
            term = (term * rest >> FINE) // i
        error = 1 << 40  # rest is off by less than 2^23, the sum by less than 200 more than twice that
        low, high = (total - error) >> FINE - 27, (total + error) >> FINE - 27
        need(low == high, "an exponential too near a boundary")
        return k - 27, low

    def rounding(self) -> tuple[int, int]:
        """What float32 may do: (margin in 2^-places on logit differences, 2^30 times the spread of exp(s)).

        Any order of summation, with FMA or without; no overflow; exp to 2 ulp. What is rounded n times is off
        by at most g(n) = n / (2^24 - n) of its size (Higham 2002, 3.1), and 2^-51 is added to every size, for
        underflow. Attention may not add up to one, hence 4 and not 2; its denominator cancels.
        """
        one = max(self.shift, 51)

        def size(table: Matrix, finer: int, unit: int) -> Matrix:
            return [[(abs(x) << finer) + (1 << unit - 51) for x in row] for row in table]

        # X has the largest |E| + |P| of each coordinate.
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


def apart(table: Matrix) -> tuple[list[int], Matrix]:
    """The mean of the rows, rounded down, and the rows without it."""
    mean = [sum(column) // len(table) for column in zip(*table, strict=True)]
    return mean, [[x - y for x, y in zip(row, mean, strict=True)] for row in table]


def norms(rows: Matrix, h: list[int] | None = None) -> list[int]:
    """Rounded up; with h, |h| times the norms of what is orthogonal to it."""
    H, h = sum(x * x for x in h or [1]), h or [0] * len(rows[0])
    squares = [H * sum(map(mul, row, row)) - sum(map(mul, row, h)) ** 2 for row in rows]
    return [isqrt(n - 1) + 1 if n else 0 for n in squares]


def turned(a: Matrix) -> Matrix:
    return [list(column) for column in zip(*a, strict=True)]


def times(a: Matrix, b: Matrix) -> Matrix:
    columns = turned(b)
    return [[sum(map(mul, row, column)) for column in columns] for row in a]


def excess(row: list[int]) -> list[int]:
    """max over j != m of row[j] - row[m], for each m, if entries are rounded down."""
    second, first = sorted(row)[-2:]
    return [(second if x == first else first) - x + 1 for x in row]


class Query:
    """The numerators of one query token, as whole numbers times powers of two."""

    def __init__(self, net: Network, q: int, bracket: str, positions: str, tokens: str) -> None:
        self.net, self.q, self.bracket, last = net, q, bracket, net.K - 1
        self.least, self.most, at = net.least[q], net.most[q], net.eB[q]
        self.ends = [(x, x) for x in at[:-1]] if positions == "apart" else [(min(at[:-1]), max(at[:-1]))]
        self.tokens, self.tops = tokens, [[self.top(t, p) for p in range(last)] for t in range(net.v)]
        if positions == "together":
            self.tops = [[list(map(max, zip(*row, strict=True)))] for row in self.tops]
        end = self.least[q], self.most[q], (at[last], at[last])
        self.last = [self.times(n, *end) for n in self.top(q, last)]

    def top(self, t: int, p: int) -> list[int]:
        """Upper bounds on the largest L_j - L_m: [m]; numbers rounded down are off by less than one each."""
        net, q = self.net, self.q
        if self.bracket == "split":
            parts = net.direct[q], net.moved[t], net.placed[p]
            return [sum(part) + net.margin for part in zip(*parts, strict=True)]
        pair = list(map(add, net.EU[q], net.EV[t]))
        if self.bracket == "paired":
            return [a + 1 + b + net.margin for a, b in zip(excess(pair), net.placed[p], strict=True)]
        return [n + 2 + net.margin for n in excess(list(map(add, pair, net.PV[p])))]

    def times(self, n: int, low: Code, high: Code, at: tuple[Code, Code]) -> Code:
        """A bound times exp(score): (n, x) for n 2^x, the exponential taken on the side that is safe."""
        spread = self.net.spread
        if n > 0:
            most = ((high[1] + 1) * (at[1][1] + 1) >> 27) + 1
            return n * (most + (most * spread >> 30) + (spread > 0)), high[0] + at[1][0] + 27
        least = low[1] * at[0][1] >> 27
        return n * (least - (least * spread >> 30) - (spread > 0)), low[0] + at[0][0] + 27

    def rows(self, m: int, grid: int) -> tuple[Matrix, int]:
        """psi of maximum m: for each position that of every t <= m, and the last position's."""
        near = {"single": 0, "blocks": max(m - 4, 0) // 8 * 8, "prefixes": m}[self.tokens]
        far = [(0, t + 1) for t in range(m)] if near == m else [(t, t + 8) for t in range(0, near, 8)]
        free: list[list[Code]] = [[] for _ in self.ends]
        for p, (row, ends) in enumerate(zip(free, self.ends, strict=True)):
            for a, b in far + [(t, t + 1) for t in range(near, m + 1)]:
                n = max(tops[p][m] for tops in self.tops[a:b])
                row += [self.times(n, min(self.least[a:b]), max(self.most[a:b]), ends)] * (b - len(row))
        return rounded(free, self.last[m], grid, self.net.K, clipped=True)

    def output(self, m: int, j: int, grid: int, clipped: bool) -> tuple[Matrix, int]:
        """The same for one output j, and single tokens."""
        net, q, low, high, K = self.net, self.q, self.least, self.most, self.net.K
        EU = net.EU[q][j] - net.EU[q][m] + 3 + net.margin
        EV, PV = ([row[j] - row[m] for row in table] for table in (net.EV[: m + 1], net.PV))
        last = self.times(EU + EV[q] + PV[-1], low[q], high[q], (net.eB[q][-1], net.eB[q][-1]))
        rows = zip(PV[:-1] if len(self.ends) == K - 1 else [max(PV[:-1])], self.ends, strict=True)
        free = [[self.times(EU + x + b, low[t], high[t], at) for t, x in enumerate(EV)] for b, at in rows]
        return rounded(free, last, grid, K, clipped)


def rounded(free: list[list[Code]], last: Code, grid: int, K: int, clipped: bool) -> tuple[Matrix, int]:
    """Rounded up to a unit in which m's own numerator has `grid` bits, and clipped."""
    unit = max(n.bit_length() + x for n, x in (row[-1] for row in free)) - grid
    low, high = (-(1 << grid), (K - 1) << grid) if clipped else (-FAR, K * FAR)

    every = [*free, [last]]
    *rows, (end,) = [[min(max(-shifted(-n, unit - x), low), high) for n, x in row] for row in every]
    return rows, end


def negative(free: Matrix, last: int) -> int:
    """How many choices of an entry of each row have a sum below -last; in lanes of one long integer."""
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
    """Those with c copies of m, and all others at most a level that depends on c; all rows are alike."""
    n, (*others, own) = len(free), free[0]
    below = ((c, sum((n - c) * x + c * own + last < 0 for x in others)) for c in range(needs_m, n))
    return int(sum(comb(n, c) * size ** (n - c) for c, size in below) + (n * own + last < 0))


def listed(outputs: list[tuple[Matrix, int]], n: int, m: int, needs_m: bool) -> int:
    """For how many choices of n tokens the sums of all outputs are negative, as a tree of first tokens."""
    left = [(free, last) for free, last in outputs if not (always(free, last, needs_m) if n else last < 0)]
    if not left or not n:
        return 0 if left else (m + 1) ** n - needs_m * m**n
    branches = ([(free[1:], last + free[0][t]) for free, last in left] for t in range(m + 1))
    return sum(listed(branch, n - 1, m, needs_m and t < m) for t, branch in enumerate(branches))


def pure(outputs: list[tuple[Matrix, int]], n: int, m: int, needs_m: bool) -> int:
    """Those with c copies of m, and others that are right if they are all the same: so is what mixes them."""
    found = int(all(n * psi[m] + last < 0 for (psi,), last in outputs))
    for c in range(needs_m, n):
        sums = [[(n - c) * x + c * psi[m] + last for x in psi[:m]] for (psi,), last in outputs]
        found += comb(n, c) * sum(max(column) < 0 for column in zip(*sums, strict=True)) ** (n - c)
    return found


def certified(net: Network, form: list[str], outputs: int, grid: int) -> int:
    """How many sequences the strategy certifies."""
    (bracket, positions, counting, tokens), found, v, K = form, 0, net.v, net.K
    for q in range(v):
        query = Query(net, q, bracket, positions, tokens)
        for m in range(q, v):
            needs_m, all_of_them = q < m, (m + 1) ** (K - 1) - (m ** (K - 1) if q < m else 0)
            free, last = query.rows(m, grid)
            free = free if positions == "apart" else free * (K - 1)
            if always(free, last, needs_m):
                found += all_of_them
            elif counting in ("listed", "pure"):
                every = [query.output(m, j, FINE_GRID, clipped=False) for j in range(v) if j != m]
                found += (listed if counting == "listed" else pure)(every, K - 1, m, needs_m)
            else:
                some = (exact if counting == "exact" else threshold)(free, last, needs_m)
                if all_of_them - some << outputs > v**K:
                    every = [query.output(m, j, grid, clipped=True) for j in range(v) if j != m]
                    bad = (all_of_them - exact(*o, needs_m) for o in every if not always(*o, needs_m))
                    some = max(some, all_of_them - sum(bad))
                found += some
    return found


def check(path: Path, weights: dict[str, Tensors]) -> str:
    """Check one certificate against weights by digest; gives in words what it establishes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    head, digest, K, semantics, strategy, h, count, of, seal = fields(content, *FIELDS, "seal")
    body = json.dumps({name: content[name] for name in FIELDS}, sort_keys=True, separators=(",", ":"))
    need(seal == hashlib.sha256(body.encode()).hexdigest(), "the seal does not match the content")
    need(head == "assay.bound/2" and semantics in ("real", "float32"), f"unknown: {head!r} {semantics!r}")
    QK, EU, *form, outputs, grid = fields(strategy, *CHOICES)
    known = all(a in b.split() for a, b in zip(form, WORDS, strict=True))
    need(known and {QK, EU} <= {"full", "low-rank"}, f"unknown: {strategy}")
    need(type(outputs) is type(grid) is int and 0 <= outputs <= 64 and 2 <= grid <= 16, "out of range")
    need(EU == "full" or (form[0] == "split" and not outputs), "of low-rank EU only norms are known")
    need(form[2] != "threshold" or form[1] == "together", "a common level is for positions together")
    need(isinstance(h, list) and (QK == "low-rank") == bool(h), "a direction is for low-rank QK")
    if digest not in weights and (beside := path.with_name(f"{digest}.safetensors")).exists():
        weights.update([read_weights(beside)])
    need(digest in weights, f"no weights with the digest {digest}")
    need(weights[digest][0] or semantics == "real", "the weights are not float32")
    net = Network(weights[digest][1], K, semantics == "float32", EU == "low-rank", h)
    need(of == str(net.v**net.K), f"there are {net.v**net.K} sequences")
    found = certified(net, form, outputs, grid)
    need(count == str(found), f"{count} sequences are claimed, {found} are certified")
    share = f"{found} of {of} sequences of {K} tokens ({float(Fraction(found, net.v**net.K)):.6f})"
    return f"right on at least {share}, in {semantics} arithmetic"


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
