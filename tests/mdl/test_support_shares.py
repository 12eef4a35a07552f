"""The blocks of an interval share the support as the code that was chosen shares it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from assay.mdl.joint import Together
from assay.mdl.score import support_shares
from assay.mdl.support import shortest_support
from assay.mdl.tally import Usage, merge


def halves(active: torch.Tensor, together: Together | None = None) -> list[Usage]:
    parts = active.split(len(active) // 2)
    return [together.usage(part) if together else Usage.of(part) for part in parts]


def drawn(rows: int, parts: int, p: float, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, parts, generator=torch.Generator().manual_seed(seed)) < p


def test_a_constant_support_costs_no_block_anything():
    active = torch.tensor([True, False, True]).expand(64, 3)
    blocks = halves(active)
    assert shortest_support(merge(blocks)).name == "constant"
    assert support_shares(merge(blocks), blocks).tolist() == [0.0, 0.0]


def test_a_part_that_its_parent_decides_costs_nothing_anywhere():
    """Twins: the second is told by the first, so a block pays one Bernoulli, not two."""
    one, other = drawn(4000, 1, 0.3), drawn(4000, 1, 0.05, seed=1)
    blocks = halves(torch.cat([one, one, other], 1), Together(1, pairs=True))
    usage = merge(blocks)
    assert shortest_support(usage).name.startswith("dependent")
    shares = support_shares(usage, blocks)
    by_hand = np.zeros(2)
    for part in (one, other):
        p = float(part.double().mean())
        by_hand += [float(torch.where(h, -np.log2(p), -np.log2(1 - p)).sum()) for h in part.split(2000)]
    assert shares == pytest.approx(by_hand, rel=1e-6)


def test_a_part_that_lasts_pays_where_it_turns():
    """One half changes on every fourth row, the other nearly never."""
    busy, calm = torch.tensor([True, True, False, False]).repeat(500), torch.arange(2000) < 1000
    active = torch.cat([busy, calm])[:, None]
    blocks = halves(active, Together(positions=2000))
    usage = merge(blocks)
    assert shortest_support(usage).name.startswith("dependent")
    first, second = support_shares(usage, blocks)
    assert first > 1.3 * second
    assert first + second == pytest.approx(shortest_support(usage).per_row * usage.n, rel=0.02)


@pytest.mark.parametrize(
    ("active", "name"),
    [
        (torch.nn.functional.one_hot(torch.arange(512) % 64, 64).bool(), "enumerative"),
        (torch.cat([drawn(3000, 3, 0.02), drawn(3000, 3, 0.5, seed=1)], 1), "per-part"),
        (torch.arange(200) % torch.tensor([[199], [67]]) == 1, "free"),
    ],
)
def test_shares_add_up_to_the_payload(active, name):
    blocks = halves(active)
    usage = merge(blocks)
    chosen = shortest_support(usage)
    assert chosen.name.split()[0] in (name, "frequencies")
    payload = chosen.per_row * usage.n
    assert support_shares(usage, blocks).sum() == pytest.approx(payload, rel=0.05, abs=24)
