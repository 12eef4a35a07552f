"""Prequential scores with learners whose costs are known, and with the student itself."""

from __future__ import annotations

import math

import pytest
import torch
from assay.explanations.student import Student
from assay.mdl import AnswerTarget, CategoricalTarget, GridTarget, MechanismProblem
from assay.mdl.answers import answers
from assay.mdl.grid import quantise
from assay.mdl.score import BLOCKS
from assay.mdl.student import lessons, score_student
from assay.mdl.student_stream import decode_student, encode_student, student_framing_bits
from assay.mdl.twin import Twin
from assay.mdl.wire import BitstreamError
from assay.models import load, load_dataset, stream
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 3000))
def test_lessons_are_all_the_data_in_order_and_stay_within_blocks(data):
    plan = lessons(data)
    assert [s.rows.start for s in plan] == [0, *(s.rows.stop for s in plan[:-1])]
    assert plan[-1].rows.stop == data
    blocks = min(BLOCKS, data)
    for s in plan:
        low, high = s.block * data // blocks, (s.block + 1) * data // blocks
        assert low <= s.rows.start < s.rows.stop <= high
        assert s.rows.stop - s.rows.start <= max(1, s.rows.start / 4)


class Counter:
    """Predicts the outcomes by their KT frequencies, and notes when it was asked and told."""

    def __init__(self, outcomes: int) -> None:
        self.outcomes = outcomes
        self.reset()

    def reset(self) -> None:
        self.counts = torch.full((self.outcomes,), 0.5, dtype=torch.float64)
        self.log: list[tuple[str, int]] = []

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        self.log.append(("asked", int(x[0])))
        return self.counts.log().expand(len(x), -1)

    def learn(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.log.append(("told", int(x[0])))
        self.counts += torch.bincount(y, minlength=self.outcomes)


def problem(n: int, p: list[float]) -> MechanismProblem:
    return MechanismProblem(torch.arange(n), torch.tensor(p).log().expand(n, -1), CategoricalTarget())


def test_a_learner_is_asked_before_it_is_told():
    learner = Counter(3)
    score_student(learner, problem(50, [0.7, 0.2, 0.1]))
    starts = [s.rows.start for s in lessons(50)]
    assert learner.log == [("asked", 0), *(entry for s in starts for entry in (("asked", s), ("told", s)))]


def test_learning_frequencies_costs_what_theory_says():
    n, p = 4000, [0.7, 0.2, 0.1]
    score = score_student(Counter(3), problem(n, p))
    assert score.ledger.total == pytest.approx((3 - 1) / 2 * math.log2(n), abs=8)  # (K − 1)/2 log2 n + O(1)
    untaught = math.log2(3) + sum(q * math.log2(q) for q in p)
    assert score.law(1) == pytest.approx(untaught, rel=1e-3)


def test_the_law_is_the_total_at_n_and_no_line_is_forgotten():
    score = score_student(Counter(3), problem(4000, [0.7, 0.2, 0.1]))
    assert score.law(4000) == pytest.approx(score.ledger.total, rel=1e-6)
    assert score.blocks.sum() == pytest.approx(score.ledger.total)
    assert score.law(10**6) >= score.ledger.total
    assert all(score.law(N) <= score.law(N + 1) for N in (1, 10, 100, 1000))


@pytest.fixture(scope="module")
def regression() -> tuple[Student, MechanismProblem]:
    network = load("zoo:tms-5-2")
    dataset = load_dataset("zoo", network, 600)
    outputs = torch.cat([batch.outputs for batch in stream(network, dataset, ())])
    student = Student(network, dataset.inputs, outputs)
    return student, MechanismProblem(dataset.inputs, outputs, GridTarget(0.05))


def test_the_student_learns_and_forgets(regression):
    student, asked = regression
    first, again = score_student(student, asked), score_student(student, asked)
    assert first.ledger == again.ledger
    early, late = first.blocks[:16].sum(), first.blocks[16:].sum()
    assert late < 0.8 * early
    assert first.faithfulness["fvu"] < 0.3


def test_what_comes_later_changes_nothing_earlier(regression):
    student, asked = regression
    changed = asked.outputs.clone()
    changed[300:] = changed[300:].flip(0)
    other = MechanismProblem(asked.inputs, changed, asked.target)
    seen = [[], []]
    for notes, which in zip(seen, (asked, other), strict=True):
        student.reset()
        for lesson in lessons(600):
            if lesson.rows.start < 300:
                notes.append(student.predict(which.inputs[lesson.rows]))
                student.learn(which.inputs[lesson.rows], which.outputs[lesson.rows])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_a_language_student_reads_no_token_that_comes_after():
    network = load("zoo:byte-lm")
    x = load_dataset("zoo", network, 2).inputs
    outputs = network(x)
    student = Student(network, x, outputs)
    student.learn(x[:1], outputs[:1].argmax(-1))
    changed = x.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % 128
    before, after = student.predict(x), student.predict(changed)
    assert torch.equal(before[:, :40], after[:, :40])
    assert not torch.equal(before[:, 40:], after[:, 40:])


@pytest.fixture(scope="module", params=["grid", "answers", "outcomes"])
def asked(request, regression) -> tuple[Student, MechanismProblem]:
    """A student of each target."""
    if request.param == "grid":
        return regression
    network = load("zoo:digits")
    dataset = load_dataset("zoo", network, 150)
    outputs = torch.cat([batch.outputs for batch in stream(network, dataset, ())])
    target = AnswerTarget() if request.param == "answers" else CategoricalTarget()
    return Student(network, dataset.inputs, outputs), MechanismProblem(dataset.inputs, outputs, target)


def test_a_receiver_who_trains_the_same_student_restores_the_outputs(asked):
    """And the stream is as long as the ledger says; of KL its decodable twin."""
    student, problem = asked
    score = score_student(student, problem, seed=5)
    data, message = encode_student(student, problem, seed=5)
    told = decode_student(data, student, problem.inputs)
    assert torch.equal(told.restored, message.restored)
    (line,) = score.ledger.lines[1:]
    assert (line.status == "exact") == (told.corrects.name != "outcomes")
    stated = score.ledger.total
    if told.corrects.name == "grid":
        assert torch.equal(told.restored, quantise(problem.outputs, 0.05))
    elif told.corrects.name == "answers":
        assert torch.equal(told.restored, answers(problem.outputs))
    else:
        stated = Twin.of(told.predicted, problem.outputs, told.restored, 5).bits
    framing = student_framing_bits(told, problem.data) + 8 * 20
    assert 8 * len(data) - framing == pytest.approx(stated, rel=0.005, abs=20)


def test_a_receiver_whose_training_differs_is_refused(asked):
    """What it restores is not what the checksum says, or nothing can be restored."""
    student, problem = asked
    data, _ = encode_student(student, problem)

    class Other:
        """The same student, whose last layer came out otherwise."""

        reset, learn = student.reset, student.learn

        @staticmethod
        def predict(x: torch.Tensor) -> torch.Tensor:
            return student.predict(x).roll(1, -1)

    with pytest.raises(BitstreamError):
        decode_student(data, Other, problem.inputs)
    spoilt = bytearray(data)
    spoilt[len(data) // 2] ^= 1
    with pytest.raises(BitstreamError, match="checksum"):
        decode_student(bytes(spoilt), student, problem.inputs)


def test_the_student_is_the_same_on_any_number_of_threads(regression):
    student, problem = regression
    before, data = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            data.append(encode_student(student, problem)[0])
    finally:
        torch.set_num_threads(before)
    assert data[0] == data[1]
