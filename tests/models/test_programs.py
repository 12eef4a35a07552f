"""Compiled programs compute what plain Python computes, on every short input; distractors change nothing."""

import itertools
from fractions import Fraction

import pytest
import torch
from assay.models import InputError, programs
from assay.models.programs import (
    PROGRAMS,
    Aggregate,
    CannotCompile,
    Indices,
    Map,
    Numerical,
    Program,
    Select,
    SelectorWidth,
    SelectsNothing,
    SequenceMap,
    Tokens,
    bigram_memory,
    evaluate,
)

ABC = ("a", "b", "c")


def unbalanced(word) -> bool:
    depth = 0
    for bracket in word:
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return True
    return depth != 0


REFERENCES = {
    "reverse": lambda s: s[::-1],
    "sort": sorted,
    "histogram": lambda s: [s.count(token) for token in s],
    "fraction-previous": lambda s: [float(Fraction(s[: i + 1].count("x"), i + 1)) for i in range(len(s))],
    "dyck": lambda s: [unbalanced(s[: i + 1]) for i in range(len(s))],
}


def short_inputs(program: Program) -> list[list]:
    lengths = range(program.shortest, program.longest + 1)
    every = (list(s) for n in lengths for s in itertools.product(program.vocabulary, repeat=n))
    return [s for s in every if not program.distinct or len(set(s)) == len(s)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_its_plain_reference_on_every_short_input(name):
    program = PROGRAMS[name]()
    sequences = short_inputs(program)
    outputs = programs.load(name).network(program.encode(sequences))
    for sequence, logits in zip(sequences, outputs, strict=True):
        wanted = pytest.approx(REFERENCES[name](sequence), abs=1e-6)
        assert program.decode(logits, len(sequence)) == wanted
        assert program.answers(sequence) == wanted


@pytest.mark.parametrize("name", PROGRAMS)
def test_distractors_are_real_edges_that_change_no_answer(name):
    program = PROGRAMS[name]()
    compiled = program.compile()
    kept = {n: p * compiled.truth[n] for n, p in compiled.network.parameters().items()}
    ids = program.data(100, 3).inputs
    assert torch.equal(compiled.network.with_weights(kept)(ids), compiled.network(ids))
    true = sum(int(mask.sum()) for mask in compiled.truth.values())
    assert compiled.edges == 4 * true
    for name_, p in compiled.network.parameters().items():
        assert len(p[p != 0].abs().unique()) <= 1, name_  # no threshold tells true edges from others


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_seed_gives_other_distractors_and_the_same_answers(name):
    a, b = programs.load(name, seed=0), programs.load(name, seed=1)
    ids = PROGRAMS[name]().data(50, 5).inputs
    assert a.network.digest != b.network.digest
    assert torch.equal(a.network(ids), b.network(ids))


def run(output, vocabulary, longest, sequence):
    program = Program("test", output, vocabulary, longest)
    return program.decode(program.compile().network(program.encode([sequence]))[0], len(sequence))


def test_maps_of_one_and_two_sequences():
    tokens, indices = Tokens(ABC), Indices(4)
    upper = Map(tokens, str.upper)
    tagged = SequenceMap(upper, indices, lambda letter, i: f"{letter}{i}")
    assert run(tagged, ABC, 4, list("cab")) == ["C0", "A1", "B2"] == evaluate(tagged, list("cab"))


def test_a_map_of_a_width_reads_the_width():
    tokens = Tokens(ABC)
    width = SelectorWidth(Select(tokens, tokens, lambda k, q: k < q), 0, 4)
    often = Map(width, lambda w: "many" if w > 1 else "few")
    sequence = list("caab")
    assert evaluate(often, sequence) == ["many", "few", "few", "many"]
    assert run(often, ABC, 4, sequence) == evaluate(often, sequence)


def test_what_has_no_construction_is_refused():
    tokens, indices = Tokens(ABC), Indices(3)
    width = SelectorWidth(Select(tokens, tokens, lambda k, q: k == q), 1, 3)
    mean = Aggregate(Select(indices, indices, lambda k, q: k <= q), Numerical(tokens, {"a": 1.0}))
    refused = {
        SequenceMap(width, width, lambda u, v: u + v): "neither is 1",
        Map(mean, lambda x: x): "where categories are read",
        Numerical(width, {1: 1.0}): "not 1 where it holds",
        Tokens(("x", "y")): "the vocabulary is",
    }
    for output, words in refused.items():
        with pytest.raises(CannotCompile, match=words):
            Program("test", output, ABC, 3).compile()


def test_a_mean_over_nothing_is_refused():
    tokens, indices = Tokens(ABC), Indices(3)
    later = Aggregate(Select(indices, indices, lambda k, q: k > q), tokens)
    with pytest.raises(SelectsNothing, match="looks at no position"):
        evaluate(later, ["a", "b"])
    with pytest.raises(InputError, match="different ones"):
        evaluate(Aggregate(Select(tokens, tokens, lambda k, q: True), tokens), ["a", "b"])


def test_bad_input_is_named():
    with pytest.raises(InputError, match="there are reverse, sort"):
        programs.load("quine")
    program = PROGRAMS["histogram"]()
    with pytest.raises(InputError, match="expected 1 to 5 of"):
        program.encode([["z"]])
    with pytest.raises(InputError, match="expected 1 to 5 of"):
        program.encode([["a"] * 9])
    with pytest.raises(InputError, match="there is room for"):
        program.compile(distractors=1000)
    with pytest.raises(InputError, match="needs 1 to 10 dimensions"):
        bigram_memory(10, 11)


@pytest.mark.parametrize(("facts", "dimensions"), [(50, 24), (200, 64), (500, 100)])
def test_a_bigram_memory_holds_more_facts_than_dimensions(facts, dimensions):
    memory = bigram_memory(facts, dimensions)
    W = memory.network.parameters()[memory.memory]
    outer = torch.einsum("fi,fj->ij", memory.values.double(), memory.keys.double())
    assert W.shape == (dimensions, dimensions)
    assert torch.allclose(W.double(), outer, atol=1e-5)
    assert memory.recalled == 1.0
    assert bigram_memory(facts, dimensions, steps=0).recalled < 1.0  # in closed form some facts drown
    assert sorted(memory.follows.tolist()) == list(range(facts))
