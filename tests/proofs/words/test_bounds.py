"""What is certified is right, word for word; and much of what is right is certified."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from assay.models import InputError as ModelError
from assay.models.automata import automaton
from assay.models.products import ComplexProduct, MatrixProduct, ProductConfig
from assay.models.zoo.words import network
from assay.proofs import InputError
from assay.proofs.strategies import Meter
from assay.proofs.words import BruteForce, Explained, Subject, apply, named, outcomes, quality, sweep
from assay.proofs.words.fixed import ONE, roots
from assay.proofs.words.fourier import Waves
from assay.proofs.words.pairs import Pairs

FREQUENCIES = (1, 2, 3, 5)


def right(subject: Subject) -> int:
    return apply(BruteForce(), replace(subject, semantics="float32")).certified


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.01, 0.03, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_no_more_sums_are_certified_than_are_right(summing, noise, seed, semantics):
    subject = replace(summing(11, 4, FREQUENCIES, noise, seed), semantics=semantics)
    truth = right(subject)
    for strategy in (*(Explained("fourier", apart) for apart in (0, 1, 3, 10)), Explained("pairs")):
        bound = apply(strategy, subject)
        assert 0 <= bound.certified <= truth, strategy.name
        if noise <= 1e-3:
            assert bound.certified == bound.sequences == truth


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 0.01, 0.1])
def test_no_more_words_are_certified_than_are_right(permuting, noise, semantics):
    for seed in range(3):
        subject = replace(permuting(3, 5, noise, seed), semantics=semantics)
        truth = right(subject)
        bound = apply(Explained("pairs"), subject)
        assert 0 <= bound.certified <= truth
        if noise <= 1e-4:
            assert bound.certified == bound.sequences == truth


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 0.01, 0.1])
def test_no_more_brackets_are_certified_than_are_right(bracketing, noise, semantics):
    for depth, seed in product((1, 2, 3), range(2)):
        subject = replace(bracketing(depth, 12, noise, seed), semantics=semantics)
        bound, truth = apply(Explained("pairs"), subject), right(subject)
        assert 0 <= bound.certified <= truth
        if noise <= 1e-4:
            assert bound.certified == bound.sequences == truth


def test_an_answer_that_is_not_told_costs_the_brackets_that_lead_to_it(bracketing):
    subject = bracketing(3, 12, 1e-4)
    U = subject.network.parameters()["U"].clone()
    U[:, 2] = 0
    spoilt = Subject(subject.network.with_weights({"U": U}))
    chosen = certified_words(spoilt, Explained("pairs"))
    listed = torch.cat([words for words, _ in outcomes(spoilt)])
    truth = torch.cat([judged for _, judged in outcomes(spoilt)]).numpy()
    assert not (chosen & ~truth).any()
    assert (chosen == (automaton("D3").run(listed) != 2).numpy()).all()
    assert 0 < chosen.sum() == apply(Explained("pairs"), spoilt).certified < 2**12


def test_brackets_are_counted_as_by_hand():
    task = automaton("D3")
    for number in range(2**9):
        word = [number >> i & 1 for i in range(9)]
        depth = 0
        for x in word:
            depth += 1 - 2 * x
            if not 0 <= depth <= 3:
                depth = 4
                break
        assert task.run(torch.tensor([word])).item() == depth


def certified_words(subject: Subject, strategy: Explained) -> np.ndarray:
    """The certified set itself, listed with the errors of its own symbols."""
    shape = subject.shape
    told, bad = strategy.told(subject), strategy.set_apart(subject)
    if strategy.form == "fourier":
        evidence = Waves(subject.network, shape, told, bad, False, Meter())
    else:
        evidence = Pairs(subject.network, shape, told, False, Meter())
    listed = torch.cat([words for words, _ in outcomes(subject)])
    copies = torch.isin(listed, torch.tensor(bad, dtype=torch.long)).sum(1)
    answers = automaton(shape.automaton).run(listed)
    safe = torch.tensor([evidence.answers(c) for c in range(shape.K + 1 if bad else 1)])
    return safe[copies, answers].numpy()


@pytest.mark.parametrize(
    ("form", "apart", "noises"),
    [
        ("fourier", 0, (0.046, 0.05, 0.054)),
        ("fourier", 1, (0.046, 0.05, 0.054)),
        ("fourier", 4, (0.05, 0.055, 0.06)),
        ("pairs", 0, (0.01, 0.012, 0.014, 0.016)),
    ],
)
def test_the_certified_set_of_sums_is_counted_to_the_last_and_all_of_it_is_right(
    summing, form, apart, noises
):
    partly = 0
    for seed, noise in product(range(4), noises):
        subject = summing(11, 4, FREQUENCIES, noise, seed)
        strategy = Explained(form, apart)
        chosen = certified_words(subject, strategy)
        truth = torch.cat([judged for _, judged in outcomes(subject)]).numpy()
        assert not (chosen & ~truth).any()
        assert chosen.sum() == apply(strategy, subject).certified
        partly += 0 < chosen.sum() < len(chosen)
    assert partly, "no network was certified in part"


def test_a_spoilt_symbol_is_set_apart(summing):
    subject = summing(11, 4, FREQUENCIES, 1e-3)
    Z = subject.network.parameters()["Z"].clone()
    Z[7] = -Z[7]
    spoilt = Subject(subject.network.with_weights({"Z": Z}))
    assert apply(Explained("fourier"), spoilt).certified == 0
    bound = apply(Explained("fourier", 1), spoilt)
    assert bound.certified == 10**4 <= right(spoilt)


def test_a_spoilt_answer_costs_its_words_alone(summing):
    subject = summing(11, 4, FREQUENCIES, 1e-3)
    W = subject.network.parameters()["W"].clone()
    W[..., 5] = 0
    spoilt = Subject(subject.network.with_weights({"W": W}))
    bound = apply(Explained("fourier"), spoilt)
    assert bound.certified <= right(spoilt) == 11**4 - 11**3


@pytest.mark.parametrize("scale", [2.0**-20, 3.0, 2.0**20])
def test_the_scale_of_answers_does_not_matter(summing, permuting, scale):
    for subject, name, strategy in (
        (summing(11, 4, FREQUENCIES, 0.05, 2), "W", Explained("fourier", 2)),
        (permuting(3, 5, 1e-3, 1), "U", Explained("pairs")),
    ):
        weights = {name: subject.network.parameters()[name].double() * scale}
        scaled = Subject(subject.network.to(dtype=torch.float64).with_weights(weights))
        assert apply(strategy, scaled).certified == apply(strategy, subject).certified > 0


def test_stretched_factors_are_stretched_answers(permuting):
    subject = permuting(3, 5, 1e-4)
    weights = {"M": subject.network.parameters()["M"] * 0.75}
    bound = apply(Explained("pairs"), Subject(subject.network.with_weights(weights)))
    assert bound.certified == bound.sequences


def test_one_frequency_that_two_sums_share_certifies_nothing(summing):
    """Frequency 2 of 10 takes s and s + 5 to the same place: the margin at that difference is zero."""
    subject = summing(10, 3, (2, 4), 0.0)
    assert apply(Explained("fourier"), subject).certified == 0


def test_roots_of_unity_are_the_nearest():
    for n in (2, 3, 4, 7, 59):
        turned = np.array(roots(n), dtype=object)
        exact = np.exp(2j * np.pi * np.arange(n) / n)
        assert np.allclose(turned.astype(float) / ONE, np.stack([exact.real, exact.imag], 1), atol=1e-15)
    assert roots(4) == [(ONE, 0), (0, ONE), (-ONE, 0), (0, -ONE)]
    assert roots(6)[1][0] == ONE // 2


def test_lengths_are_what_the_parts_say_and_linear_in_the_weights(summing):
    lengths = {}
    for n in (11, 22, 44, 88):
        bound = apply(Explained("fourier"), summing(n, 4, FREQUENCIES, 0.0))
        assert sum(bound.parts.values()) == bound.operations
        lengths[n] = bound.operations
    steps = [lengths[22] - lengths[11], lengths[44] - lengths[22], lengths[88] - lengths[44]]
    assert steps[1] == 2 * steps[0]
    assert steps[2] == 2 * steps[1]


def test_a_sweep_sets_symbols_apart_only_where_it_may_help(summing):
    clean = [b.strategy.name for b in sweep(summing(11, 4, FREQUENCIES, 1e-3))]
    assert clean == ["fourier", "pairs"]
    bounds = sweep(replace(summing(11, 4, FREQUENCIES, 0.07), semantics="float32"))
    assert {"brute-force", "fourier", "fourier-4-apart", "pairs"} <= {b.strategy.name for b in bounds}
    assert 0 < quality(bounds, bounds and summing(11, 4, FREQUENCIES, 0.07).shape) < 1


def test_a_sweep_leaves_out_what_does_not_apply(summing):
    module = MatrixProduct(ProductConfig("S3", 3, 4))
    module.initialise(torch.Generator().manual_seed(0))
    faint = Subject(network(module).with_weights({"M": -module.M.detach()}))
    with pytest.raises(InputError, match="all but erase"):
        sweep(faint)
    vast = summing(11, 4, FREQUENCIES, 0.0).network
    far = Subject(vast.with_weights({"Z": vast.parameters()["Z"] * 2.0**12}), "float32")
    assert [b.strategy.name for b in sweep(far)] == ["brute-force"]


def test_a_network_of_zeros_is_told():
    module = MatrixProduct(ProductConfig("S3", 3, 6))
    torch.nn.init.zeros_(module.M)
    torch.nn.init.zeros_(module.U)
    torch.nn.init.zeros_(module.start)
    with pytest.raises(InputError, match="states are all zero"):
        sweep(Subject(network(module)))


def widened(subject: Subject, more: int, stray: float, seed: int = 0) -> Subject:
    """The same network with further dimensions that its states reach only by a little."""
    old, generator = subject.network.parameters(), torch.Generator().manual_seed(seed)
    n, d, _ = old["M"].shape
    config = subject.network.module.config
    module = MatrixProduct(replace(config, width=d + more))
    module.initialise(generator)
    leak = stray * torch.randn(n, d, more, generator=generator)
    with torch.no_grad():
        module.M[:, :d, :d], module.M[:, :d, d:], module.M[:, d:, :d] = old["M"], leak, 0.1
        module.start.copy_(torch.cat([old["start"], torch.zeros(more)]))
        module.U[:d] = old["U"]
    return Subject(network(module))


@pytest.mark.parametrize("stray", [0.0, 1e-6, 1e-4, 0.01, 1.0])
def test_networks_wider_than_their_states_span_are_bounded(permuting, stray):
    for semantics in ("real", "float32"):
        subject = replace(widened(permuting(3, 5, 1e-4), 5, stray), semantics=semantics)
        bound, truth = apply(Explained("pairs"), subject), right(subject)
        assert bound.certified <= truth
        if stray <= 1e-6:
            assert bound.certified == bound.sequences == truth


def test_long_words_are_bounded_too(summing):
    subject = summing(11, 300, FREQUENCIES, 1e-5)
    bound = apply(Explained("fourier"), subject)
    assert bound.certified == 11**300


def test_groups_agree_with_permutations_by_hand(multiply):
    generator = torch.Generator().manual_seed(0)
    for degree in (3, 4, 5):
        elements = automaton(f"S{degree}")
        words = torch.randint(elements.states, (50, 6), generator=generator)
        assert elements.run(words).tolist() == [multiply(degree, word) for word in words.tolist()]


@pytest.mark.parametrize(
    "name", ["Z1", "Z01", "Z2000", "S9", "A5", "Z", "", "Z-3", "z5", "S7", "D0", "D65", "D03"]
)
def test_other_automata_are_refused(name):
    with pytest.raises(ModelError, match="unknown automaton"):
        ProductConfig(name, 3, 4)


def test_bad_input_is_told(summing, permuting):
    with pytest.raises(InputError, match="did you mean fourier"):
        named("fourrier")
    with pytest.raises(InputError, match="too many to list"):
        apply(BruteForce(), replace(summing(11, 300, FREQUENCIES, 1e-5), semantics="float32"))
    with pytest.raises(InputError, match="S3, 6 symbols, expected sums"):
        apply(Explained("fourier"), permuting(3, 5, 0.0))
    with pytest.raises(InputError, match=r"weights are torch\.float64"):
        Subject(summing(11, 4, FREQUENCIES, 0.0).network.to(dtype=torch.float64), "float32")
    with pytest.raises(InputError, match="sound for semantics float32"):
        apply(BruteForce(), summing(11, 4, FREQUENCIES, 0.0))
    with pytest.raises(InputError, match="S3 does not"):
        apply(Explained("pairs"), Subject(network(initialised("S3"))))
    broken = summing(11, 4, FREQUENCIES, 0.0).network
    Z = broken.parameters()["Z"].clone()
    Z[0] = torch.nan
    with pytest.raises(InputError, match="Z has entries that are not finite"):
        apply(Explained("fourier"), Subject(broken.with_weights({"Z": Z})))


def initialised(name: str) -> ComplexProduct:
    module = ComplexProduct(ProductConfig(name, 3, 4))
    module.initialise(torch.Generator().manual_seed(0))
    return module


def test_nothing_is_certified_of_a_network_that_was_not_trained():
    subject = Subject(network(initialised("Z7")))
    assert apply(Explained("fourier"), subject).certified <= right(subject)
    assert apply(Explained("fourier"), subject).accuracy < 0.5


def test_what_is_told_is_priced(summing, permuting):
    assert Explained("fourier").bits(summing(11, 4, FREQUENCIES, 0.0)) == pytest.approx(5 * np.log2(11))
    apart = Explained("fourier", 2).bits(summing(11, 4, FREQUENCIES, 0.0))
    assert apart == pytest.approx(5 * np.log2(11) + np.log2(55))
    assert Explained("pairs").bits(permuting(3, 5, 0.0)) == pytest.approx(np.log2(7))
