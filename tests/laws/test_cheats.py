"""A sceptic tries to cheat the accountant: each trick fails loudly, or is charged for what it carries."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest
import torch
from assay.explanations import Evidence, ExplanationError, Question, weigh_one
from assay.explanations.alternatives import Alternatives
from assay.mdl import (
    AnswerTarget,
    CategoricalTarget,
    DoesNotDecode,
    GridTarget,
    MechanismProblem,
    Parts,
    PartTensor,
    SiteProblem,
    one_part,
    score_mechanism,
    score_site,
)
from assay.models import Activations, perceptron

from .honest import DELTA, WIDTH, Changing, Linear, N


class Cheat(Linear):
    """Adds what it should not know to an honest prediction; ``secret`` is the model's answers."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1)))
        self.answers = evidence.outputs[:].double()
        self.inputs = evidence.dataset.inputs
        self.hide()

    def hide(self) -> None:
        """Put the answers where the accountant might not look."""

    def secret(self, restored, x, active) -> torch.Tensor:
        raise AssertionError

    def predict(self, restored, x, active):
        return super().predict(restored, x, active) * 1e-9 + self.secret(restored, x, active)

    def row(self, x) -> list[int]:
        """Which data these are: the receiver knows the inputs."""
        return [int((self.inputs == one).all(1).nonzero()[0, 0]) for one in x]


class KeepsTheModel(Cheat):
    """Runs the model itself."""

    def hide(self):
        torch.manual_seed(0)
        self.model = perceptron([3, 5, WIDTH])

    def secret(self, restored, x, active):
        return self.model(x).detach().double() * 3


class KeepsATable(Cheat):
    """Has the list of the answers, as a tensor."""

    def secret(self, restored, x, active):
        known = torch.randn_like(x) if not hasattr(self, "inputs") else x
        return self.answers[: len(known)]


class KeepsAnArray(Cheat):
    """The same, as an array of numpy in a table."""

    def hide(self):
        self.held = {"answers": [self.answers.numpy()]}
        self.places = {tuple(one.tolist()): i for i, one in enumerate(self.inputs)}

    def secret(self, restored, x, active):
        return torch.from_numpy(self.held["answers"][0])[[self.places[tuple(one.tolist())] for one in x]]


class SaysItInItsName(Cheat):
    """The name carries the answers, in base 64."""

    def hide(self):
        self.name = base64.b64encode(self.answers.numpy().tobytes()).decode()
        self.places = {tuple(one.tolist()): i for i, one in enumerate(self.inputs)}

    def secret(self, restored, x, active):
        try:
            told = np.frombuffer(base64.b64decode(self.name), dtype=np.float64).reshape(-1, WIDTH).copy()
        except ValueError:
            return torch.zeros(len(x), WIDTH, dtype=torch.float64)
        return torch.from_numpy(told)[[self.places[tuple(one.tolist())] for one in x]]


class SaysItInItsRecipe(Cheat):
    """The recipe depends on the answers, and the digest with it; a receiver has no answers to make it of."""

    def recipe(self):
        return {"kind": self.kind, "answers": self.answers.tolist()}

    def secret(self, restored, x, active):
        return torch.tensor(self.recipe()["answers"], dtype=torch.float64)[: len(x)]


class RemembersAcrossCalls(Cheat):
    """What it has seen while it chose the active parts, it still knows when it predicts."""

    def active(self, restored, x):
        self.seen = torch.stack([self.answers[i] for i in self.row(x)])
        return super().active(restored, x)

    def secret(self, restored, x, active):
        seen = getattr(self, "seen", torch.zeros(0, WIDTH))
        return seen if len(seen) == len(x) else torch.zeros(len(x), WIDTH, dtype=torch.float64)


class KnowsTensorsByIdentity(Cheat):
    """The answers hang on the very tensor that is handed round."""

    def active(self, restored, x):
        x.answers = torch.stack([self.answers[i] for i in self.row(x)])
        return super().active(restored, x)

    def secret(self, restored, x, active):
        return getattr(x, "answers", torch.zeros(len(x), WIDTH, dtype=torch.float64))


class NamesItsParts(Cheat):
    """Tensors are named by what is to be known."""

    def parts(self):
        first = one_part(f"bias {float(self.answers[0, 0]):.17g}", torch.zeros(1), 3)
        return Parts(3, (*super().parts().tensors, first))

    def secret(self, restored, x, active):
        (name,) = (name for name in restored if name.startswith("bias"))
        return torch.full((len(x), WIDTH), float(name.split()[1]), dtype=torch.float64)


class OwnsByAnswers(Cheat):
    """Which part a slice belongs to is a number, and is told nowhere."""

    def parts(self):
        owner = (self.answers[:, 0] > 0).long()
        return Parts(3, (*super().parts().tensors, PartTensor("zeros", torch.zeros(N, 1), owner)))

    def secret(self, restored, x, active):
        return torch.zeros(len(x), WIDTH, dtype=torch.float64)


class AllowsByAnswers(OwnsByAnswers):
    """Which entries can exist is known beforehand, so it must not depend on numbers."""

    def parts(self):
        allowed = self.answers[:, 0] > 0
        return Parts(3, (*super().parts().tensors[:1], one_part("z", torch.zeros(N), 3, None, allowed)))


HIDDEN = [
    (KeepsTheModel, "none of its numbers"),
    (KeepsATable, "none of its numbers"),
    (KeepsAnArray, "none of its numbers"),
    (SaysItInItsName, "none of its numbers"),
    (SaysItInItsRecipe, "none of its numbers"),
    (RemembersAcrossCalls, "none of its numbers"),
    (KnowsTensorsByIdentity, "received in two ways"),
    (NamesItsParts, "what they are called, is told nowhere"),
    (OwnsByAnswers, "belongs to is told nowhere"),
    (AllowsByAnswers, "can exist is told nowhere"),
]


@pytest.mark.parametrize(("cheat", "told"), HIDDEN)
def test_numbers_that_no_message_carries_are_found(evidence, cheat, told):
    with pytest.raises(DoesNotDecode, match=told):
        weigh_one(evidence, cheat(evidence))


def test_an_honest_kind_is_scored(evidence):
    assert weigh_one(evidence, Linear(torch.randn(3, WIDTH))).checks["decodes"] is True


class Handle(Linear):
    """Holds what cannot be copied."""

    def __init__(self, W) -> None:
        super().__init__(W)
        self.stream = (i for i in range(3))


def test_a_kind_that_cannot_be_copied_is_refused_by_name(evidence):
    with pytest.raises(ExplanationError, match=r"linear: no receiver's copy can be made"):
        weigh_one(evidence, Handle(torch.zeros(3, WIDTH)))


class UsesWhatItDoesNotName(Linear):
    """Says that no part is active, and predicts with all of them: parts are paid when they are used."""

    def active(self, restored, x):
        return super().active(restored, x) & False

    def predict(self, restored, x, active):
        return super().predict(restored, x, torch.ones_like(active))


class UsesAnothersParts(Linear):
    """On the first datum the last part is not named, and acts."""

    def active(self, restored, x):
        named = super().active(restored, x).clone()
        named[0, 0, -1] = False
        return named

    def predict(self, restored, x, active):
        return super().predict(restored, x, torch.ones_like(active))


class ActsInNumbers(Linear):
    """A set is sent; numbers in its place would carry the answers for nothing."""

    def active(self, restored, x):
        return torch.randn(len(x), 1, 3)


class NamesPartsThatAreNotThere(Linear):
    def active(self, restored, x):
        return torch.ones(len(x), 1, 9, dtype=torch.bool)


class CountsPositions(Linear):
    """How many positions a datum has would be a message of its own."""

    def active(self, restored, x):
        many = 1 + int(x[0, 0] > 0)
        return super().active(restored, x).expand(-1, many, -1)


class PredictsForMany(Linear):
    def predict(self, restored, x, active):
        return super().predict(restored, x, active)[:1]


@pytest.mark.parametrize(
    ("cheat", "told"),
    [
        (UsesWhatItDoesNotName, "not told to be active, and not paid"),
        (UsesAnothersParts, "not told to be active, and not paid"),
        (ActsInNumbers, "came as torch.float32, expected torch.bool"),
        (NamesPartsThatAreNotThere, r"expected \[6 data, positions, 3 parts\]"),
        (CountsPositions, "over 1 and 2 positions"),
        (PredictsForMany, r"predictions have the shape \(1, 4\), expected \(6, 4\)"),
    ],
)
def test_what_is_not_told_is_not_used(evidence, cheat, told):
    W = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    problem = MechanismProblem(evidence.dataset.inputs, evidence.outputs, GridTarget(DELTA))
    with pytest.raises(ValueError, match=told):
        score_mechanism(cheat(W), problem, precision=8)


BITS = 6


class TellsByWhoIsActive(Linear):
    """No number is sent; which of 2⁶ empty parts is active says the answer."""

    def __init__(self, answers: torch.Tensor, x: torch.Tensor, owners: torch.Tensor) -> None:
        self.owners = owners
        self.places = {tuple(one.tolist()): int(a) for one, a in zip(x, answers, strict=True)}

    def parts(self):
        return Parts(2**BITS, (PartTensor("nothing", torch.zeros(len(self.owners), 0), self.owners),))

    def active(self, restored, x):
        told = torch.tensor([self.places[tuple(one.tolist())] for one in x])
        return torch.nn.functional.one_hot(told, 2**BITS).bool()[:, None]

    def predict(self, restored, x, active):
        return active[:, 0].double() * 1e4


@pytest.mark.parametrize("owners", [torch.arange(2**BITS), torch.zeros(0).long(), torch.zeros(7).long()])
def test_answers_told_by_who_is_active_cost_what_answers_cost(owners):
    """Empty parts, no slices at all, several slices of one owner: the support pays for 6 bits a row."""
    g = torch.Generator().manual_seed(0)
    x, answers = torch.randn(500, 3, generator=g), torch.randint(2**BITS, (500,), generator=g)
    logits = torch.nn.functional.one_hot(answers, 2**BITS) * 50.0
    for target in (AnswerTarget(), CategoricalTarget()):
        score = score_mechanism(
            TellsByWhoIsActive(answers, x, owners), MechanismProblem(x, logits, target), 8
        )
        assert score.ledger.section("support") > BITS * 500
        assert score.ledger.total > BITS * 500
        assert score.law(1) >= BITS


def test_answers_told_by_which_way_is_taken_are_paid(evidence):
    """One of 8 ways is 3 bits."""
    W = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    alone = weigh_one(evidence, Linear(W)).ledger.total
    for ways in (1, 8):
        told = weigh_one(evidence, Alternatives("ways", [Linear(W) for _ in range(ways)])).ledger.total
        assert told == pytest.approx(alone + math.log2(ways))


class TwoFaces(Linear):
    """The parts that predict are not the parts that are priced."""

    asked = 0

    def parts(self):
        self.asked += 1
        return Parts(3, (PartTensor("W", self.W * (self.asked < self.until), torch.arange(3)),))


def test_parts_that_change_while_they_are_weighed_are_what_they_were_first(evidence):
    W = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    honest = weigh_one(evidence, Linear(W))
    for until in range(2, 9):
        cheat = TwoFaces(W)
        cheat.until = until
        found = weigh_one(evidence, cheat)
        assert found.ledger.lines == honest.ledger.lines
        assert found.explanation.digest == honest.explanation.digest


def test_a_dictionary_that_changes_is_what_it_was_first():
    g = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(6, 4, generator=g), dim=1)
    found = Activations(torch.randn(150, 4, generator=g), "x", "", "")
    seen = Evidence(Question("site", "activations", "x", 0.25, 8), None, None, found, None)
    honest = weigh_one(seen, Changing(rows, math.inf)).ledger.lines
    for until in range(2, 6):
        assert weigh_one(seen, Changing(rows, until)).ledger.lines == honest


def test_the_order_of_parts_carries_nothing():
    """Whoever permutes rows permutes what is sent: every order costs the same, and arrives."""
    g = torch.Generator().manual_seed(0)
    rows, x = torch.randn(8, 4, generator=g), torch.randn(300, 4, generator=g)
    problem = SiteProblem(x, GridTarget(0.2), 0.2)
    order = torch.randperm(8, generator=g)
    one, other = (score_site(Changing(r, math.inf), problem, 8) for r in (rows, rows[order]))
    assert one.ledger.total == pytest.approx(other.ledger.total, rel=1e-3)


class Constant(Linear):
    """The same output always, from a number that was never sent."""

    def predict(self, restored, x, active):
        return self.W[0].double().expand(len(x), WIDTH)


def test_a_constant_that_was_not_sent_is_found(evidence):
    """That predictions do not depend on the parts proves nothing where they are constant; the copy does."""
    with pytest.raises(DoesNotDecode, match="none of its numbers"):
        weigh_one(evidence, Constant(torch.randn(3, WIDTH)))
