"""Tallies add: any order, any sharding, numpy or torch give the same tally and the same bits."""

import math

import numpy as np
import pytest
import torch
from assay.mdl.keyed import keyed, pooled, sharings, shortest_sharing, split
from assay.mdl.ledger import SECTIONS, Ledger, Line
from assay.mdl.streams import shortest
from assay.mdl.support import shortest_support
from assay.mdl.tally import Histogram, Usage, merge
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL, histograms, supports


@LAWFUL
@given(st.lists(histograms(), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_histograms_merge_in_any_order(shards, random):
    whole = Histogram.of(np.concatenate([np.repeat(h.symbols, h.counts) for h in shards]))
    shuffled = random.sample(shards, len(shards))
    middle = len(shards) // 2
    nested = merge([*shuffled[:middle], merge(shuffled[middle:])])
    assert merge(shards) == merge(shuffled) == nested == whole
    one, other = shortest(merge(shards)), shortest(nested)
    assert (one.name, one.header, one.bits(whole)) == (other.name, other.header, other.bits(nested))


@LAWFUL
@given(histograms())
def test_the_empty_histogram_adds_nothing(tally):
    assert tally + Histogram() == Histogram() + tally == tally
    assert (np.diff(tally.symbols) > 0).all()
    assert (tally.counts > 0).all()


@LAWFUL
@given(supports(), st.lists(st.integers(0, 20), max_size=4), st.randoms(use_true_random=False))
def test_usages_merge_in_any_order(active, cuts, random):
    shards = [Usage.of(rows) for rows in np.split(active, sorted(c for c in cuts if c <= len(active)))]
    random.shuffle(shards)
    whole = Usage.of(active)
    assert merge(shards) == whole == Usage.of(torch.tensor(active)) + Usage.zero(active.shape[1])
    assert whole.mean_size == (active.sum() / len(active) if len(active) else 0)
    assert shortest_support(merge(shards)) == shortest_support(whole)


def test_usages_of_other_sizes_do_not_add():
    with pytest.raises(ValueError, match="of 3 and of 4 parts"):
        Usage.zero(3) + Usage.zero(4)


KEYED = st.lists(st.tuples(st.integers(0, 5), st.integers(-2000, 2000)), max_size=80)


@LAWFUL
@given(KEYED, st.integers(0, 80))
def test_keyed_tallies_split_back_and_shard(pairs, cut):
    keys = np.array([k for k, _ in pairs], dtype=np.int64)
    symbols = np.array([s for _, s in pairs], dtype=np.int64)
    tally = keyed(keys, symbols)
    back = sorted(
        (int(k), int(s)) for k, s, c in zip(*split(tally), tally.counts, strict=True) for _ in range(int(c))
    )
    assert back == sorted(pairs)
    assert pooled(tally) == Histogram.of(symbols)
    assert keyed(torch.tensor(keys), torch.tensor(symbols)) == tally
    sharded = keyed(keys[cut:], symbols[cut:]) + keyed(keys[:cut], symbols[:cut])
    assert sharded == tally
    one, other = shortest_sharing(tally, 6), shortest_sharing(sharded, 6)
    assert (one.label, one.header, one.bits(tally)) == (other.label, other.header, other.bits(sharded))


@LAWFUL
@given(KEYED)
def test_the_shortest_sharing_is_no_longer_than_any(pairs):
    tally = keyed(np.array([k for k, _ in pairs]), np.array([s for _, s in pairs]))
    best = shortest_sharing(tally, 6)
    cost = best.header + best.bits(tally)
    assert all(cost <= way.header + way.bits(tally) for way in sharings(tally, 6))


LINES = st.tuples(st.sampled_from(SECTIONS), st.floats(0, 1e12), st.floats(0, 10))


@LAWFUL
@given(st.lists(LINES, max_size=20), st.randoms(use_true_random=False))
def test_the_total_is_the_sum_of_the_lines(lines, random):
    made = [Line(str(i), section, "code", bits, header) for i, (section, bits, header) in enumerate(lines)]
    ledger = Ledger(tuple(made), 10)
    exact = math.fsum(bits for _, bits, _ in lines)
    random.shuffle(made)
    assert ledger.total == exact == Ledger(tuple(made), 10).total
    assert math.fsum(ledger.section(s) for s in SECTIONS) == pytest.approx(exact, rel=1e-14)
    assert ledger.per_sample(ledger.total) == exact / 10


@pytest.mark.parametrize("bits", [-1.0, math.nan])
def test_a_line_is_never_negative_or_undefined(bits):
    with pytest.raises(ValueError, match="'residual'"):
        Line("residual", "correction", "code", bits)
