"""The true circuit of a compiled program is the shortest explanation, and every edge of it counts."""

import pytest
import torch
from assay.explanations import (
    Answers,
    ExplanationError,
    Neurons,
    Question,
    WholeNetwork,
    gather,
    svd_components,
    weigh,
)
from assay.explanations.truth import (
    edges,
    fact_components,
    flipped,
    random_circuit,
    true_circuit,
    true_edges,
)
from assay.explanations.weighing import mechanism_problem
from assay.mdl import MechanismProblem, kl_bits, score_mechanism
from assay.models import load, load_dataset
from assay.models.programs import PROGRAMS, bigram_memory


def problem_of(program, compiled, n: int) -> MechanismProblem:
    delta = 2**-6 if program.output.values is None else None
    return mechanism_problem(
        gather(Question("mechanism", "outputs", delta=delta), compiled.network, program.data(n, 1))
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_true_circuit_is_shortest(name):
    program = PROGRAMS[name]()
    compiled = program.compile()
    problem = problem_of(program, compiled, 16)
    truth = score_mechanism(true_circuit(compiled), problem, 2).law
    others = [WholeNetwork(compiled.network), Neurons(compiled.network)]
    others += [random_circuit(compiled, seed) for seed in range(2)]
    for other in others:
        law = score_mechanism(other, problem, 2).law
        assert truth(1) < law(1), other.name
        assert truth(1000) < law(1000), other.name
    answers = Answers(compiled.network, compiled.network(problem.inputs))
    assert truth(1000) < score_mechanism(answers, problem, 4).law(1000)


def test_two_bits_per_number_are_what_the_accountant_chooses():
    program = PROGRAMS["histogram"]()
    compiled = program.compile()
    problem = problem_of(program, compiled, 8)
    for explanation in (true_circuit(compiled), random_circuit(compiled, 0)):
        assert score_mechanism(explanation, problem, calibrate_data=4).knobs["precision"] == 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_nearly_every_true_edge_changes_answers(name):
    """What a missing edge costs in divergence on five hundred data is more than its place and value save."""
    program = PROGRAMS[name]()
    compiled = program.compile(distractors=0)
    x = program.data(500, 1).inputs
    answers = compiled.network(x).flatten(0, 1)
    every = true_edges(compiled)
    weak = 0
    for edge in every:
        masks = flipped(compiled, edge).masks
        kept = {n: p * masks[n] for n, p in compiled.network.parameters().items()}
        said = torch.func.functional_call(compiled.network.module, kept, (x,)).flatten(0, 1)
        if program.output.values is None:
            weak += bool(((said - answers).abs() > 2**-7).sum() < 10)
        else:
            weak += bool(kl_bits(answers, said).sum() < 10)
    assert weak <= 0.05 * len(every)


def test_a_distractor_edge_is_paid_for_nothing():
    program = PROGRAMS["histogram"]()
    compiled = program.compile()
    problem = problem_of(program, compiled, 8)
    truth = score_mechanism(true_circuit(compiled), problem, 2)
    false = sorted(set(edges(compiled)) - set(true_edges(compiled)))
    for edge in false[::60]:
        more = score_mechanism(flipped(compiled, edge), problem, 2)
        assert more.law(1) > truth.law(1)
        assert more.faithfulness["kl_bits"] == truth.faithfulness["kl_bits"] == 0.0


def test_flipping_twice_is_the_truth_and_sizes_are_right():
    compiled = PROGRAMS["sort"]().compile()
    true = true_edges(compiled)
    added = next(edge for edge in edges(compiled) if edge not in set(true))

    def size(circuit) -> int:
        return sum(int(mask.sum()) for mask in circuit.masks.values())

    assert size(true_circuit(compiled)) == size(random_circuit(compiled, 3)) == len(true)
    assert size(flipped(compiled, true[5])) == len(true) - 1
    assert size(flipped(compiled, added)) == len(true) + 1
    assert flipped(compiled, added).name.startswith("with ")
    assert flipped(compiled, true[5]).name.startswith("without ")
    with pytest.raises(ExplanationError, match="a circuit of"):
        random_circuit(compiled, 0, size=10**6)


def test_a_part_for_each_bigram_fires_for_its_key_alone():
    memory = bigram_memory(40, 24, steps=20)
    facts = fact_components(memory)
    on = facts.active({t.name: t.values for t in facts.parts().tensors}, torch.eye(40))[:, 0]
    assert torch.equal(on, torch.eye(40).bool())
    problem = mechanism_problem(gather(Question("mechanism", "outputs"), memory.network, memory.data(32, 1)))
    by_fact = score_mechanism(facts, problem, 8)
    dense = score_mechanism(svd_components(memory.network, (memory.memory,)), problem, 8)
    assert by_fact.faithfulness["l0"] == 1.0
    assert by_fact.law(1) < dense.law(1)  # one datum needs one fact of it


def test_programs_and_their_truth_are_named_on_a_command_line():
    network = load("program:histogram")
    data = load_dataset("zoo", network, 32)
    evidence = gather(Question("mechanism", "outputs", delta=0.1, precision=2), network, data)
    truth, whole = weigh(evidence, ["circuit,from=truth", "network"])
    assert truth.ledger.total < whole.ledger.total
    with pytest.raises(ExplanationError, match="only of program:reverse"):
        weigh(evidence, ["circuit,from=lore"])
