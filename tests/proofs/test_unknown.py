"""Unknown says why: each cause is met, and told."""

from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import Unknown, claim, verify
from assay.proofs.claims import Lemma
from torch import nn

REASONS = {
    "timeout": "timeout: stopped hard",
    "memory": "memory: more than 5 bytes were asked for",
    "float32 slack": "float32 slack 2.6 > margin 0.5",
    "unsupported operator": "unsupported: f: Softmax has no exact form here",
    "scope too large": "scope too large to be counted",
    "lemma open": "lemma 1 (change_of_variables) open; out of time",
    "checker rejected": "checker rejected: leaves not closed: [1]",
    "other": "no input is in scope",
}


@pytest.mark.parametrize("cause", REASONS)
def test_a_reason_has_its_cause(cause):
    assert Unknown("a stage", REASONS[cause]).cause == cause


def sine() -> Network:
    """A network that has no exact form."""

    class Sine(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x)

    return Network("sine", Sine(), "regression", "real", (1,))


def trap() -> Network:
    """relu(x + 2^25) - 2^25, which is x over the reals, and 0 in float32 for small x."""
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    with torch.no_grad():
        for layer, bias in ((module[0], 2.0**25), (module[2], -(2.0**25))):
            layer.weight.fill_(1.0)
            layer.bias.fill_(bias)
    return Network("trap", module, "regression", "real", (1,))


def test_what_has_no_exact_form_is_named():
    (outcome,) = verify([claim("f(x)[0] <= 2", {"x": "real 0..1"})], networks={"f": sine()})
    assert isinstance(outcome.verdict, Unknown)
    assert outcome.verdict.cause == "unsupported operator"
    assert "finite scope" in str(outcome.verdict.needed)


def test_float32_slack_is_weighed_against_the_margin():
    asked = claim("f(x)[0] <= 1.5", {"x": "real 0..1"}, semantics="float32")
    (outcome,) = verify([asked], networks={"f": trap()}, budget_s=10)
    assert isinstance(outcome.verdict, Unknown)
    assert outcome.verdict.cause == "float32 slack"
    assert "margin" in outcome.verdict.reason
    (real,) = verify([claim("f(x)[0] <= 1.5", {"x": "real 0..1"})], networks={"f": trap()})
    assert real.status == "proved"


def test_an_open_lemma_is_part_of_the_reason(random_network):
    lemma = Lemma("change_of_variables", {"d": "x - y", "s": "x + y"})
    net = random_network([5, 40, 40, 40, 1], 0)
    top = float(net(torch.rand(10_000, 5) * 2 - 1).max())
    ranges = {"x": "real -1..1", "y": "real -1..1", "z[0..2]": "real -1..1"}
    asked = claim(f"f(x, y, z[0], z[1], z[2])[0] <= {top + 0.02:.6f}", ranges, lemmas=(lemma,))
    (outcome,) = verify([asked], networks={"f": net}, budget_s=0.2)
    assert isinstance(outcome.verdict, Unknown)
    assert outcome.verdict.cause in ("lemma open", "timeout")
    assert outcome.to_dict()["verdict"]["cause"] == outcome.verdict.cause
    assert outcome.verdict.needed


def test_what_is_proved_before_a_hard_stop_is_told(monkeypatch, random_network):
    monkeypatch.setattr("assay.proofs.rungs._SELDOM", 0.0)
    monkeypatch.setattr("assay.proofs.ladder._GRACE", 0.0)
    net = random_network([5, 40, 40, 40, 1], 0)
    top = float(net(torch.rand(10_000, 5) * 2 - 1).max())
    asked = claim(f"f(x)[0] <= {top + 0.02:.6f}", {"x[0..4]": "real -1..1"})
    (outcome,) = verify([asked], networks={"f": net}, budget_s=60)
    assert isinstance(outcome.verdict, Unknown)
    assert outcome.verdict.cause == "timeout"
    assert outcome.verdict.stage == "bounds and splitting"
    assert outcome.verdict.best_bound is not None
    assert 0 < outcome.verdict.open_fraction <= 1
    assert 1.0 < outcome.seconds < 10
    assert outcome.outputs == {"f": 1}


@pytest.mark.parametrize(("kind", "status"), [("show", "proved"), ("necessary", "unknown")])
def test_a_proof_by_lemmas_outlives_the_one_it_is_compared_with(monkeypatch, distance, kind, status):
    def hoard(*_):
        raise MemoryError

    monkeypatch.setattr("assay.proofs.judging._without_lemmas", hoard)
    pair = {"x1": "integer 0..1000000", "x2": "integer 0..1000000"}
    lemma = Lemma("change_of_variables", {"d": "x1 - x2", "s": "x1 + x2"})
    asked = claim("f(x1, x2)[0] >= -1e-6", pair, lemmas=(lemma,), kind=kind)
    (outcome,) = verify([asked], networks={"f": distance})
    assert outcome.status == status
    assert outcome.stage == "lemmas"
    assert outcome.lengths.lemma_bits
    assert any("memory" in line for line in outcome.log)


@pytest.mark.parametrize(("limit", "status"), [(10**5, "proved"), (10**6, "unknown")])
def test_equal_numbers_are_found_as_far_as_float32_goes(limit, status):
    """Right over the reals at any limit: mixtures of both numbers, their difference again, a tent over it."""
    weights = [
        ([[0.25, 0.890625], [0.640625, 0.171875], [1, 0], [0, 1]], [0, 0, 0, 0]),
        ([[-0.25, 0.375, 0.822265625, -0.841796875]] * 3, [1, 0, -1]),
        ([[1, -2, 1]], [0]),
    ]
    layers: list[nn.Module] = []
    for weight, bias in weights:
        layers += [nn.Linear(len(weight[0]), len(weight)), nn.ReLU()]
        with torch.no_grad():
            layers[-2].weight.copy_(torch.tensor(weight))
            layers[-2].bias.copy_(torch.tensor(bias))
    net = Network("equal", nn.Sequential(*layers[:-1]), "regression", "integer", (2,))
    pair = dict.fromkeys(("x", "y"), f"integer 0..{limit}")
    asked = [claim("f(x, y)[0] > 1/2", pair, given="x == y", semantics=s) for s in ("real", "float32")]
    real, single = verify(asked, networks={"f": net}, budget_s=30)
    assert (real.status, single.status) == ("proved", status)
    if status == "unknown":
        assert single.verdict.cause == "float32 slack"
        slack, margin = (float(word) for word in single.verdict.reason.split()[2::3])
        assert slack > margin == 0.5


def test_boxes_are_not_cut_where_points_alone_stay_open():
    """The bound is what torch gives, so that no enclosure of its roundings is below it."""
    module = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    network = Network("curve", module, "regression", "integer", (1,))
    with torch.no_grad():
        most = max(float(network(torch.tensor([[float(k)]]))) for k in range(4))
    asked = claim(f"f(x)[0] <= {Fraction(most)}", {"x": "integer 0..3"}, semantics="float32")
    (outcome,) = verify([asked], networks={"f": network}, budget_s=20)
    assert outcome.status == "proved"
    assert outcome.verdict.certificate is None
    assert any("boxes cannot close what their points leave open" in line for line in outcome.log)
