"""Resampling what is said not to matter: scrubbing, masks, witnesses, rewrites; readings of recovery."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import Components, ExplanationError, WholeNetwork, planted_components
from assay.explanations.anomalies import restricted
from assay.explanations.matching import chance_mmcs
from assay.explanations.trials import (
    Claim,
    areas,
    cka,
    edges_found,
    masks,
    necessity_in_bits,
    rewrite,
    router_geometry,
    rsa,
    scrub,
    shrunk,
    sufficiency,
    witnesses,
)
from assay.explanations.truth.traps import (
    SwappedAnswers,
)
from assay.mdl import GridTarget, MechanismProblem
from assay.mdl.compute import ComputeCurve
from assay.models import Network, perceptron, zoo
from torch import nn


def on(count: int, size: int = 32) -> torch.Tensor:
    return torch.arange(size) < count


def cancelling() -> Network:
    """Logits (x, −x) from unit 0; units 1 and 2 are both x² and cancel in the readout."""

    class Squares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.units, self.weight = nn.Identity(), nn.Parameter(torch.tensor([1.0, 3.0, -3.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.units(torch.cat([x, x**2, x**2], 1))
            y = (h * self.weight).sum(1)
            return torch.stack([y, -y], 1)

    return Network("pair", Squares(), "categorical", "real", (1,))


def test_everything_important_is_the_model_itself(digits, digits_data):
    curve = ComputeCurve.of([(1.0, 2.3), (10.0, 1.0), (100.0, 1e-9)])
    found = scrub(digits, digits_data.inputs, Claim({"layers.1": on(32)}), digits_data.labels, curve=curve)
    assert found.mean == 0.0
    assert found.loss_recovered == 1.0
    assert found.compute_recovered == 1.0
    assert found.sufficient


def test_nothing_important_recovers_nothing(digits, digits_data):
    found = scrub(digits, digits_data.inputs, Claim({"layers.1": on(0)}), digits_data.labels)
    assert found.loss_recovered == pytest.approx(0.0)
    assert found.mean > 1


@pytest.mark.parametrize("fill", ["resample", "mean", "zero"])
def test_more_units_leave_less(digits, digits_data, fill):
    left = [scrub(digits, digits_data.inputs, Claim({"layers.1": on(k)}, fill)).mean for k in (0, 16, 32)]
    assert left[0] > left[1] > left[2] == 0.0


def test_the_donor_rule_flips_the_cancelling_pair():
    network, x = cancelling(), torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    important = {"units": torch.tensor([True, False, False])}
    assert scrub(network, x, Claim(important, joint=True)).sufficient
    assert not scrub(network, x, Claim(important, joint=False)).sufficient
    assert not masks(network, x, Claim(important, joint=True)).holds
    assert Claim(important, joint=True).rule != Claim(important).rule


def test_a_false_explanation_with_perfect_mean_loss_is_caught(digits, digits_data):
    swapped = SwappedAnswers(digits, digits_data.inputs, digits_data.labels)
    weights = {n: p[None] for n, p in digits.parameters().items()}
    told = swapped.predict(weights, digits_data.inputs, torch.ones(1))
    outputs = digits(digits_data.inputs)
    found = sufficiency(digits, outputs, told, torch.zeros_like(outputs), digits_data.labels)
    assert found.loss_recovered == pytest.approx(1.0, abs=1e-6)
    assert found.mean > 0.3
    assert found.fools_the_loss


def test_the_adversary_is_at_least_as_bad_as_brute_force():
    network = cancelling()
    x = torch.randn(40, 1, generator=torch.Generator().manual_seed(1))
    claim = Claim({"units": torch.tensor([True, False, False])}, "zero")
    found = masks(network, x, claim, steps=30)
    worst = max(
        scrub(network, x, Claim({"units": torch.tensor([True, a, b])}, "zero")).mean
        for a in (False, True)
        for b in (False, True)
    )
    assert found.adversary >= worst - 1e-6
    assert found.adversary > found.random_mean


def test_witnesses_name_the_units_that_matter():
    network = cancelling()
    x = torch.randn(50, 1, generator=torch.Generator().manual_seed(2))
    found = witnesses(network, x, Claim({"units": torch.ones(3, dtype=torch.bool)}, "zero"))
    assert [w.needed for w in found] == [True, True, True]
    dead = perceptron([1, 2, 2])
    with torch.no_grad():
        dead.layers[2].weight[:, 1] = 0
    idle = Network("idle", dead, "categorical", "real", (1,))
    found = witnesses(idle, x, Claim({"layers.1": torch.ones(2, dtype=torch.bool)}, "zero"))
    assert not found[1].needed


def test_removing_a_true_part_lengthens_the_message():
    network, data = zoo.load("tms-5-2"), zoo.data("tms-5-2", 200, 1)
    whole = planted_components(network)
    without = {c: restricted(whole, torch.tensor([i for i in range(5) if i != c])) for c in range(5)}
    problem = MechanismProblem(data.inputs, network(data.inputs), GridTarget(0.05))
    assert all(r.needed for r in necessity_in_bits(whole, without, problem))
    assert isinstance(whole, Components)


def test_rewrites_are_equal_to_the_last_bit(digits, digits_data):
    torch.manual_seed(0)
    f = Network("f", perceptron([64, 8, 10]), "categorical", "real", (64,))
    made = rewrite(digits, f, digits_data.inputs)
    assert torch.equal(made(digits_data.inputs), digits(digits_data.inputs))
    claim = Claim({"residual": torch.zeros(10, dtype=torch.bool)})
    assert not scrub(made, digits_data.inputs, claim).sufficient
    same = rewrite(digits, digits, digits_data.inputs)
    assert scrub(same, digits_data.inputs, claim).mean == 0.0

    class Huge(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :10] * 0 + 1e30

    with pytest.raises(ExplanationError, match="is not M"):
        rewrite(digits, Network("huge", Huge(), "categorical", "real", (64,)), digits_data.inputs)


def test_recovery_readings():
    assert shrunk(2.0) == 1.5
    a = torch.tensor(0.0, requires_grad=True)
    optimiser = torch.optim.SGD([a], lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        ((2 - a) ** 2 + a.abs()).backward()
        optimiser.step()
    assert float(a.detach()) == pytest.approx(1.5, abs=1e-3)
    chance = [chance_mmcs(d, k) for d, k in ((8, 16), (8, 512), (256, 16384))]
    assert chance == pytest.approx([0.60, 0.86, 0.24], abs=0.01)
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).double())[0]
    other = torch.randn(60, 5, generator=torch.Generator().manual_seed(2)).double()
    assert cka(x, 3 * x @ turn) == pytest.approx(1.0)
    assert rsa(x, 3 * x @ turn) == pytest.approx(1.0)
    assert cka(x, other) < 0.5
    assert rsa(x, other) < 0.5
    found = edges_found(
        torch.tensor([1, 1, 0, 0]), torch.tensor([1, 0, 1, 0]), torch.tensor([4.0, 3.0, 2.0, 1.0])
    )
    assert (found.precision, found.recall, found.auroc) == (0.5, 0.5, 1.0)
    free = areas([0.0] * 9 + [1.0])
    assert (free.cpr, free.trivial) == (0.25, 0.25)
    assert areas([1.0] * 10).cmd == 0.0
    geometry = router_geometry(torch.eye(2), torch.eye(2), torch.arange(2))
    assert (geometry.own, geometry.other) == (1.0, 0.0)


def test_nonsense_is_refused(digits, digits_data):
    with pytest.raises(ExplanationError, match="is not one of"):
        Claim({"layers.1": on(1)}, "noise")  # type: ignore[arg-type]
    with pytest.raises(ExplanationError, match="the site has 32"):
        scrub(digits, digits_data.inputs, Claim({"layers.1": on(1, 5)}))
    with pytest.raises(ExplanationError, match="two or more"):
        scrub(digits, digits_data.inputs[:1], Claim({"layers.1": on(1)}))
    assert WholeNetwork(digits).kind == "network"
