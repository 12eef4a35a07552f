from __future__ import annotations

import pytest
import torch
from assay.explanations import Components, ExplanationError, Lookup, WholeNetwork, planted_components
from assay.explanations.anomalies import Observations, SiteBits, restricted
from assay.explanations.circuits import CircuitFile, Graph, GraphCircuit
from assay.explanations.components import svd_components
from assay.explanations.matching import chance_mmcs
from assay.explanations.pca import pca
from assay.explanations.trials import (
    BASELINES,
    Claim,
    along,
    areas,
    bit_shares,
    capacities,
    cka,
    edges_found,
    faithfulness,
    masks,
    message_shares,
    necessity_in_bits,
    optimal_capacities,
    project_out,
    quadratic_loss,
    respond,
    rewrite,
    router_geometry,
    rsa,
    same_edges,
    scores,
    scrub,
    sets_of_code,
    sets_of_mechanism,
    shrunk,
    sufficiency,
    train_quadratic,
    try_parts,
    try_usage,
    try_weights,
    untrained_twin,
    witnesses,
)
from assay.explanations.truth import true_circuit
from assay.explanations.truth.traps import (
    SwappedAnswers,
    arbitrary_parts,
    cancelling_pair,
    everything_relevant,
    merged_mechanisms,
)
from assay.mdl import Code, GridTarget, MechanismProblem, score_mechanism
from assay.mdl.compute import ComputeCurve
from assay.models import Network, perceptron, programs, zoo
from torch import nn


@pytest.fixture(scope="module")
def digits() -> Network:
    return zoo.load("digits")


@pytest.fixture(scope="module")
def data():
    return zoo.data("digits", 360, 0)


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


def test_everything_important_is_the_model_itself(digits, data):
    curve = ComputeCurve.of([(1.0, 2.3), (10.0, 1.0), (100.0, 1e-9)])
    found = scrub(digits, data.inputs, Claim({"layers.1": on(32)}), data.labels, curve=curve)
    assert found.mean == 0.0
    assert found.loss_recovered == 1.0
    assert found.compute_recovered == 1.0
    assert found.sufficient


def test_nothing_important_recovers_nothing(digits, data):
    found = scrub(digits, data.inputs, Claim({"layers.1": on(0)}), data.labels)
    assert found.loss_recovered == pytest.approx(0.0)
    assert found.mean > 1


@pytest.mark.parametrize("fill", ["resample", "mean", "zero"])
def test_more_units_leave_less(digits, data, fill):
    left = [scrub(digits, data.inputs, Claim({"layers.1": on(k)}, fill)).mean for k in (0, 16, 32)]
    assert left[0] > left[1] > left[2] == 0.0


def test_the_donor_rule_flips_the_cancelling_pair():
    network, x = cancelling(), torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    important = {"units": torch.tensor([True, False, False])}
    assert scrub(network, x, Claim(important, joint=True)).sufficient
    assert not scrub(network, x, Claim(important, joint=False)).sufficient
    assert not masks(network, x, Claim(important, joint=True)).holds
    assert Claim(important, joint=True).rule != Claim(important).rule


def test_a_false_explanation_with_perfect_mean_loss_is_caught(digits, data):
    swapped = SwappedAnswers(digits, data.inputs, data.labels)
    told = swapped.predict({n: p[None] for n, p in digits.parameters().items()}, data.inputs, torch.ones(1))
    outputs = digits(data.inputs)
    found = sufficiency(digits, outputs, told, torch.zeros_like(outputs), data.labels)
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


def test_rewrites_are_equal_to_the_last_bit(digits, data):
    torch.manual_seed(0)
    f = Network("f", perceptron([64, 8, 10]), "categorical", "real", (64,))
    made = rewrite(digits, f, data.inputs)
    assert torch.equal(made(data.inputs), digits(data.inputs))
    claim = Claim({"residual": torch.zeros(10, dtype=torch.bool)})
    assert not scrub(made, data.inputs, claim).sufficient
    same = rewrite(digits, digits, data.inputs)
    assert scrub(same, data.inputs, claim).mean == 0.0

    class Huge(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :10] * 0 + 1e30

    with pytest.raises(ExplanationError, match="is not M"):
        rewrite(digits, Network("huge", Huge(), "categorical", "real", (64,)), data.inputs)


def test_projecting_out_what_matters_is_worse_than_chance(digits, data):
    a = digits.run(data.inputs, capture=["layers.1"])[1]["layers.1"]
    top = pca(a, 4).rows.float()
    found = project_out(digits, data.inputs, "layers.1", top)
    assert found.divergence > 2 * found.random
    lm, text = zoo.load("byte-lm"), zoo.data("byte-lm", 4, 0)
    rows = torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    direct, full = (
        project_out(lm, text.inputs, "blocks.0.hook_resid_post", rows, final, controls=1)
        for final in ("blocks.3.hook_resid_post", None)
    )
    assert (direct.path, full.path) == ("direct", "everywhere")
    assert direct.divergence != full.divergence


def test_directions_of_the_data_are_sensitive_and_controls_are_flat(digits, data):
    found = {r.name: r for r in respond(digits, data.inputs, "layers.1", later=["layers.2"])}
    assert found.keys() == BASELINES.keys()
    assert found["to real other"].mean(0.3) > 3 * found["isotropic"].mean(0.3)
    twin = {r.name: r.mean(0.3) for r in respond(untrained_twin(digits), data.inputs, "layers.1")}
    trained = found["to real other"].mean(0.3) / found["isotropic"].mean(0.3)
    assert max(twin.values()) / min(twin.values()) < trained / 2
    last = respond(digits, data.inputs, "layers.2", later=["layers.2"])
    assert all(torch.allclose(r.amplification["layers.2"], torch.ones(1), rtol=1e-4) for r in last)
    rated = {s.name: s for s in scores(list(found.values()), 0.3)}
    assert rated["covariance mix"].ratio == rated["covariance mix"].low == 1.0
    assert rated["isotropic"].high < 1.0
    own = {"own": along(torch.eye(32)), **BASELINES}
    assert len(respond(digits, data.inputs, "layers.1", own)) == 6


def test_real_activations_lie_on_plateaus():
    module, data = perceptron([64, 64, 64, 10]), zoo.data("digits", 360, 0)
    torch.manual_seed(0)
    images, labels = data.inputs, data.labels
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.1)
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimiser.step()
    network = Network("deep", module, "categorical", "real", (64,))
    bases = {
        base: {r.name: r for r in respond(network, images, "layers.1", later=["layers.3"], base=base)}
        for base in ("real", "covariance-random")
    }
    real, drawn = bases["real"], bases["covariance-random"]
    assert all(drawn[name].mean(0.3) > 2 * real[name].mean(0.3) for name in ("isotropic", "real mix"))
    grown = [float(b["isotropic"].amplification["layers.3"][1].mean()) for b in bases.values()]
    assert grown[0] < grown[1]
    with pytest.raises(ExplanationError, match="base 'odd'"):
        respond(network, images, "layers.1", base="odd")


def test_an_untrained_language_model_still_answers():
    lm, text = zoo.load("byte-lm"), zoo.data("byte-lm", 3, 0)
    found = respond(untrained_twin(lm), text.inputs, "blocks.1.hook_resid_post", lengths=(0.3,))
    assert all(r.mean(0.3) > 0 for r in found)


def test_capacity_follows_the_closed_form():
    worked = optimal_capacities([1, 0.9, 0.8, 0.7, 0.6, 0.5], 4, 3)
    assert worked == pytest.approx([1, 1, 2 / 3, 1 / 3, 0, 0], abs=1e-3)
    assert optimal_capacities([1, 0.9, 0.8], 2.5, 2) == [1.0, 1.0, 0.0]
    identity = capacities(torch.eye(4))
    assert identity.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("v", "kurtosis", "d"),
    [
        pytest.param((1, 0.9, 0.8, 0.7, 0.6, 0.5), 4, 3, marks=pytest.mark.slow),
        ((1, 0.9, 0.5), 8, 2),
    ],
)
def test_trained_quadratic_models_have_the_closed_forms_capacities(v, kurtosis, d):
    W = train_quadratic(v, kurtosis, d, restarts=3)
    assert capacities(W).tolist() == pytest.approx(optimal_capacities(v, kurtosis, d), abs=1e-3)


def test_the_quadratic_loss_is_an_expectation():
    g = torch.Generator().manual_seed(0)
    W, v = torch.randn(2, 3, generator=g).double(), torch.tensor([1.0, 0.5, 0.2]).double()
    signs = torch.randint(2, (400_000, 3), generator=g) * 2 - 1
    x = (torch.rand(400_000, 3, generator=g) < 0.25) * signs * 2.0  # variance 1, fourth moment 4
    missed = (v * x.double().square()).sum(1) - (x.double() @ W.T).square().sum(1)
    assert float(missed.var()) == pytest.approx(float(quadratic_loss(W, v, 4.0)), rel=0.02)


def test_shares_of_the_code_sum_to_one():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=g) * torch.tensor([8.0, 2.0]) @ torch.randn(2, 12, generator=g)
    seen = Observations(x)
    shares = bit_shares(SiteBits.fit(pca(x), seen, 0.1), seen)
    assert float(shares.sum()) == pytest.approx(1.0)
    assert shares[0] > shares[1] > shares[2:].max()


def test_shares_of_a_message_are_the_ledger_over_again():
    """Parts and what no part owns sum to the message; a part that no datum uses owns nothing."""
    network = zoo.load("tms-5-2")
    x = zoo.data("tms-5-2", 200, 1).inputs.clone()
    x[:, 4] = 0
    problem = MechanismProblem(x, network(x), GridTarget(0.05))
    parts = planted_components(network)
    score = score_mechanism(parts, problem, 8)
    done = message_shares(score, [t.name for t in parts.parts().tensors])
    assert float(done.parts.sum()) + done.common == pytest.approx(1.0)
    assert float(done.parts[4]) == 0.0 < float(done.parts[:4].min())
    lines = {line.name: line.bits for line in score.ledger.lines}
    total = score.ledger.total
    assert done.common * total >= lines["residual"] - 1e-6
    assert sum(done.tensors.values()) * total == pytest.approx(lines["mechanism"] - score.law.preamble)
    whole = score_mechanism(WholeNetwork(network), problem, 8)
    with pytest.raises(ExplanationError, match="1 names for"):
        message_shares(whole, ["W"])


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


def test_nonsense_is_refused(digits, data):
    with pytest.raises(ExplanationError, match="is not one of"):
        Claim({"layers.1": on(1)}, "noise")  # type: ignore[arg-type]
    with pytest.raises(ExplanationError, match="the site has 32"):
        scrub(digits, data.inputs, Claim({"layers.1": on(1, 5)}))
    with pytest.raises(ExplanationError, match="two or more"):
        scrub(digits, data.inputs[:1], Claim({"layers.1": on(1)}))
    assert WholeNetwork(digits).kind == "network"


def test_traps_of_parts_are_caught_and_the_truth_is_not():
    network, x = zoo.load("tms-40-10"), zoo.data("tms-40-10", 48, 1).inputs
    honest = planted_components(network)
    found = {
        name: try_parts(parts, x)
        for name, parts in (
            ("honest", honest),
            ("everything", everything_relevant(honest)),
            ("arbitrary", arbitrary_parts(honest)),
            ("pair", cancelling_pair(honest)),
            ("merged", merged_mechanisms(network)),
        )
    }
    assert found["honest"].caught() == []
    assert all(found[name].caught() for name in ("everything", "arbitrary", "pair", "merged"))
    assert found["pair"].cancelling == 1
    assert found["everything"].needless > 0.9 > found["honest"].needless


def test_lists_copies_and_idle_weights_are_seen():
    network, x = zoo.load("tms-5-2"), zoo.data("tms-5-2", 60, 1).inputs
    honest = planted_components(network)
    sets = {
        "honest": sets_of_mechanism(honest, x),
        "list": sets_of_mechanism(Lookup(network, x), x),
        "everything": sets_of_mechanism(everything_relevant(honest), x),
    }
    found = {name: try_usage(active) for name, active in sets.items()}
    assert found["honest"].caught() == []
    assert (found["list"].unseen, found["list"].twins) == (1.0, 0.0)
    assert (found["everything"].unseen, found["everything"].twins) == (0.0, 1.0)
    assert all(found[name].caught() for name in ("list", "everything"))
    code = Code(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1, 1, 0]), torch.ones(4), 4, 3)
    assert sets_of_code(code, 2).tolist() == [[True, True, False], [True, False, False]]
    assert try_usage(sets_of_code(code, 1)).unseen == 0.0
    with pytest.raises(ExplanationError, match="2 or more data"):
        try_usage(torch.ones(1, 3))


def test_a_weight_is_needed_where_its_removal_shows():
    """y = 2 x0 + 0.001 x1 + 0 x2: of two weights that are not zero one does next to nothing."""
    module = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[2.0, 0.001, 0.0]]))
    network = Network("line", module, "regression", "real", (3,))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    done = try_weights(network, x)
    assert (done.needless, done.weights) == (0.5, 2)
    first = {"weight": torch.tensor([[True, False, False]])}
    assert try_weights(network, x, first).needless == 0.0
    assert module.weight.tolist() == [[2.0, pytest.approx(0.001), 0.0]]
    with pytest.raises(ExplanationError, match="no weight that is not zero"):
        try_weights(network, x, {"weight": torch.zeros(1, 3)})


def test_a_circuit_is_as_faithful_as_its_edges_are_many():
    network = zoo.load("max-of-4")
    graph, x = Graph.of(network), zoo.data("max-of-4", 40, 1).inputs
    told = CircuitFile("scores", "-", graph, scores=torch.rand(1, *graph.real.shape).double())
    curve = faithfulness(network, told, x, (0.001, 0.5, 1.0))
    assert curve[0] == pytest.approx(0.0, abs=1e-6)
    assert curve[2] == pytest.approx(1.0, abs=1e-4)
    some = graph.real & (torch.rand(graph.real.shape, generator=torch.Generator().manual_seed(0)) < 0.8)
    whole, part = (GraphCircuit(network, graph, e) for e in (graph.real, some))
    found = same_edges(whole, part, graph.real.double())
    assert found.precision == 1.0
    assert found.recall == pytest.approx(int(part.edges.sum()) / int(whole.edges.sum()))
    with pytest.raises(ExplanationError, match="two circuits"):
        same_edges(whole, true_circuit(programs.load("sort")))


def test_parts_of_a_language_model_are_tried_by_position():
    network, x = zoo.load("byte-lm"), zoo.data("byte-lm", 2, 0).inputs
    factors = svd_components(network, ("blocks.0.mlp.W_in", "blocks.0.mlp.W_out")).factors
    owners = {name: torch.arange(len(L)) * 3 // len(L) for name, (L, _) in factors.items()}
    whole = Components(network, factors, owners=owners)
    assert whole.parts_count == 3
    found = try_parts(whole, x, draws=1)
    assert found.divergence == pytest.approx(0.0, abs=1e-3)
    assert 0 <= found.needless < 1
