"""Steps of their own for classes of parts: paid for, sent, and never longer than one step for all."""

import pytest
import torch
from assay.mdl import Code, Dictionary, GridTarget, SiteProblem, score_site
from assay.mdl.audit import audit_site
from assay.mdl.calibrate import calibrate
from assay.mdl.keyed import rough_bits
from assay.mdl.site import Channel, Knobs, steps_told, tally_rows
from assay.mdl.support import shortest_support
from hypothesis import given, settings
from hypothesis import strategies as st

from .test_site import Drawn

WIDTH, PARTS = 16, 32


class Loose:
    """Sparse parts: the first half is small and exact, the second large and wrong by many steps."""

    kind, name, open_ended = "loose", "loose", False

    def __init__(self, rows: torch.Tensor, x: torch.Tensor, a: torch.Tensor) -> None:
        self.rows, self.codes = rows, {row.numpy().tobytes(): code for row, code in zip(x, a, strict=True)}

    def dictionary(self) -> Dictionary:
        return Dictionary(self.rows, torch.zeros(WIDTH))

    def code(self, x: torch.Tensor) -> Code:
        return Code.dense(torch.stack([self.codes[row.numpy().tobytes()] for row in x]))

    def recipe(self) -> dict[str, object]:
        return {}


def loose(data: int) -> tuple[Loose, SiteProblem]:
    g = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(PARTS, WIDTH, generator=g, dtype=torch.float64), dim=1)
    late = torch.arange(PARTS) >= PARTS // 2
    on = torch.rand(data, PARTS, generator=g) < torch.where(late, 0.02, 0.1)
    size = torch.where(late, 200.0, 2.0) * (1 + torch.rand(data, PARTS, generator=g, dtype=torch.float64))
    a = on * size
    wrong = on * torch.where(late, 4.0, 0.0) * torch.randn(data, PARTS, generator=g, dtype=torch.float64)
    x = a @ rows + 0.01 * torch.randn(data, WIDTH, generator=g, dtype=torch.float64)
    return Loose(rows, x, a + wrong), SiteProblem(x, GridTarget(0.1), 0.1)


def alike(data: int) -> tuple[Loose, SiteProblem]:
    """Parts of one size; every other is wrong by many steps."""
    g = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(PARTS, WIDTH, generator=g, dtype=torch.float64), dim=1)
    on = torch.rand(data, PARTS, generator=g) < 0.05
    a = on * 60.0 * (1 + torch.rand(data, PARTS, generator=g, dtype=torch.float64))
    noise = 4.0 * (torch.arange(PARTS) % 2)
    wrong = on * noise * torch.randn(data, PARTS, generator=g, dtype=torch.float64)
    x = a @ rows + 0.01 * torch.randn(data, WIDTH, generator=g, dtype=torch.float64)
    return Loose(rows, x, a + wrong), SiteProblem(x, GridTarget(0.1), 0.1)


def test_vague_parts_get_a_coarser_step_though_no_larger_than_others():
    """As good as a greedy search over single parts (49,505 bits with 307 trials, the even step 50,366)."""
    explanation, problem = alike(512)
    even, fitted = (calibrate(explanation, problem, 10, 512, even=even).knobs for even in (True, False))
    octaves = torch.tensor(fitted.octaves)
    assert octaves[1::2].min() > octaves[::2].max()
    assert total(explanation, problem, fitted) < 0.99 * total(explanation, problem, even)


def test_a_class_whose_values_are_vague_gets_a_coarser_step():
    explanation, problem = loose(512)
    even, fitted = (calibrate(explanation, problem, 10, 512, even=even).knobs for even in (True, False))
    assert not even.octaves
    assert min(fitted.octaves[PARTS // 2 :]) > max(fitted.octaves[: PARTS // 2])
    totals = [total(explanation, problem, knobs) for knobs in (even, fitted)]
    assert totals[1] < totals[0]


def total(explanation: Loose, problem: SiteProblem, knobs: Knobs) -> float:
    channel = Channel(explanation, problem.delta, knobs)
    tally = tally_rows(channel, problem.x, slice(0, len(problem.x)), problem.target, None)
    sent = channel.sent.total(tally.usage.counts) + steps_told(knobs)
    told = rough_bits(tally.values, channel.parts) + tally.correction.rough
    return sent + told + shortest_support(tally.usage).bits(tally.usage.n)


def test_steps_travel_and_are_as_long_as_stated():
    explanation, problem = loose(512)
    score = score_site(explanation, problem)
    assert score.octaves
    checks = audit_site(explanation, problem, score)
    assert checks["decodes"] is True
    assert checks["bitstream_excess"] == pytest.approx(0, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(2, 9),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 6), min_size=9, max_size=9),
)
def test_the_receiver_restores_the_target_whatever_the_steps(width, parts, seed, octaves):
    x = torch.randn(20, width, generator=torch.Generator().manual_seed(seed)) * 3
    channel = Channel(Drawn(width, parts, seed), 0.1, Knobs(8, -2, tuple(octaves[:parts])))
    tally = tally_rows(channel, x, slice(0, 20), GridTarget(0.1), None)
    assert tally.usage.n == 20


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 60), st.integers(0, 10**6))
def test_a_search_over_steps_never_ends_above_the_even_one(width, parts, rows, seed):
    explanation = Drawn(width, parts, seed)
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3
    problem = SiteProblem(x, GridTarget(0.1), 0.1)
    even = calibrate(explanation, problem, 8, 512, even=True).knobs
    fitted = calibrate(explanation, problem, 8, 512).knobs
    assert fitted == even or total(explanation, problem, fitted) < total(explanation, problem, even) + 1e-6
