"""Whole scores: the law against messages really sent, and what a total must not depend on."""

import math

import numpy as np
import pytest
import torch
from assay.explanations import planted_components
from assay.mdl import (
    Code,
    Dictionary,
    DoesNotDecode,
    GridTarget,
    MechanismProblem,
    SiteProblem,
    score_mechanism,
    score_site,
    site,
)
from assay.mdl.parts import send_parts
from assay.mdl.residual import linear_residuals
from assay.models import zoo

from .conftest import Neurons, Table


def tms(n: int) -> tuple[object, MechanismProblem]:
    network, data = zoo.load("tms-5-2"), zoo.data("tms-5-2", n, 7)
    return planted_components(network), MechanismProblem(data.inputs, network(data.inputs), GridTarget(0.05))


def really_sent(score, sent, active: np.ndarray, N: int, rng: np.random.Generator) -> float:
    """Bits of one message about N random data: each part at its first use, then the law's linear codes."""
    point = score.law.at(N)
    met: set[int] = set()
    bits = sent.header + sum(way.header + way.bits[-1] for way in cheapest(score.law, N))
    for datum in rng.choice(len(active), N, replace=False):
        for part in np.flatnonzero(active[datum]):
            if part not in met:
                bits += sum(way.bits[part] for way in cheapest(score.law, N))
                met.add(int(part))
    return bits + sum(point.lines.values())


def cheapest(law, N: int) -> list:
    """The way of each tensor that is shortest on average, by exact binomials."""
    n = law.n
    p = np.array([1 - math.comb(n - int(k), N) / math.comb(n, N) for k in law.usage])
    return [min(ways, key=lambda w: w.header + float(w.bits @ np.append(p, 1))) for ways in law.parts]


@pytest.mark.parametrize("N", [1, 10, 100, 400])
def test_the_law_is_the_mean_of_messages_really_sent(N):
    explanation, problem = tms(400)
    score = score_mechanism(explanation, problem, precision=8)
    sent = send_parts(explanation.parts(), 8)
    active = explanation.active(sent.restored, problem.inputs).any(1).numpy()
    assert active.sum(0).tolist() == score.law.usage.tolist()
    rng = np.random.default_rng(0)
    messages = [really_sent(score, sent, active, N, rng) for _ in range(400)]
    error = np.std(messages) / len(messages) ** 0.5
    assert np.mean(messages) == pytest.approx(score.law(N), abs=4 * error + 1e-6)


@pytest.mark.parametrize("N", [1, 10, 100])
def test_linear_codes_priced_datum_by_datum_average_to_the_law(N):
    """Residuals of random subsets, priced one datum at a time under the law's own codes."""
    explanation, problem = tms(300)
    score = score_mechanism(explanation, problem, precision=8)
    restored = send_parts(explanation.parts(), 8).restored
    told = explanation.predict(restored, problem.inputs, explanation.active(restored, problem.inputs))
    compare = problem.target.compare
    each = [compare(told[i : i + 1], problem.outputs[i : i + 1]).placed for i in range(300)]
    ways = list(linear_residuals(compare(told, problem.outputs).placed, 5))
    rng = np.random.default_rng(N)
    assert len(ways) == len(score.law.rates["residual"])
    for way, rate in zip(ways, score.law.rates["residual"], strict=True):
        prices = np.array([way.bits(tally) for tally in each])
        assert (rate.name, rate.header) == (way.label, way.header)
        assert prices.mean() == pytest.approx(rate.per_datum, rel=1e-9)
        drawn = [prices[rng.choice(300, N, replace=False)].sum() for _ in range(200)]
        assert np.mean(drawn) == pytest.approx(rate.per_datum * N, abs=4 * np.std(drawn) / 200**0.5 + 1e-6)


def same(a, b) -> None:
    assert a.ledger == b.ledger
    assert a.law.usage.tolist() == b.law.usage.tolist()
    assert a.knobs == b.knobs
    assert [a.law(N) for N in (1, 50, 10**6)] == [b.law(N) for N in (1, 50, 10**6)]


@pytest.mark.parametrize("rows", [1, 7, 100, 4096])
def test_a_site_score_does_not_depend_on_the_chunk(rows, monkeypatch):
    x = torch.randn(500, 5, generator=torch.Generator().manual_seed(3))
    problem = SiteProblem(x, GridTarget(0.1), 0.1)
    usual = score_site(Neurons(5), problem)
    monkeypatch.setattr(site, "CHUNK", rows)
    same(score_site(Neurons(5), problem), usual)


@pytest.mark.parametrize("chunk", [1, 13, 1000])
def test_a_mechanism_score_does_not_depend_on_the_chunk(table, problem, chunk):
    same(score_mechanism(table, problem, chunk=chunk), score_mechanism(table, problem))


def test_rows_in_another_order_cost_the_same(table, problem):
    order = torch.randperm(problem.data, generator=torch.Generator().manual_seed(0))
    shuffled = MechanismProblem(problem.inputs[order], problem.outputs[order], problem.target)
    a, b = (score_mechanism(table, p, precision=8) for p in (problem, shuffled))
    assert a.ledger == b.ledger


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_integers_of_the_cpu():
    x = torch.randn(500, 5, generator=torch.Generator().manual_seed(3))
    a, b = (score_site(Neurons(5), SiteProblem(y, GridTarget(0.1), 0.1)) for y in (x, x.cuda()))
    same(a, b)


def test_every_number_adds_up(table, problem):
    score = score_mechanism(table, problem)
    assert [line.section for line in score.ledger.lines] == ["parts", "support", "correction"]
    assert score.ledger.total == math.fsum(line.bits for line in score.ledger.lines)
    assert all(line.header <= line.bits for line in score.ledger.lines)
    assert score.bits_per_sample == score.ledger.total / 300
    assert score.block_rows.sum() == score.law.n == 300
    assert score.faithfulness["l0"] == pytest.approx(float((problem.inputs != 0).double().sum(1).mean()))
    assert score.faithfulness["alive"] == 8


def test_the_law_at_n_is_close_to_the_ledger(table, problem):
    """Same parts; frozen instead of adaptive codes."""
    score = score_mechanism(table, problem)
    assert score.law.part_bits(300) == pytest.approx(score.ledger.lines[0].bits, rel=1e-12)
    assert score.law(300) == pytest.approx(score.ledger.total, rel=0.05)


def test_auto_precision_is_no_longer_than_any_fixed_one(table, problem):
    best = score_mechanism(table, problem, calibrate_data=300)
    fixed = {p: score_mechanism(table, problem, precision=p).ledger.total for p in range(4, 14)}
    assert best.ledger.total <= min(fixed.values()) * 1.02


def test_unused_parts_are_not_paid(problem):
    """Parts that no datum uses lengthen the parts by nothing; only the support has more to choose from."""
    torch.manual_seed(0)
    W = torch.randn(8, 3, dtype=torch.float64)
    x = problem.inputs.clone()
    x[:, 5:] = 0
    few = MechanismProblem(x, x @ W, problem.target)
    score = score_mechanism(Table(W), few, precision=8)
    assert score.law.usage[5:].tolist() == [0, 0, 0]
    sent = send_parts(Table(W).parts(), 8)
    assert score.ledger.lines[0].bits == sent.total(np.array([1] * 5 + [0] * 3))


class Forgetful(Table):
    """Predicts from a counter that no message carries."""

    calls = 0

    def predict(self, restored, x, active):
        self.calls += 1
        return super().predict(restored, x, active) + self.calls


class Smuggler(Table):
    """Keeps the inputs' own answers under the identity of the tensor it was handed."""

    def active(self, restored, x):
        self.seen = {id(x): x @ self.W}
        return super().active(restored, x) & False

    def predict(self, restored, x, active):
        return self.seen.get(id(x), torch.zeros(len(x), 3, dtype=torch.float64))


@pytest.mark.parametrize("cheat", [Forgetful, Smuggler])
def test_a_mechanism_with_hidden_state_is_refused(cheat, table, problem):
    with pytest.raises(DoesNotDecode, match="received in two ways"):
        score_mechanism(cheat(table.W), problem, precision=8)


class Owner(Table):
    """Predicts with the model's own weights, whatever arrived."""

    def predict(self, restored, x, active):
        return (x * active[:, 0]) @ self.W


def test_a_mechanism_that_keeps_the_weights_to_itself_is_refused(table, problem):
    with pytest.raises(DoesNotDecode, match="arrive as zeros"):
        score_mechanism(Owner(table.W), problem, precision=8)


class Sparse:
    """A dictionary with the codes that were planted."""

    kind = "sae"
    open_ended = False

    def __init__(self, rows: torch.Tensor, x: torch.Tensor, a: torch.Tensor) -> None:
        self.rows, self.name = rows, "true dictionary"
        self._codes = {row.numpy().tobytes(): code for row, code in zip(x, a, strict=True)}

    def dictionary(self) -> Dictionary:
        return Dictionary(self.rows, torch.zeros(self.rows.shape[1]))

    def code(self, x: torch.Tensor) -> Code:
        return Code.dense(torch.stack([self._codes[row.numpy().tobytes()] for row in x]))

    def recipe(self) -> dict[str, object]:
        return {}


def planted(n: int, width: int = 64, features: int = 256) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x = a D + noise with unit rows D and a sparse, half normal."""
    g = torch.Generator().manual_seed(0)
    D = torch.nn.functional.normalize(torch.randn(features, width, generator=g), dim=1)
    a = torch.randn(n, features, generator=g).abs() * (torch.rand(n, features, generator=g) < 0.02)
    return a @ D + 0.01 * torch.randn(n, width, generator=g), a, D


def test_a_known_sparse_dictionary_beats_pca_and_neurons():
    """256 features in 64 dimensions spread their variance evenly, so PCA gains next to nothing."""
    from assay.explanations import pca

    x, a, D = planted(6000)
    problem = SiteProblem(x, GridTarget(0.02), 0.02)
    truth, linear, raw = (score_site(e, problem) for e in (Sparse(D, x, a), pca(x), Neurons(64)))
    parts, support = (truth.ledger.per_sample(truth.ledger.section(s)) for s in ("parts", "support"))
    assert truth.bits_per_sample < 0.55 * min(linear.bits_per_sample, raw.bits_per_sample)
    assert linear.bits_per_sample == pytest.approx(raw.bits_per_sample, rel=0.01)
    assert raw.bits_per_sample == pytest.approx(376, rel=0.03)  # 64 Gaussians of spread √.08 would take 376
    assert support == pytest.approx(256 * 0.1414, rel=0.02)  # 256 binary entropies at .02
    assert parts == pytest.approx(256 * 64 * 7.5 / 6000, rel=0.2)
    assert truth.law(10**6) / 10**6 < 160


def test_raw_neurons_cost_their_differential_entropy():
    """64 Gaussian coordinates of spread σ on a grid δ: log2(σ √(2πe) / δ) bits each."""
    x = torch.randn(5000, 16, generator=torch.Generator().manual_seed(5))
    score = score_site(Neurons(16), SiteProblem(x, GridTarget(0.05), 0.05))
    ideal = 16 * math.log2(math.sqrt(2 * math.pi * math.e) / 0.05)
    assert ideal < score.bits_per_sample < ideal * 1.03
