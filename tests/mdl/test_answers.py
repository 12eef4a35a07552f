"""The answers of a classifier as a target: flags, and the right answer where the guess is wrong."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from assay.mdl import AnswerTarget
from assay.mdl.answers import AnswerTally, answers
from assay.mdl.lengths import kt_bernoulli
from assay.mdl.transmit_correction import Wanted, correction, wanted
from assay.mdl.wire import Receiver, Sender


def logits(rows: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


def test_of_equal_outcomes_the_first_is_the_answer():
    assert answers(torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-math.inf, 5.0, 5.0]])).tolist() == [
        1,
        0,
        1,
    ]
    with pytest.raises(ValueError, match="NaN"):
        answers(torch.tensor([[0.0, math.nan]]))


def test_the_length_is_flags_and_one_of_the_others():
    truth, guess = logits(200, 7, 0), logits(200, 7, 1)
    tally = AnswerTarget().compare(guess, truth)
    wrong = int((truth.argmax(-1) != guess.argmax(-1)).sum())
    (line,) = tally.lines()
    assert (tally.wrong, tally.rows) == (wrong, 200)
    assert line.bits == pytest.approx(float(kt_bernoulli(wrong, 200)) + wrong * math.log2(6))
    assert line.status == "exact"
    assert tally.agreement == pytest.approx(1 - wrong / 200)


def test_tallies_add_and_blocks_share():
    truth, guess = logits(90, 4, 0), logits(90, 4, 1)
    target = AnswerTarget()
    blocks = [target.compare(guess[a:b], truth[a:b]) for a, b in pairwise((0, 20, 50, 90))]
    whole = target.compare(guess, truth)
    assert blocks[2] + blocks[0] + blocks[1] == whole
    frequency = next(rate for rate in whole.rates(90)["answers"] if rate.header)
    assert whole.shares(blocks).sum() == pytest.approx(frequency.per_datum * 90)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_answers_arrive_and_are_as_long_as_stated(size):
    truth, guess = logits(3000, size, 0), logits(3000, size, 1) + 2 * logits(3000, size, 0)
    target, sender = AnswerTarget(), Sender()
    told = wanted(target, guess, truth, 0)
    correction(sender, target, guess, told)
    received = correction(Receiver(sender.words()), target, guess, None)
    assert torch.equal(received, truth.argmax(-1))
    stated = target.compare(guess, truth).lines()[0].bits
    assert sender.bits == pytest.approx(stated, rel=0.005, abs=8)


def test_all_right_and_all_wrong():
    assert AnswerTally(5, 100, 0).rough < 10
    assert AnswerTally(5, 100, 100).rough == pytest.approx(200, abs=10)
    told = Wanted(torch.tensor([3, 0, 2]))
    sender = Sender()
    guess = torch.eye(4)[[0, 1, 3]]
    correction(sender, AnswerTarget(), guess, told)
    received = correction(Receiver(sender.words()), AnswerTarget(), guess, None)
    assert np.array_equal(received.numpy(), [3, 0, 2])
