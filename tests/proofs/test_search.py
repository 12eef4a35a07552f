"""The search: bounds that take over what is known, the choice of cuts, networks of the shape of ACAS Xu."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from assay.models import Network
from assay.proofs import Proved, Refuted, check, claim, verify
from assay.proofs.accuracies import sweep
from assay.proofs.bounds import Bounds
from assay.proofs.formulas import atoms
from assay.proofs.lowering import lower
from assay.proofs.obligations import bind
from assay.proofs.replay import exact_answers, torch_answers
from assay.proofs.search import Deadline, Search
from assay.proofs.stages import regions
from assay.proofs.stages.branching import Aim, sensitivity, variables
from assay.proofs.stages.falsify import ascended
from assay.proofs.verdicts import Witness
from torch import nn


def search_of(network, show, domain, semantics="float32"):
    asked = claim(show, domain, semantics=semantics)
    graphs = {"f": lower(network.module, network.in_shape)}
    runs = torch_answers({"f": network}, {"f": network.in_shape})
    return Search(bind(asked, graphs), exact_answers(graphs), runs, Deadline(60), 1 << 30)


@pytest.fixture(scope="module")
def advisory():
    """5 inputs, 6 layers of 50 ReLUs, 5 scores, trained to rank advisories of an encounter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = [5, 50, 50, 50, 50, 50, 50]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        module = nn.Sequential(*layers, nn.Linear(50, 5))
        x = torch.rand(2048, 5) - 0.5
        turns = torch.stack([x[:, 0] * 2, x[:, 1], -x[:, 1], x[:, 1] * x[:, 2] * 4, x[:, 3] - x[:, 4]], 1)
        optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
        for _ in range(150):
            optimiser.zero_grad()
            (module(x) - turns).square().mean().backward()
            optimiser.step()
    return Network("advisory", module, "regression", "real", (5,))


BOX = {
    f"x{i}": f"real {lo}..{hi}"
    for i, (lo, hi) in enumerate([(0.3, 0.5), (0, 0.5), (-0.5, 0), (0, 0.5), (0, 0.5)])
}
CALL = "f(x0, x1, x2, x3, x4)"


@pytest.mark.parametrize("semantics", ["float32", "real"])
def test_a_network_of_the_shape_of_acas_xu(advisory, semantics, tmp_path):
    """Like properties 3 (a conjunction of scores) and 5 (a disjunction)."""
    shows = [f"argmax({CALL}) != 2", f"{CALL}[2] < {CALL}[0] and {CALL}[2] < 1"]
    asked = [claim(show, BOX, semantics=semantics, name=f"claim {k}") for k, show in enumerate(shows)]
    for outcome in verify(asked, networks={"f": advisory}, certificates=tmp_path, budget_s=60):
        assert isinstance(outcome.verdict, Proved), outcome
        assert outcome.verdict.trusted == ()
        assert outcome.verdict.certificate.path.exists()
        assert outcome.lengths.certificate_bits <= 8 * 10_000


def test_its_counterexample_is_a_float32_point_in_the_box(advisory):
    (outcome,) = verify(
        [claim(f"{CALL}[0] <= {CALL}[4]", BOX, semantics="float32")], networks={"f": advisory}
    )
    assert isinstance(outcome.verdict, Refuted)
    for (name, value), side in zip(outcome.verdict.witness.inputs.items(), BOX.values(), strict=True):
        low, high = map(Fraction, side.removeprefix("real ").split(".."))
        assert low <= value <= high, name
        assert torch.tensor(float(value)).item() == value


def test_outer_intervals_change_nothing_but_what_is_settled(advisory):
    search = search_of(advisory, f"{CALL}[2] < 9", BOX)
    rows = search.batch.rows([search.obligation.counterexample.parts[-1].form])
    wide = Bounds(search.batch, search.lo[None], search.hi[None])
    wide.upper(rows)
    middle = (search.lo + search.hi) / 2
    half = middle[None], search.hi[None]
    alone, inside = Bounds(search.batch, *half), Bounds(search.batch, *half, outer=wide.intervals)
    assert inside.upper(rows)[0].item() <= alone.upper(rows)[0].item() + 1e-4
    points = middle + torch.rand(500, 5, dtype=torch.float64) * (search.hi - middle)
    for step, values in enumerate(search.batch.forward(points)):
        if step in inside.intervals:
            low, high = inside.intervals[step]
            assert bool((low <= values + 1e-9).all())
            assert bool((values <= high + 1e-9).all())
            tighter = (wide.intervals[step][0] - 1e-12 <= low) & (high <= wide.intervals[step][1] + 1e-12)
            assert bool(tighter.all())


def test_rows_of_bounds_are_the_bounds_of_rows(advisory):
    search = search_of(advisory, f"{CALL}[2] < 9", BOX)
    rows = search.batch.rows([search.obligation.counterexample.parts[-1].form])
    lo = search.lo + torch.rand(4, 5, dtype=torch.float64) * 0.1
    hi = lo + 0.05
    together = Bounds(search.batch, lo, hi)
    top, _ = together.upper(rows)
    picked, _ = together.rows([2, 0]).upper(rows)
    anew, _ = Bounds(search.batch, lo[[2, 0]], hi[[2, 0]]).upper(rows)
    assert torch.allclose(picked, top[[2, 0]], rtol=0, atol=1e-12)
    assert torch.allclose(picked, anew, rtol=0, atol=1e-12)


def kink():
    """|x1|, as two ReLUs."""
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([[1.0, 1.0]]))
        module[2].bias.zero_()
    return Network("kink", module, "regression", "real", (2,))


def test_the_variable_is_cut_on_which_the_slack_hangs():
    """|x1| needs its kink cut; x0 is steeper, but cutting it leaves the kink."""
    show = "f(x0, x1)[0] + x0 / 8 <= 17/16"
    search = search_of(kink(), show, {"x0": "real -1..1", "x1": "real -1..1"}, "real")
    rows = search.batch.rows([search.obligation.counterexample.parts[-1].form])
    bounds = Bounds(search.batch, search.lo[None], search.hi[None])
    bounds.upper(rows)
    aim = Aim(search.obligation.counterexample, search.batch)
    assert variables(search, bounds, aim, few=False).tolist() == [0]
    assert variables(search, bounds, aim, few=True).tolist() == [1]


def test_sensitivity_is_the_slope_of_the_bound_by_the_ends(advisory):
    """Against differences of bounds of boxes that are a little smaller."""
    search = search_of(advisory, f"{CALL}[2] < 9", BOX)
    rows = search.batch.rows([search.obligation.counterexample.parts[-1].form])
    lo = search.lo[None] + 0.1
    bounds = Bounds(search.batch, lo, lo + 0.01)

    def value(of):
        return of.upper(rows)[0][:, 0]

    found = sensitivity(bounds, value)[0]
    step = 1e-4
    for i, told in enumerate(found.tolist()):
        inner = torch.zeros_like(lo)
        inner[0, i] = 0.005 * step
        less = value(Bounds(search.batch, bounds.lo + inner, bounds.hi - inner))
        measured = (value(bounds) - less).item() * 2 / step
        assert told == pytest.approx(measured, rel=0.1, abs=0.05 * found.max().item())


def test_an_atom_that_holds_on_all_of_a_box_does_not_decide_where_to_cut():
    """Whatever its unit: x1 <= 1e-3 holds, and its range is the smallest."""
    domain = {"x0": "real -1..1", "x1": "real 0..0.001"}
    asked = claim("f(x0, x1)[0] + x0 < 1/2", domain, given="x1 <= 1/1000 and x0 >= 1/4", semantics="real")
    graphs = {"f": lower(kink().module, (2,))}
    search = Search(bind(asked, graphs), exact_answers(graphs), None, Deadline(60), 1 << 30)
    bounds = Bounds(search.batch, search.lo[None], search.hi[None])
    aim = Aim(search.obligation.counterexample, search.batch)
    assert not aim.shares(bounds)[0].isfinite().all()
    assert variables(search, bounds, aim, few=True).tolist() == [0]


def test_the_end_of_a_scope_that_is_rounded_outward_is_not_cut_at(advisory):
    """x1 <= 0.1 or x1 >= 0.4, as far as its ends can be told: nothing is gained along x1 beside them."""
    show = f"(x1 > 0.1 and x1 < 0.4) or {CALL}[2] < {CALL}[0] or {CALL}[2] < 1"
    search = search_of(advisory, show, BOX)
    aim = Aim(search.obligation.counterexample, search.batch)
    lo, hi = search.lo.clone(), search.hi.clone()
    lo[1] = 0.4 - 1e-13
    bounds = Bounds(search.batch, lo[None], hi[None])
    shares = aim.shares(bounds)[0][0]
    limits = [k for k, atom in enumerate(atoms(aim.formula)) if all(s == 0 for (s, _), _ in atom.form.terms)]
    assert all(shares[k] <= 0 or shares[k].isinf() for k in limits)
    assert int(variables(search, bounds, aim, True)) != 1


def test_a_box_is_bounded_anew_once_and_its_halves_take_over_what_was_known(advisory):
    search = search_of(advisory, f"{CALL}[2] < 9", BOX)
    rows = search.batch.rows([search.obligation.counterexample.parts[-1].form])
    first = regions.Batch.of(search.batch, [regions.Region(search.lo, search.hi)])
    first.bounds.upper(rows)
    inner = replace(first.inside(0), anew=True)
    assert inner.outer is not None
    anew = regions.Batch.of(search.batch, [inner])
    assert not anew.bounds.outer
    assert not anew.inside(0).anew
    assert anew.inside(0).known is inner.outer


def test_boxes_take_over_intervals_as_in_the_checker():
    assert regions.EVERY == check.EVERY


def test_points_climb_within_their_boxes(advisory):
    search = search_of(advisory, f"{CALL}[2] < 9", BOX)
    lo = search.lo + torch.rand(16, 5, dtype=torch.float64) * 0.1
    points, hi = lo + 0.02, lo + 0.05
    higher = ascended(search, points, lo, hi, 5)
    assert bool(((lo <= higher) & (higher <= hi)).all())
    assert bool((search.score(higher) >= search.score(points)).all())
    assert bool((search.score(higher) > search.score(points)).any())


def test_a_sweep_finds_the_one_wrong_input_among_many_at_the_edge_of_a_condition():
    """Every input lies at the edge of `sum(x) == k` or of `sum(x) != k`, which says nothing against it."""
    size = 8
    module = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.copy_(-torch.arange(size))
        module[2].weight.copy_(torch.tensor([[1.0, *(2.0 * (-1) ** k for k in range(1, size))]]))
        module[2].weight[0, -1] += 2.0  # the parity, but for eight ones
        module[2].bias.fill_(-0.5)
    network = Network("parity", module, "regression", "real", (size,))
    search = search_of(network, "(f(x)[0] > 0) == (sum(x) % 2 == 1)", {f"x[0..{size - 1}]": "bit"}, "real")
    found = sweep(search, Deadline(60))
    assert isinstance(found, Witness)
    assert set(found.inputs.values()) == {1}
