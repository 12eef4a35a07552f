"""Explanations built to fool a scorer are longer than the honest ones, and the ledger says where."""

import pytest
import torch
from assay.explanations import (
    ExplanationError,
    Lookup,
    Question,
    WholeNetwork,
    gather,
    planted_components,
)
from assay.explanations.sae import SAE, SAESite
from assay.explanations.truth import true_circuit
from assay.explanations.truth.traps import (
    SwappedAnswers,
    arbitrary_parts,
    cancelling_pair,
    duplicated,
    everything_relevant,
    merged_mechanisms,
)
from assay.explanations.weighing import mechanism_problem
from assay.mdl import GridTarget, Score, SiteProblem, score_mechanism, score_site
from assay.models import zoo
from assay.models.programs import PROGRAMS
from torch.nn import functional as F

PRECISION = 8


@pytest.fixture(scope="module")
def toy():
    """The true parts of tms-40-10, the problem, and the score of the true parts."""
    network, data = zoo.load("tms-40-10"), zoo.data("tms-40-10", 128, 1)
    problem = mechanism_problem(gather(Question("mechanism", "outputs", delta=0.05), network, data))
    honest = planted_components(network)
    return honest, problem, score_mechanism(honest, problem, PRECISION)


def bits(score: Score, name: str) -> float:
    return next(line.bits for line in score.ledger.lines if line.name == name)


def test_everything_is_relevant(toy):
    honest, problem, rival = toy
    trap = score_mechanism(everything_relevant(honest), problem, PRECISION)
    assert trap.law(1) > 3 * rival.law(1)  # one datum needs all parts
    assert trap.faithfulness["l0"] == 40


def test_every_edge_is_relevant():
    program = PROGRAMS["sort"]()
    compiled = program.compile()
    problem = mechanism_problem(
        gather(Question("mechanism", "outputs"), compiled.network, program.data(16, 1))
    )
    trap = score_mechanism(WholeNetwork(compiled.network), problem, 2)
    rival = score_mechanism(true_circuit(compiled), problem, 2)
    assert trap.faithfulness["kl_bits"] == rival.faithfulness["kl_bits"] == 0.0
    assert bits(trap, "mechanism") > 2 * bits(rival, "mechanism")
    assert all(trap.law(N) > rival.law(N) for N in (1, 1000))


def test_one_part_for_each_datum(toy):
    honest, problem, rival = toy
    trap = score_mechanism(Lookup(honest.network, problem.inputs), problem, PRECISION)
    assert trap.law(1000) > 5 * rival.law(1000)
    assert trap.law.rate > 5 * rival.law.rate
    assert bits(trap, "mechanism") > 10 * bits(rival, "mechanism")


def test_arbitrary_parts_and_the_remainder(toy):
    """They are the network again, at a price: longer than it at every N, and than the truth on one datum."""
    honest, problem, rival = toy
    parts = arbitrary_parts(honest)
    total = parts.factors["W"][0].T @ parts.factors["W"][1]
    assert torch.allclose(total, honest.network.parameters()["W"], atol=1e-5)
    assert parts.parts_count == 40
    trap = score_mechanism(parts, problem, PRECISION)
    network = score_mechanism(WholeNetwork(honest.network), problem, PRECISION)
    assert trap.law(1) > 5 * rival.law(1)
    assert all(trap.law(N) > network.law(N) for N in (1, 1000))


def test_a_cancelling_pair(toy):
    honest, problem, rival = toy
    pair = cancelling_pair(honest)
    L, R = pair.factors["W"]
    assert torch.allclose(L.T @ R, honest.network.parameters()["W"], atol=1e-5)
    trap = score_mechanism(pair, problem, PRECISION)
    assert all(trap.law(N) > rival.law(N) for N in (1, 1000))
    assert bits(trap, "mechanism") > bits(rival, "mechanism")
    assert trap.faithfulness["l0"] == pytest.approx(rival.faithfulness["l0"] + 2)


def test_two_mechanisms_merged_into_one_part(toy):
    honest, problem, rival = toy
    trap = score_mechanism(merged_mechanisms(honest.network), problem, PRECISION)
    assert bits(trap, "residual") > bits(
        rival, "residual"
    )  # what the one does shows up where only the other is
    assert trap.law(1000) > rival.law(1000)
    assert trap.law.rate > rival.law.rate


@pytest.mark.parametrize("k", [None, 3])
def test_a_duplicated_dictionary(k):
    """Sparse data that the dictionary made: the copy is told twice, for the same reconstruction."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    on = torch.rand(2000, 16, generator=generator) < 0.08
    x = on * (1 + torch.rand(2000, 16, generator=generator)) @ directions
    sae = SAE(
        W_enc=directions.T.contiguous(),
        W_dec=directions,
        b_enc=torch.full((16,), -1e-4),
        b_dec=torch.zeros(16),
        architecture="standard" if k is None else "topk",
        k=k,
    )
    twice = duplicated(sae)
    problem = SiteProblem(x, GridTarget(0.05), 0.05)
    trap, rival = (score_site(SAESite(each), problem) for each in (twice, sae))
    assert trap.law(1000) > rival.law(1000)
    assert trap.law.rate > rival.law.rate
    told = ("dictionary", "active sets", "coefficients")
    assert sum(bits(trap, name) for name in told) > sum(bits(rival, name) for name in told)
    with pytest.raises(ExplanationError, match="do not fire together"):
        duplicated(SAE(sae.W_enc, sae.W_dec, sae.b_enc, sae.b_dec, "jumprelu", threshold=torch.ones(16)))


def test_perfect_mean_loss_with_false_answers():
    """100 % of the loss is recovered, and the answers are wrong on each datum: the divergence sees it."""
    network, data = zoo.load("digits"), zoo.data("digits", 360, 1)
    trap = SwappedAnswers(network, data.inputs, data.labels)
    weights = {name: value[None] for name, value in network.parameters().items()}
    said = trap.predict(weights, data.inputs, trap.active(weights, data.inputs))
    loss, own = (F.cross_entropy(logits, data.labels) for logits in (said, network(data.inputs)))
    assert loss == pytest.approx(float(own), abs=1e-6)
    problem = mechanism_problem(gather(Question("mechanism", "outputs"), network, data))
    false, rival = (score_mechanism(e, problem, 12) for e in (trap, WholeNetwork(network)))
    assert false.faithfulness["kl_bits"] > 0.3 > 0.001 > rival.faithfulness["kl_bits"]
    assert all(false.law(N) > rival.law(N) for N in (1, 1000))
    with pytest.raises(ExplanationError, match="hold an input twice"):
        SwappedAnswers(network, data.inputs[[0, 0]], data.labels[[0, 0]])
