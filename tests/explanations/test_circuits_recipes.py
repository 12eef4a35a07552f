"""Edge attribution against brute force and exact integrals; minimum bits against other circuits."""

import math
from functools import partial

import pytest
import torch
from assay.explanations import (
    EdgeCircuit,
    ExplanationError,
    NodeCircuit,
    Subject,
    WholeNetwork,
    build,
    prune_by_attribution,
    prune_by_magnitude,
)
from assay.explanations.circuits import Cut, Donor, Graph, GraphCircuit, cut
from assay.explanations.circuits.streams import Streams, written
from assay.explanations.recipes.edge_attribution import edge_scores
from assay.explanations.recipes.gate_search import GateSearch, SoftLength, spiked_laplace
from assay.explanations.recipes.gated import GatedEdges, GatedUnits, GatedWeights, structure_bits
from assay.explanations.recipes.minimum_bits import MinimumBitsRecipe, fitting, golden_section, minimum_bits
from assay.explanations.recipes.soft_ledger import SoftTensor, entropy_bits
from assay.mdl import CategoricalTarget, GridTarget, MechanismProblem, score_mechanism
from assay.mdl.lengths import log2_binomial
from assay.models import Network, Transformer, TransformerConfig, zoo
from assay.models.zoo import AdamW, minimise


@pytest.fixture(scope="module")
def wide(transformer) -> Network:
    """In float64, for differences."""
    return transformer.to(dtype=torch.float64)


def log_p(net: Network, streams: Streams, x: torch.Tensor) -> torch.Tensor:
    """Mean over data of the log2-probability of the network's own answers."""
    answers = net(x).argmax(-1, keepdim=True)
    return streams(x).log_softmax(-1).gather(-1, answers).sum() / math.log(2) / len(x)


def lent(net: Network, graph: Graph, x: torch.Tensor, donor: str) -> torch.Tensor:
    writes = written(net.module, graph, x)
    return {
        "zero": torch.zeros_like(writes),
        "mean": writes.mean((0, 1), keepdim=True).expand_as(writes),
        "resample": writes[torch.randperm(len(x), generator=torch.Generator().manual_seed(2))],
    }[donor]


@pytest.fixture(scope="module")
def gemma() -> Network:
    """Heads in groups, norms before and after, in float64."""
    shape = {"n_layers": 2, "d_model": 12, "n_heads": 4, "n_key_value_heads": 2, "d_head": 4, "d_mlp": 9}
    kind = {"normalization": "RMS", "norm_after": True, "positions": "rotary", "biases": False}
    module = Transformer(TransformerConfig(**shape, d_vocab=17, n_ctx=6, **kind))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return Network("gemma", module, "categorical", "token", (6,), vocabulary=17).to(dtype=torch.float64)


@pytest.mark.parametrize("donor", ["zero", "mean", "resample"])
@pytest.mark.parametrize("net", ["wide", "gemma"])
def test_eap_is_the_slope_of_patching_an_edge(net, tokens, donor, request):
    """Against finite differences: an edge at gate 1 − ε loses ε of its effect."""
    wide = request.getfixturevalue(net)
    graph, x, epsilon = Graph.of(wide), tokens.inputs[:6], 1e-6
    told = edge_scores(wide, graph, x, Donor.of(donor, wide, graph, x, 2), "eap")
    assert told.scores is not None
    values = lent(wide, graph, x, donor)
    for i, j in graph.real.nonzero()[::7].tolist():
        gates = graph.real[None].double()
        gates[0, i, j] -= epsilon
        fill = torch.zeros(6, 6, len(graph.routes), len(graph.targets), 12, dtype=torch.float64)
        route = next(r for r, places in enumerate(graph.routes) if i in places)
        fill[:, :, route, j] = epsilon * values[:, :, i]
        assert isinstance(wide.module, Transformer)
        changed = log_p(wide, Streams(wide.module, graph, gates, fill), x)
        slope = (changed - log_p(wide, Streams(wide.module, graph), x)) / epsilon
        assert float(told.scores[0, i, j]) == pytest.approx(float(slope), rel=1e-3, abs=1e-5)
    assert not told.scores[0][~graph.real].any()


def test_integrated_gradients_add_up(wide, tokens):
    """Completeness: the edges out of the input that are integrated explain the whole change of the metric.

    With every edge of the input at once, Σ_t (donor − input) · ∫∂ metric/∂ read_t is the metric at the donor
    less the metric at the datum.
    """
    graph, x = Graph.of(wide, "stream"), tokens.inputs[:6]
    told = edge_scores(wide, graph, x, Donor.of("mean", wide, graph, x), "eap-ig", steps=100)
    assert told.scores is not None
    assert isinstance(wide.module, Transformer)
    mean = lent(wide, graph, x, "mean")[:, :, 0]
    silent = Streams(wide.module, graph, change=lambda place, v: mean if place == 0 else v)
    change = log_p(wide, silent, x) - log_p(wide, Streams(wide.module, graph), x)
    assert float(told.scores[0, 0].sum()) == pytest.approx(float(change), rel=0.02)


@pytest.mark.parametrize("kind", ["circuit,parts=edges", "circuit,parts=nodes", "circuit,method=attribution"])
def test_heads_that_share_keys_have_circuits_of_every_kind(gemma, tokens, kind):
    single = gemma.to(dtype=torch.float32)
    made = build(kind, Subject("mechanism", single, tokens))
    problem = MechanismProblem(tokens.inputs[:8], single(tokens.inputs[:8]), CategoricalTarget())
    some, whole = (score_mechanism(e, problem, 12).law.part_bits(1) for e in (made, WholeNetwork(single)))
    assert 0 < some <= 1.1 * whole


def test_methods_differ_and_are_named(transformer, tokens):
    graph, x = Graph.of(transformer), tokens.inputs[:4]
    found = [
        edge_scores(transformer, graph, x, Donor(), m).scores for m in ("eap", "eap-ig", "eap-ig-activations")
    ]
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found[1], found[2])
    with pytest.raises(ExplanationError, match="edge attribution by 'magic'"):
        edge_scores(transformer, graph, x, Donor(), "magic")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["eap", "eap-ig", "eap-ig-activations"])
def test_specs_of_edge_attribution(transformer, tokens, method):
    subject = Subject("mechanism", transformer, tokens)
    made = build(f"circuit,method={method},keep=0.4,donor=mean,data=8,steps=2,start=stream", subject)
    assert isinstance(made, GraphCircuit)
    assert 0 < made.recipe()["edges"] <= 0.4 * made.recipe()["of"]
    with pytest.raises(ExplanationError, match="start 'nowhere' is not tokens"):
        build(f"circuit,method={method},start=nowhere", subject)
    with pytest.raises(ExplanationError, match="data=0 must be at least 1"):
        build(f"circuit,method={method},data=0", subject)


def test_structure_bits_are_those_of_the_ledger():
    opened = (torch.arange(5000) < 700).double()
    assert float(structure_bits(opened)) == pytest.approx(float(log2_binomial(5000, 700)), rel=0.005)


@pytest.mark.parametrize("gated", [GatedWeights, GatedUnits, GatedEdges])
def test_open_gates_are_the_network_and_cost_what_they_keep(gated, transformer, tokens):
    x = tokens.inputs[:8]
    made = gated(transformer, tokens.inputs, 16)
    ones = {name: torch.ones(shape) for name, shape in made.shapes.items()}
    assert torch.allclose(made.run(ones, x), transformer(x), atol=2e-2)
    half = {name: 0.5 * gate for name, gate in ones.items()}
    assert float(made.bits(half)) < float(made.bits(ones))
    circuit = made.circuit({name: gate > 0 for name, gate in ones.items()}, {})
    restored = {t.name: t.values for t in circuit.parts().tensors}
    assert torch.allclose(
        circuit.predict(restored, x, circuit.active(restored, x)), transformer(x), atol=1e-3
    )


def test_a_table_of_counts_prices_what_is_kept():
    """Against the entropy of each set, one by one; all of it costs what the ledger said."""
    integers, g = torch.randint(-2, 3, (60,), generator=torch.Generator().manual_seed(0)), torch.Generator()
    told = SoftTensor.of(integers, 500.0)
    assert float(told.entries(torch.ones(60))) == pytest.approx(500.0)
    assert told.by_slice(0).sum() == 60
    for _ in range(5):
        kept = torch.rand(60, generator=g) < 0.5
        counts = (integers * kept).unique(return_counts=True)[1].double()
        bits = -(counts * (counts / 60).log2()).sum() * told.scale
        assert float(told.entries(kept.float())) == pytest.approx(float(bits), rel=1e-5)
    assert float(entropy_bits(torch.tensor([0.0, 7.0]))) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(("share", "size"), [(1.0, 30.0), (0.1, 30.0), (0.3, 3.0), (0.0, 1.0)])
def test_errors_cost_what_their_entropy_says(share, size):
    """Against the entropy of the rounded errors, coordinate by coordinate."""
    g = torch.Generator().manual_seed(2)
    sign = torch.randint(0, 2, (20_000, 2), generator=g) * 2 - 1
    errors = sign * (size * torch.empty(20_000, 2).exponential_(generator=g) + 0.5)
    errors *= torch.rand(20_000, 2, generator=g) < share
    shares = [column.round().unique(return_counts=True)[1] / 20_000 for column in errors.T]
    wanted = float(sum(-(p * p.log2()).sum() for p in shares))
    assert float(spiked_laplace(errors)) == pytest.approx(wanted, rel=0.15, abs=0.01)


@pytest.mark.parametrize("gated", [GatedWeights, GatedUnits, GatedEdges])
def test_the_soft_ledger_follows_the_real_one(gated, transformer, tokens):
    x, N = tokens.inputs[:4], 1000
    outputs, g = transformer(x), torch.Generator().manual_seed(1)
    made = gated(transformer, x, 4)
    length = SoftLength(made, x, outputs, None, N)
    problem, pairs = MechanismProblem(x, outputs, CategoricalTarget()), []
    for i in range(6):
        kept = torch.rand(length.numbers, generator=g) < i / 5
        soft = float(length(kept.float(), kept.float(), slice(None)))
        pairs.append((soft, score_mechanism(made.circuit(length.named(kept), {}), problem, 4).law(N)))
    table = torch.tensor(pairs)
    assert float(torch.corrcoef(table.T)[0, 1]) > 0.95
    assert torch.allclose(table[:, 0], table[:, 1], rtol=0.3)


def test_gates_shut_what_does_nothing(mlp, reals):
    """Weights that no output depends on are shut; those that one does stay where data are many."""
    own = mlp.parameters()
    first = next(name for name, value in own.items() if value.ndim > 1)
    idle = mlp.with_weights({first: torch.cat([own[first][:1] * 0, own[first][1:]])})
    outputs = idle(reals)
    length = SoftLength(GatedWeights(mlp, reals, 8), reals, outputs, 0.01, 10**5)
    search = GateSearch(length, torch.ones(length.numbers, dtype=torch.bool), 150, 64, 0)
    minimise(search, search.loss, AdamW(150, 0.2, "linear"), None)
    opened = length.named(search.a > 0)[first]
    assert not opened[0].any()
    assert opened[1:].float().mean() > 0.8


def test_golden_section_finds_the_least_of_a_valley():
    asked: list[int] = []

    def valley(count: int) -> float:
        asked.append(count)
        return (count - 37) ** 2

    assert abs(golden_section(valley, 0, 100, 12) - 37) <= 1
    assert len(asked) <= 13
    assert golden_section(valley, 5, 5, 6) == 5


def shut(gated: type, network: Network, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Under random gates of 0 and 1: what the search runs, and what the circuit's receiver computes."""
    made, g = gated(network, x, 20), torch.Generator().manual_seed(3)
    kept = {name: torch.rand(shape, generator=g) < 0.9 for name, shape in made.shapes.items()}
    circuit = made.circuit(kept, {})
    restored = {t.name: t.values if t.mask is None else t.values * t.mask for t in circuit.parts().tensors}
    told = circuit.predict(restored, x, circuit.active(restored, x))
    return made.run({name: gate.float() for name, gate in kept.items()}, x), told


@pytest.mark.parametrize("gated", [GatedWeights, GatedUnits])
def test_shut_gates_are_what_the_circuit_leaves_out(gated, transformer, tokens):
    run, told = shut(gated, transformer, tokens.inputs)
    assert torch.allclose(run, told.to(run), atol=5e-3)


def shortest(explanation, problem: MechanismProblem, n_data: int) -> float:
    """L(N) at the best precision."""
    return min(score_mechanism(explanation, problem, p).law(n_data) for p in (3, 4, 6))


@pytest.mark.slow
def test_minimum_bits_beats_magnitude_on_max_of_4():
    network, N = zoo.load("max-of-4"), 10_000
    data, test = zoo.data("max-of-4", 2000, 0), zoo.data("max-of-4", 256, 1)
    found = minimum_bits(network, data.inputs, network(data.inputs), N)
    assert isinstance(found, EdgeCircuit)
    problem = MechanismProblem(test.inputs, network(test.inputs), CategoricalTarget())
    rivals = [shortest(prune_by_magnitude(network, keep), problem, N) for keep in (0.4, 0.8, 0.9, 1.0)]
    assert shortest(found, problem, N) < 0.65 * min(rivals)


@pytest.mark.parametrize(
    ("level", "N"),
    [
        ("edges", 3000),
        pytest.param("nodes", 100, marks=pytest.mark.slow),
        pytest.param("weights", 3000, marks=pytest.mark.slow),
    ],
)
def test_minimum_bits_is_no_longer_than_what_others_prune(transformer, tokens, level, N):
    """Whatever the size: attribution and magnitude are among the rankings that are cut."""
    x = tokens.inputs[:4]
    recipe = MinimumBitsRecipe(level=level, steps=20, batch=48)
    found = minimum_bits(transformer, x, transformer(x), N, None, recipe)
    problem = MechanismProblem(x, transformer(x), CategoricalTarget())
    keeps = (0.3, 0.8)
    if level == "edges":
        graph = Graph.of(transformer, "stream")
        told = edge_scores(transformer, graph, x, Donor())
        rivals = [GraphCircuit(transformer, graph, cut(told, Cut(keep))[0]) for keep in keeps]
    else:
        prune = prune_by_magnitude if level == "weights" else partial(prune_by_attribution, inputs=x)
        rivals = [prune(transformer, keep=keep) for keep in keeps]
    assert shortest(found, problem, N) <= 1.01 * min(shortest(rival, problem, N) for rival in rivals)


def test_minimum_bits_tries_the_levels_that_a_network_has(mlp, reals, transformer, tokens):
    assert fitting(transformer) == ["weights", "nodes", "edges"]
    assert fitting(mlp) == ["weights", "nodes"]
    x, N = reals[:4], 50
    found = [
        minimum_bits(mlp, x, mlp(x), N, None, MinimumBitsRecipe(level, 2))
        for level in ("any", "weights", "nodes")
    ]
    first, *others = (shortest(one, MechanismProblem(x, mlp(x), CategoricalTarget()), N) for one in found)
    assert first == pytest.approx(min(others), rel=0.02)


def test_minimum_bits_at_other_levels(mlp, reals):
    recipe = MinimumBitsRecipe(level="nodes", steps=10, batch=16)
    assert isinstance(minimum_bits(mlp, reals[:16], mlp(reals[:16]), 50, None, recipe), NodeCircuit)
    network, x = zoo.load("max-of-4"), zoo.data("max-of-4", 16, 0).inputs
    recipe = MinimumBitsRecipe(level="edges", steps=10, batch=16)
    assert isinstance(minimum_bits(network, x, network(x), 50, None, recipe), GraphCircuit)


def test_nothing_is_pruned_from_a_network_that_needs_all_of_itself(tms, tms_data):
    recipe = MinimumBitsRecipe(steps=30, batch=128)
    made = minimum_bits(tms, tms_data.inputs, tms(tms_data.inputs), 10_000, 0.01, recipe)
    assert made.recipe()["edges"] == made.recipe()["of"] == 15
    problem = MechanismProblem(tms_data.inputs[:100], tms(tms_data.inputs[:100]), GridTarget(0.01))
    assert shortest(made, problem, 10_000) < shortest(prune_by_magnitude(tms, 0.9), problem, 10_000)


def test_specs_of_minimum_bits(tms, tms_data):
    outputs = tms(tms_data.inputs)
    subject = Subject("mechanism", tms, tms_data, outputs=outputs, delta=0.05)
    made = build("circuit,method=minimum-bits,data=1000,steps=5", subject)
    assert made.recipe()["method"] == "minimum-bits"
    assert made.recipe()["data"] == 1000
    with pytest.raises(ExplanationError, match="grid step delta is needed"):
        build("circuit,method=minimum-bits", Subject("mechanism", tms, tms_data, outputs=outputs))
    with pytest.raises(ExplanationError, match="needs the network's outputs"):
        build("circuit,method=minimum-bits", Subject("mechanism", tms, tms_data))
    with pytest.raises(ExplanationError, match="level 'layers'"):
        build("circuit,method=minimum-bits,level=layers", subject)
    with pytest.raises(ExplanationError, match="method 'magic' is not magnitude"):
        build("circuit,method=magic", subject)
