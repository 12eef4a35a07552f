"""What each explanation sends restores what it claims: run from the restored parts alone."""

import pytest
import torch
from assay.explanations import (
    Answers,
    Components,
    EdgeCircuit,
    ExplanationError,
    Lookup,
    Neurons,
    NodeCircuit,
    Reads,
    SAEMechanism,
    WholeNetwork,
    planted_components,
    prune_by_attribution,
    prune_by_magnitude,
    svd_components,
)
from assay.explanations.circuits import attribute
from assay.explanations.components import Gates
from assay.mdl.parts import send_parts
from assay.models import Network, perceptron, zoo
from assay.models.units import unit_sites

from .conftest import sae

FINE = 24


def received(explanation, x: torch.Tensor, active: torch.Tensor | None = None) -> torch.Tensor:
    """What the receiver computes from parts at 24 bits."""
    restored = send_parts(explanation.parts(), FINE).restored
    on = explanation.active(restored, x) if active is None else active
    return explanation.predict(restored, x, on)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), atol=2e-4, rtol=2e-4)


@pytest.fixture(params=["tms", "transformer", "mlp"])
def network_and_inputs(request) -> tuple[Network, torch.Tensor]:
    inputs = {"tms": "tms_data", "transformer": "tokens", "mlp": "reals"}[request.param]
    data = request.getfixturevalue(inputs)
    return request.getfixturevalue(request.param), getattr(data, "inputs", data)[:30]


def test_the_whole_network_is_the_model(network_and_inputs):
    network, x = network_and_inputs
    explanation = WholeNetwork(network)
    assert close(received(explanation, x), network(x))
    numbers = sum(p.numel() for p in network.parameters().values())
    assert send_parts(explanation.parts(), 8).numbers.tolist() == [numbers, 0]


def test_a_coarse_network_is_not_the_model(network_and_inputs):
    """So the receiver really runs what was sent."""
    network, x = network_and_inputs
    explanation = WholeNetwork(network)
    restored = send_parts(explanation.parts(), 3).restored
    active = explanation.active(restored, x)
    assert not close(explanation.predict(restored, x, active), network(x))


def test_neurons_that_are_off_need_not_be_told(network_and_inputs):
    network, x = network_and_inputs
    explanation = Neurons(network)
    restored = send_parts(explanation.parts(), FINE).restored
    active = explanation.active(restored, x)
    assert active.shape == (
        len(x),
        network(x).shape[1] if network(x).ndim == 3 else 1,
        sum(explanation.sizes),
    )
    assert close(explanation.predict(restored, x, active), network(x))
    assert close(explanation.predict(restored, x, torch.ones_like(active)), network(x))
    numbers = sum(p.numel() for p in network.parameters().values())
    assert int(send_parts(explanation.parts(), 8).numbers.sum()) == numbers  # each weight once


def test_a_neuron_that_is_switched_off_is_zeroed(transformer, tokens):
    explanation, x = Neurons(transformer), tokens.inputs[:8]
    site, unit = "blocks.1.mlp.hook_post", 3
    restored = send_parts(explanation.parts(), FINE).restored
    active = torch.ones(8, 6, 40, dtype=torch.bool)
    active[:, :, 20 + unit] = False

    def zero(a: torch.Tensor) -> torch.Tensor:
        a = a.clone()
        a[..., unit] = 0
        return a

    assert explanation.sites == ("blocks.0.mlp.hook_post", site)
    assert close(explanation.predict(restored, x, active), transformer.patched(x, {site: zero}))


def test_active_neurons_are_those_that_fire(mlp, reals):
    explanation = Neurons(mlp)
    restored = send_parts(explanation.parts(), FINE).restored
    _, seen = mlp.run(reals, capture=explanation.sites)
    fires = torch.cat([seen[site] > 0 for site in explanation.sites], dim=1)
    assert torch.equal(explanation.active(restored, reals)[:, 0], fires)


@pytest.mark.parametrize("weight", ["W"])
def test_svd_components_sum_to_the_weight_and_are_the_model(tms, tms_data, weight):
    explanation = svd_components(tms, (weight,))
    L, R = explanation.factors[weight]
    assert torch.allclose((L.T @ R).float(), tms.parameters()[weight], atol=1e-6)
    assert close(received(explanation, tms_data.inputs), tms(tms_data.inputs))


def test_components_of_transformer_weights_are_the_model(transformer, tokens):
    names = ("blocks.0.mlp.W_in", "blocks.0.mlp.W_out")
    explanation, x = svd_components(transformer, names), tokens.inputs[:10]
    assert explanation.counts == dict.fromkeys(names, 12)
    assert close(received(explanation, x), transformer(x))
    restored = send_parts(explanation.parts(), FINE).restored
    off = torch.ones(10, 6, 24, dtype=torch.bool)
    off[..., 3] = False
    L, R = (f[3:4].float() for f in explanation.factors[names[0]])
    without = transformer.with_weights({names[0]: transformer.parameters()[names[0]] - L.T @ R})
    assert close(explanation.predict(restored, x, off), without(x))


def test_components_of_linear_layers_are_the_model(mlp, reals):
    explanation = svd_components(mlp, ("layers.0.weight", "layers.4.weight"))
    assert close(received(explanation, reals), mlp(reals))


def test_components_of_the_residual_mlp_are_the_model():
    network, data = zoo.load("resid-mlp"), zoo.data("resid-mlp", 20, 0)
    explanation = svd_components(network, ("mlp.W_in", "mlp.W_out"))
    assert close(received(explanation, data.inputs), network(data.inputs))


def test_planted_components_need_one_part_where_one_feature_is_active(tms):
    explanation = planted_components(tms)
    x = torch.eye(5) * 0.7
    restored = send_parts(explanation.parts(), FINE).restored
    active = explanation.active(restored, x)
    assert torch.equal(active[:, 0], torch.eye(5, dtype=torch.bool))
    told = explanation.predict(restored, x, active)
    # both uses of W are masked, so a feature answers for itself and the others by their bias alone
    W, b = tms.parameters()["W"], tms.parameters()["b"]
    assert close(torch.diagonal(told), torch.relu(0.7 * W.square().sum(0) + b))
    assert close(torch.diagonal(told), torch.diagonal(tms(x)))


def test_planted_components_all_on_are_the_model(tms, tms_data):
    explanation, x = planted_components(tms), tms_data.inputs
    everything = torch.ones(len(x), 1, 5, dtype=torch.bool)
    assert close(received(explanation, x, everything), tms(x))


def test_rules_of_importance():
    inner = torch.tensor([[-2.0, 0.0, 0.5]])
    assert Reads()("W", inner).tolist() == [[True, False, True]]
    assert Reads(1.0)("W", inner).tolist() == [[True, False, False]]
    gate = {
        "mlp_in": torch.tensor([[1.0], [1.0], [-1.0]]),
        "in_bias": torch.zeros(3, 1),
        "mlp_out": torch.ones(3, 1),
        "out_bias": torch.tensor([0.5, 0.0, 0.3]),
    }
    gates = Gates({"W": gate}, threshold=0.1)
    by_hand = [
        max(0.0, min(1.0, float(torch.nn.functional.gelu(torch.tensor(z))) + b))
        for z, b in ((-2.0, 0.5), (0.0, 0.0), (-0.5, 0.3))
    ]
    assert gates.importance("W", inner)[0].tolist() == pytest.approx(by_hand)
    assert gates("W", inner)[0].tolist() == [value > 0.1 for value in by_hand]


def test_components_that_do_not_fit_are_refused(tms, transformer):
    with pytest.raises(ExplanationError, match="has no weight 'V'"):
        Components(tms, {"V": (torch.zeros(1, 2), torch.zeros(1, 5))})
    with pytest.raises(ExplanationError, match=r"components of W: \(3, 5\), the weight is \(2, 5\)"):
        Components(tms, {"W": (torch.zeros(1, 3), torch.zeros(1, 5))})
    with pytest.raises(ExplanationError, match="has no masked form"):
        svd_components(transformer, ("embed.W_E",))
    with pytest.raises(ExplanationError, match=r"blocks\.0\.mlp\.W_out"):
        svd_components(transformer, ("blocks.0.mlp.W_in",))
    with pytest.raises(ExplanationError, match="has no weight matrix nothing"):
        svd_components(tms, ("nothing",))
    with pytest.raises(ExplanationError, match="planted"):
        planted_components(transformer)


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_an_sae_mechanism_is_the_network_with_its_site_told_by_the_sae(architecture, transformer, tokens):
    site = "blocks.0.hook_resid_post"
    made = sae(architecture, site)
    x = tokens.inputs[:10]
    expected = transformer.patched(x, {site: lambda a: made.decode(made.encode(a))})
    explanation = SAEMechanism(made, transformer)
    assert close(received(explanation, x), expected)
    restored = send_parts(explanation.parts(), FINE).restored
    active = explanation.active(restored, x)
    assert active.shape == (10, 6, 30)
    _, seen = transformer.run(x, capture=[site])
    assert float((active == (made.encode(seen[site]) > 0)).double().mean()) > 0.999
    nothing = explanation.predict(restored, x, active & False)
    assert close(nothing, transformer.patched(x, {site: lambda a: made.b_dec.expand_as(a)}))


def test_an_sae_mechanism_needs_its_site(transformer):
    with pytest.raises(ExplanationError, match="needs to know its site"):
        SAEMechanism(sae(), transformer)


def test_an_edge_circuit_that_keeps_all_is_the_model(network_and_inputs):
    network, x = network_and_inputs
    assert close(received(prune_by_magnitude(network, 1.0), x), network(x))


def test_an_edge_circuit_zeroes_the_smallest_weights(mlp, reals):
    circuit = prune_by_magnitude(mlp, 0.3)
    matrices = {n: v for n, v in mlp.parameters().items() if v.ndim > 1}
    magnitudes = torch.cat([v.abs().flatten() for v in matrices.values()])
    least = magnitudes.sort(descending=True).values[round(0.3 * len(magnitudes)) - 1]
    zeroed = mlp.with_weights({n: v * (v.abs() >= least) for n, v in matrices.items()})
    assert close(received(circuit, reals), zeroed(reals))
    assert circuit.recipe()["edges"] == round(0.3 * len(magnitudes))
    with pytest.raises(ExplanationError, match="fits no weight"):
        EdgeCircuit(mlp, {"layers.0.weight": torch.ones(2, 2, dtype=torch.bool)})


@pytest.mark.parametrize("which", ["transformer", "mlp"])
def test_a_node_circuit_that_keeps_all_is_the_model(which, request, tokens, reals):
    network = request.getfixturevalue(which)
    x = tokens.inputs[:20] if which == "transformer" else reals
    assert close(received(prune_by_attribution(network, x, 1.0), x), network(x))


@pytest.mark.parametrize("which", ["transformer", "mlp"])
def test_a_node_circuit_stands_pruned_units_at_their_mean(which, request, tokens, reals):
    """Means folded into biases give what hooks give that replace each pruned unit by its mean."""
    network = request.getfixturevalue(which)
    x = tokens.inputs[:20] if which == "transformer" else reals
    circuit = prune_by_attribution(network, x, 0.5)
    assert 0 < circuit.recipe()["nodes"] < circuit.recipe()["of"]

    def stand(site: str):
        kept, mean = circuit.kept[site], circuit.means[site]
        keep = kept[:, None] if site.endswith("hook_z") else kept
        return lambda a: torch.where(keep, a, mean.expand_as(a))

    assert close(received(circuit, x), network.patched(x, {s: stand(s) for s in circuit.kept}))


def test_node_circuits_send_only_what_they_keep(transformer, tokens):
    full, half = (prune_by_attribution(transformer, tokens.inputs, k) for k in (1.0, 0.4))
    sizes = [int(send_parts(c.parts(), 8).numbers.sum()) for c in (full, half)]
    assert sizes[1] < sizes[0] == sum(p.numel() for p in transformer.parameters().values())


def test_attribution_is_the_gradient_times_the_activation(mlp, reals):
    """Against finite differences: scaling one unit by 1 − ε changes log p(ŷ) by −ε times its effect."""
    scores, means = attribute(mlp, reals)
    site, epsilon = "layers.1", 1e-3
    wide = mlp.to(dtype=torch.float64)
    x = reals.double()
    answer = wide(x).argmax(-1, keepdim=True)
    for unit in range(4):
        factor = torch.ones(9, dtype=torch.float64)
        factor[unit] -= epsilon
        changed = wide.patched(x, {site: lambda a, factor=factor: a * factor})
        effect = (wide(x).log_softmax(-1) - changed.log_softmax(-1)).gather(1, answer) / epsilon
        assert float(scores[site][unit]) == pytest.approx(float(effect.abs().mean()), rel=0.02, abs=1e-5)
    _, seen = mlp.run(reals, capture=[site])
    assert torch.allclose(means[site], seen[site].mean(0))


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_keep_is_a_fraction(keep, mlp):
    with pytest.raises(ExplanationError, match=r"keep must be in \(0, 1\]"):
        prune_by_magnitude(mlp, keep)


def test_node_circuits_over_every_unit_site(transformer, tokens):
    circuit = prune_by_attribution(transformer, tokens.inputs, 0.5)
    assert isinstance(circuit, NodeCircuit)
    assert set(circuit.kept) == set(unit_sites(transformer, heads=True))


def test_a_lookup_table_answers_each_datum_by_its_own_entry(tms, tms_data):
    x = tms_data.inputs[:25]
    explanation = Lookup(tms, x)
    restored = send_parts(explanation.parts(), FINE).restored
    active = explanation.active(restored, x)
    assert torch.equal(active[:, 0], torch.eye(25, dtype=torch.bool))
    assert close(explanation.predict(restored, x, active), tms(x))
    numbers = send_parts(explanation.parts(), 8).numbers
    assert numbers.tolist() == [15] * 25 + [0]


def test_a_lookup_table_too_large_to_write_down_is_refused(tms):
    with pytest.raises(ExplanationError, match="too large to write down"):
        Lookup(tms, torch.zeros(1, 5).expand(2 * 10**7, 5))


def test_answers_alone_are_the_mean(tms, tms_data, transformer, tokens):
    x = tms_data.inputs
    flat = received(Answers(tms, tms(x)), x)
    assert close(flat, tms(x).mean(0).expand_as(flat))
    logits = transformer(tokens.inputs)
    told = received(Answers(transformer, logits), tokens.inputs)
    assert told.shape == logits.shape
    mean = logits.double().softmax(-1).mean((0, 1))
    assert torch.allclose(told.double().softmax(-1), mean.expand_as(told), atol=1e-5)


def test_a_network_without_neurons_has_no_neuron_basis():
    from torch import nn

    linear = Network("linear", nn.Sequential(nn.Linear(2, 2)), "regression", "real", (2,))
    with pytest.raises(ExplanationError, match="has no neurons"):
        Neurons(linear)
    deep = Network("deep", perceptron([2, 3, 1]), "regression", "real", (2,))
    assert Neurons(deep).sizes == [3]
