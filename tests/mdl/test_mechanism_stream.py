"""Mechanisms of the zoo there and back, through bytes alone, on every target; and how long the bytes are."""

from dataclasses import replace

import pytest
import torch
from assay.explanations import build
from assay.explanations.receiving import receiver
from assay.explanations.subject import Subject
from assay.explanations.whole import Lookup
from assay.mdl import (
    AnswerTarget,
    CategoricalTarget,
    DoesNotDecode,
    GridTarget,
    MechanismProblem,
    score_mechanism,
)
from assay.mdl.audit import audit_mechanism
from assay.mdl.grid import quantise
from assay.mdl.mechanism_stream import decode_mechanism, encode_mechanism
from assay.mdl.wire import BitstreamError
from assay.models import load, zoo

KINDS = [
    ("tms-5-2", "components,from=truth"),
    ("tms-5-2", "components:tms-5-2-spd"),
    ("tms-5-2", "components,from=svd"),
    ("tms-5-2", "neurons"),
    ("tms-5-2", "circuit,keep=0.8"),
    ("tms-5-2", "network"),
    ("tms-5-2", "lookup"),
    ("tms-5-2", "answers"),
    ("tms-40-10", "components,from=truth"),
    ("comparator", "neurons"),
    ("comparator", "network"),
    ("boolean", "neurons"),
    ("resid-mlp", "network"),
    ("max-of-4", "network"),
    ("max-of-4", "circuit,keep=0.5"),
    ("digits", "circuit,keep=0.5,method=attribution"),
    ("digits", "answers"),
]
CLASSIFIERS = {"boolean", "max-of-4", "digits"}
TOLD = [(*kind, False) for kind in KINDS]
ANSWERED = [(*kind, True) for kind in KINDS if kind[0] in CLASSIFIERS]
DELTA = 0.05


def setting(name: str, text: str, n: int = 200, answers: bool = False):
    network = load(f"zoo:{name}")
    data = zoo.data(name, n, 3)
    outputs = network(data.inputs)
    explanation = build(text, Subject("mechanism", network, data, outputs=outputs))
    target = GridTarget(DELTA)
    if network.output == "categorical":
        target = AnswerTarget() if answers else CategoricalTarget()
    problem = MechanismProblem(data.inputs, outputs, target)
    return explanation, problem, score_mechanism(explanation, problem, precision=8), network


@pytest.mark.parametrize(("name", "text", "answers"), [*TOLD, *ANSWERED])
def test_there_and_back(name: str, text: str, answers: bool) -> None:
    explanation, problem, score, network = setting(name, text, answers=answers)
    blind = receiver(explanation, network)
    checks = audit_mechanism(explanation, problem, score, [blind])
    assert checks["decodes"] is True
    payload = checks["bitstream_bits"] - checks["container_bits"]
    allowed = 0.001 if payload > 1e6 else 0.005
    assert abs(checks["bitstream_excess"]) * payload <= max(allowed * payload, 32)
    if "twin_bits" in checks:
        gap = checks["twin_kl_bits"] - checks["twin_kl_expected_bits"]
        assert abs(gap) <= 5 * checks["twin_standard_error_bits"] + 1e-6


def test_equal_data_share_an_entry_of_the_lookup_table() -> None:
    network = load("zoo:tms-5-2")
    data = zoo.data("tms-5-2", 10, 3)
    x = torch.cat([data.inputs, data.inputs])
    outputs = network(x)
    explanation, problem = Lookup(network, x), MechanismProblem(x, outputs, GridTarget(DELTA))
    score = score_mechanism(explanation, problem, precision=8)
    checks = audit_mechanism(explanation, problem, score, [receiver(explanation, network)])
    assert abs(checks["bitstream_excess"]) < 0.01
    assert int((score.usage.counts > 0).sum()) == 10


def test_the_receivers_copy_holds_no_number_of_the_network() -> None:
    explanation, *_, network = setting("tms-5-2", "components:tms-5-2-spd", 20)
    blind = receiver(explanation, network)
    assert all(not tensor.values.any() for tensor in blind.parts().tensors)
    assert not any(value.any() for value in blind.network.parameters().values())
    assert any(value.any() for value in explanation.network.parameters().values())


class Cheat:
    """Predicts with numbers that it never sent."""

    def __init__(self, explanation) -> None:
        self.inner = explanation
        self.unsent = torch.ones(1)

    def predict(self, restored, x, active):
        return self.inner.predict(restored, x, active) + self.unsent

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)


def test_numbers_that_were_not_sent_do_not_reach_the_receiver() -> None:
    explanation, problem, score, network = setting("tms-5-2", "network", 50)
    cheat = Cheat(explanation)
    audit_mechanism(cheat, problem, score)
    with pytest.raises(DoesNotDecode, match="does not decode"):
        audit_mechanism(cheat, problem, score, [receiver(cheat, network)])


def test_a_receiver_with_other_arithmetic_does_not_decode() -> None:
    explanation, problem, score, network = setting("digits", "circuit,keep=0.5,method=attribution", 60)
    other = receiver(explanation, network)
    plain = other.predict
    other.predict = lambda *given: plain(*given) * (1 + 1e-3)
    with pytest.raises(DoesNotDecode):
        audit_mechanism(explanation, problem, score, [other])


def test_damage_is_refused() -> None:
    explanation, problem, score, _ = setting("tms-5-2", "network", 50)
    data, message = encode_mechanism(explanation, problem, score)
    assert torch.equal(message.restored, quantise(problem.outputs, DELTA))
    for i in range(len(data)):
        with pytest.raises(BitstreamError):
            decode_mechanism(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :], [explanation], problem.inputs)
    with pytest.raises(BitstreamError):
        decode_mechanism(data[:-4], [explanation], problem.inputs)


def test_an_unknown_target_has_no_bitstream() -> None:
    explanation, problem, score, _ = setting("tms-5-2", "network", 50)
    odd = type("Odd", (), {"name": "odd", "delta": None})()
    with pytest.raises((TypeError, ValueError)):
        encode_mechanism(explanation, replace(problem, target=odd), score)
