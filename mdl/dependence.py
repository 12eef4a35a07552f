"""Codes of the support that know what else is active: a tree of parts, and the row before.

Every part has at most one *parent*: another part (on the same row), or itself on the row before of the same
datum. It is coded by one Bernoulli for each of the parent's two states. The parents are the tree that saves
the most bits: C. K. Chow, C. N. Liu, "Approximating discrete probability distributions with dependence
trees", IEEE IT 14 (1968), with a root that offers each part its own past, and every edge paid for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .joint import FEW_PARTS
from .lengths import Floats, elias_delta, kt_bernoulli, log2_binomial
from .tally import Ints, Usage

NONE, BEFORE = -1, -2
EDGE_BITS = 2.0  # what naming the child of an edge costs, about; the true price is in the header


@dataclass(frozen=True, eq=False)
class Dependence:
    """``parent`` [parts]: NONE, BEFORE, or a part. With it, the counts of each part in the two contexts.

    ``seen`` [parts, 2]: rows with the parent off and on; ``ones`` [parts, 2]: the part is active as well.
    """

    parent: Ints
    positions: int
    seen: Ints
    ones: Ints

    @property
    def header(self) -> float:
        """Bits that tell the parents, and the number of positions of a datum."""
        C = self.parent.size
        edges, past = int((self.parent != NONE).sum()), int((self.parent == BEFORE).sum())
        subsets = float(log2_binomial(C, edges) + log2_binomial(edges, past))
        counts = float(elias_delta(np.array([edges + 1, past + 1, self.positions])).sum())
        return subsets + counts + (edges - past) * float(np.log2(C))

    @property
    def adaptive(self) -> float:
        """Bits of all rows, a KT Bernoulli in each context."""
        return float(kt_bernoulli(self.ones, self.seen).sum())

    @property
    def told(self) -> float:
        """Bits that tell all counts: of each part, then of each part with its parent on."""
        n = int(self.seen[0].sum()) if self.seen.size else 0
        bits = elias_delta(self.ones.sum(1) + 1).sum() + elias_delta(max(n, 1))
        bits += elias_delta(self.ones[self.parent != NONE, 1] + 1).sum()
        return float(bits + elias_delta(self.seen[self.parent == BEFORE, 1] + 1).sum())

    @property
    def entropy(self) -> float:
        """Bits of all rows at the frequencies that were told."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p = self.ones / self.seen
            bits = -self.ones * np.log2(p) - (self.seen - self.ones) * np.log2(1 - p)
        return float(np.nan_to_num(bits).sum())


def dependence(usage: Usage) -> Dependence | None:
    """The tree that saves the most bits on a tally; None where nothing was counted or nothing is saved."""
    if usage.joint is None or not usage.n:
        return None
    child, other, gain = _pair_gains(usage)
    past = _past_gains(usage)
    parent = _tree(child, other, gain, past) if gain.size else np.where(past > 0, BEFORE, NONE)
    return None if (parent == NONE).all() else with_parents(usage, parent)


def with_parents(usage: Usage, parent: Ints) -> Dependence:
    """The counts of a tally under given parents."""
    assert usage.joint is not None
    on = np.zeros_like(usage.counts)
    both = np.zeros_like(usage.counts)
    past, inner = np.nonzero(parent == BEFORE)[0], np.nonzero(parent >= 0)[0]
    on[past], both[past] = usage.joint.before[past], usage.joint.stays[past]
    if inner.size:
        low, high = np.minimum(inner, parent[inner]), np.maximum(inner, parent[inner])
        on[inner], both[inner] = usage.counts[parent[inner]], usage.joint.pairs[low, high]
    seen = np.stack([usage.n - on, on], axis=1)
    return Dependence(parent, usage.joint.positions, seen, np.stack([usage.counts - both, both], axis=1))


def _saved(k: Ints, n: int, on: Ints, both: Ints) -> Floats:
    """Bits that a binary context saves: ``on`` rows with it, ``both`` of them among the k ones of n."""
    contexts = kt_bernoulli(both, on) + kt_bernoulli(k - both, n - on)
    return np.asarray(kt_bernoulli(k, n) - contexts)


def _past_gains(usage: Usage) -> Floats:
    assert usage.joint is not None
    gain = _saved(usage.counts, usage.n, usage.joint.before, usage.joint.stays)
    return gain - EDGE_BITS - elias_delta(usage.joint.positions) / max(usage.parts, 1)


def _pair_gains(usage: Usage) -> tuple[Ints, Ints, Floats]:
    """Pairs of parts that are worth an edge, and what it saves (the mean over its two directions)."""
    empty = np.zeros(0, dtype=np.int64)
    if usage.joint is None or usage.joint.pairs is None:
        return empty, empty, np.zeros(0)
    i, j, both = _entries(usage)
    k, n = usage.counts, usage.n
    price = float(np.log2(usage.parts)) + EDGE_BITS
    keep = _suspicious(k[i], k[j], both, n, price)
    i, j, both = i[keep], j[keep], both[keep]
    gain = (_saved(k[i], n, k[j], both) + _saved(k[j], n, k[i], both)) / 2 - price
    return i[gain > 0], j[gain > 0], gain[gain > 0]


def _entries(usage: Usage) -> tuple[Ints, Ints, Ints]:
    """All pairs i < j of few parts, or those that occurred of many."""
    assert usage.joint is not None
    if usage.parts <= FEW_PARTS:
        i, j = np.triu_indices(usage.parts, 1)
        return i, j, usage.joint.pairs.toarray()[i, j]
    found = usage.joint.pairs.tocoo()
    return found.row.astype(np.int64), found.col.astype(np.int64), found.data.astype(np.int64)


def _suspicious(k: Ints, m: Ints, both: Ints, n: int, price: float) -> NDArray[np.bool_]:
    """Whether the pair's chi-square could save ``price`` bits (it is twice the nats): a cheap sieve."""
    expected = k * (m / n)
    spread = expected * (1 - k / n) * (1 - m / n)
    return np.asarray((both - expected) ** 2 > 0.5 * price * np.maximum(spread, 1e-9))


def _tree(i: Ints, j: Ints, gain: Floats, past: Floats) -> Ints:
    """Parents of the maximum spanning tree over the parts and a root."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    parts = past.size
    rooted = np.maximum(past, 0.0)
    weight = np.concatenate([gain, rooted])
    cost = 1.0 + weight.max(initial=0.0) - weight  # positive: a zero would mean that there is no edge
    ends = np.concatenate([i, np.full(parts, parts)]), np.concatenate([j, np.arange(parts)])
    tree = minimum_spanning_tree(coo_array((cost, ends), shape=(parts + 1, parts + 1)).tocsr())
    parent = breadth_first_order(tree, parts, directed=False)[1][:parts].astype(np.int64)
    return np.where(parent < parts, parent, np.where(past > 0, BEFORE, NONE))
