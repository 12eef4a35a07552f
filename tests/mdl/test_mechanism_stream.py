"""Mechanisms of the zoo there and back, through bytes alone."""

import pytest
import torch
from assay.explanations import build
from assay.explanations.subject import Subject
from assay.mdl import GridTarget, MechanismProblem, kl_bits, score_mechanism
from assay.mdl.grid import quantise
from assay.mdl.mechanism_stream import decode_mechanism, encode_mechanism
from assay.mdl.target import CategoricalTarget
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
]


def setting(name: str, text: str, n: int = 600):
    network = load(f"zoo:{name}")
    data = zoo.data(name, n, 3)
    outputs = network(data.inputs)
    explanation = build(text, Subject("mechanism", network, data, outputs=outputs))
    problem = MechanismProblem(data.inputs, outputs, GridTarget(0.05))
    return explanation, problem, score_mechanism(explanation, problem, precision=8)


class Blind:
    """A receiver's copy: the shapes and the way to predict, every number zeroed."""

    def __init__(self, explanation) -> None:
        self.inner = explanation

    def parts(self):
        from dataclasses import replace

        parts = self.inner.parts()
        blank = tuple(replace(t, values=torch.zeros_like(t.values), mask=None) for t in parts.tensors)
        return replace(parts, tensors=blank)

    def __getattr__(self, name: str):
        return getattr(self.inner, name)


@pytest.mark.parametrize(("name", "text"), KINDS)
def test_there_and_back(name: str, text: str) -> None:
    explanation, problem, score = setting(name, text)
    data = encode_mechanism(explanation, problem, score)
    received = decode_mechanism(data, Blind(explanation), problem.inputs, 0.05)
    assert torch.equal(received, quantise(problem.outputs, 0.05).flatten(0, -2))
    assert 8 * len(data) <= score.ledger.total * 1.02 + 200
    assert 8 * len(data) >= score.ledger.total * 0.98 - 64


def test_damage_is_refused() -> None:
    explanation, problem, score = setting("tms-5-2", "network", 50)
    data = encode_mechanism(explanation, problem, score)
    for i in range(len(data)):
        with pytest.raises(BitstreamError):
            decode_mechanism(
                data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :], explanation, problem.inputs, 0.05
            )
    with pytest.raises(BitstreamError):
        decode_mechanism(data[:-4], explanation, problem.inputs, 0.05)


def test_an_expectation_has_no_bitstream() -> None:
    explanation, problem, score = setting("tms-5-2", "network", 50)
    categorical = MechanismProblem(problem.inputs, problem.outputs, CategoricalTarget())
    with pytest.raises(TypeError, match="expectation"):
        encode_mechanism(explanation, categorical, score)
    assert float(kl_bits(problem.outputs, problem.outputs).max()) == 0.0
