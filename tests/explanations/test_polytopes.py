"""Polytopes: the map of a region is the network there, and a pattern stands for its rows."""

import pytest
import torch
from assay.explanations import ExplanationError, NeuronBasis, Neurons, Question, gather, weigh
from assay.explanations.polytopes import PatternCodebook, Polytopes
from assay.mdl import GridTarget, MechanismProblem, SiteProblem, score_mechanism, score_site
from assay.mdl.parts import send_parts
from assay.models import Network, perceptron, zoo


@pytest.mark.parametrize("name", ["digits", "resid-mlp", "comparator", "tms-5-2"])
def test_the_affine_maps_are_the_network(name):
    network, x = zoo.load(name), zoo.data(name, 60, 1).inputs.float()
    explanation = Polytopes(network, x)
    restored = send_parts(explanation.parts(), 30).restored
    active = explanation.active(restored, x)
    assert torch.equal(active.sum(-1), torch.ones(len(x), 1, dtype=torch.long))
    y = network(x).double()
    assert torch.allclose(explanation.predict(restored, x, active), y, atol=1e-4 * float(y.abs().max()))


def test_data_of_one_region_share_their_map():
    torch.manual_seed(0)
    network = Network("small", perceptron([2, 3, 1]), "regression", "real", (2,))
    x = torch.rand(500, 2) * 2 - 1
    explanation = Polytopes(network, x)
    layer = network.module.layers[0]
    on = layer(x) > 0
    assert len(explanation.parts().tensors[0].values) == len(torch.unique(on, dim=0)) <= 7  # 3 lines
    assert not explanation.open_ended
    last = network.module.layers[2]
    A = last.weight @ (layer.weight * on[17][:, None])  # by hand, at one datum
    part = int(explanation.active({}, x[17:18])[0, 0].int().argmax())
    assert torch.allclose(explanation.parts().tensors[0].values[part], A.double(), atol=1e-6)


def test_neurons_are_shorter_than_a_map_for_each_of_many_regions():
    """A digit shares its polytope with hardly another, so maps are a list of computations."""
    network, data = zoo.load("digits"), zoo.data("digits", 200, 1)
    evidence = gather(Question("mechanism", "outputs"), network, data)
    polytopes, neurons = weigh(evidence, ["polytopes", "neurons"])
    assert polytopes.explanation.recipe["regions"] >= 100
    assert polytopes.ledger.total > 2 * neurons.ledger.total


def test_few_regions_are_shorter_than_many_neurons():
    """One kink, made of many neurons that turn at the same place."""
    network = Network("kink", perceptron([1, 64, 1]), "regression", "real", (1,))
    first, last = network.module.layers[0], network.module.layers[2]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        size = 1 + torch.rand(64, 1, generator=generator)
        first.weight.copy_(size)
        first.bias.copy_(-0.5 * size[:, 0])
        last.weight.copy_(torch.randn(1, 64, generator=generator))
    x = torch.rand(300, 1, generator=generator)
    problem = MechanismProblem(x, network(x), GridTarget(0.01))
    regions = score_mechanism(Polytopes(network, x), problem)
    assert regions.usage.counts.size == 2
    assert regions.ledger.total < 0.5 * score_mechanism(Neurons(network), problem).ledger.total


def test_at_a_site_a_pattern_is_the_mean_of_its_rows():
    """Four signs of eight coordinates that go together: two bits say what the basis says in eight."""
    generator = torch.Generator().manual_seed(2)
    signs = torch.randn(4, 8, generator=generator).sign()
    x = 4 * signs[torch.randint(4, (400,), generator=generator)]
    x = x + 0.5 * torch.randn(400, 8, generator=generator)
    book = PatternCodebook(x)
    assert len(book.rows) == 4
    code = book.code(x)
    for row, part in zip(x[:20], code.part[:20], strict=True):
        same = ((x > 0) == (row > 0)).all(1)
        assert torch.allclose(book.rows[part], x[same].double().mean(0))
    problem = SiteProblem(x, GridTarget(0.1), 0.1)
    score = score_site(book, problem)
    assert score.faithfulness["fvu"] < 0.05
    assert score.ledger.total < 0.95 * score_site(NeuronBasis(8), problem).ledger.total
    evidence = gather(
        Question("site", "activations", site="layers.1", delta=0.1),
        zoo.load("digits"),
        zoo.data("digits", 100, 1),
    )
    (report,) = weigh(evidence, ["polytopes"])
    assert report.explanation.recipe["patterns"] > 10


def test_what_is_not_piecewise_linear_is_refused(transformer, tokens, tms, tms_data):
    with pytest.raises(ExplanationError, match="no network of ReLU neurons"):
        Polytopes(transformer, tokens.inputs)
    module = perceptron([2, 3, 2, 1])
    module.layers.append(torch.nn.Tanh())
    smooth = Network("smooth", module, "regression", "real", (2,))
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ExplanationError, match="is not affine"):
        Polytopes(smooth, 3 * x)
