from __future__ import annotations

from decimal import Decimal, getcontext
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from assay.models import Network, Transformer, TransformerConfig, zoo
from assay.proofs import InputError
from assay.proofs.strategies import Subject, read
from assay.proofs.strategies.paths import LOGIT_BITS


def whole(table: torch.Tensor) -> list[list[Fraction]]:
    return [[Fraction(float(x)) for x in row] for row in table]


def turned(a: list[list[Fraction]]) -> list[list[Fraction]]:
    return [list(column) for column in zip(*a, strict=True)]


def times(a: list[list[Fraction]], b: list[list[Fraction]]) -> list[list[Fraction]]:
    columns = turned(b)
    return [[sum((x * y for x, y in zip(row, c, strict=True)), Fraction(0)) for c in columns] for row in a]


def multiplied(subject: Subject) -> tuple[list[list[list[Fraction]]], list[list[list[Fraction]]]]:
    """EU, EV, PV as defined, not centred, and sqrt(e) times the scores of tokens, of positions, of the mean
    token."""
    state = subject.network.module.state_dict()
    E, P, U = (whole(state[name]) for name in ("embed.W_E", "pos_embed.W_pos", "unembed.W_U"))
    Q, K, V, O = (whole(state[f"blocks.0.attn.W_{c}"][0]) for c in "QKVO")  # noqa: E741
    query = [[a + b for a, b in zip(row, P[-1], strict=True)] for row in E]
    VOU = times(times(V, O), U)
    Y = times(times(query, Q), turned(K))
    unit = Fraction(1, 1 << subject.model.shift)
    mean = [sum(column) / len(E) // unit * unit for column in turned(E)]
    logits = [times(query, U), times(E, VOU), times(P, VOU)]
    return logits, [times(Y, turned(E)), times(Y, turned(P)), times(Y, turned([mean]))]


def test_path_logits_add_up_to_exact_products(trained):
    """What moves between tables stays in their sum; each is rounded down by less than a unit."""
    subject = trained(3, 9)
    (EU, EV, PV), _ = multiplied(subject)
    paths, unit = subject.paths, Fraction(1, 1 << subject.paths.places)
    for q, t, p, j in product(range(9), range(9), range(3), range(9)):
        exact = (EU[q][j] + EV[t][j] + PV[p][j]) / unit
        assert 0 <= exact - int(paths.EU[q, j] + paths.EV[t, j] + paths.PV[p, j]) < 3
    largest = max(int(abs(table).max()) for table in (paths.EU, paths.EV, paths.PV))
    assert largest + 1 >= 1 << LOGIT_BITS - 1
    assert largest <= 1 << LOGIT_BITS
    assert abs(paths.EU.sum(0)).max() <= 2 * 9 * 9  # centred
    assert abs(paths.PV.sum(0)).max() <= 2 * 9


@pytest.mark.parametrize("EU", ["full", "low-rank"])
def test_direct_differences_are_bounded(trained, EU):
    subject = trained(3, 9)
    (exact, _, _), _ = multiplied(subject)
    mean = [sum(column) / 9 for column in turned(exact)]
    paths = subject.tables("full", EU)
    unit = Fraction(1, 1 << paths.places)
    for q, m, j in product(range(9), range(9), range(9)):
        if j != m:
            off = (exact[q][j] - mean[j]) - (exact[q][m] - mean[m])
            assert off / unit <= int(paths.direct[q, m]) + 1


@pytest.mark.parametrize("QK", ["full", "low-rank"])
def test_exponentials_enclose_those_of_scores(trained, QK):
    """A code x 2^28 + M says M 2^x, or up to (M + 1) 2^x; low rank is of scores less that of the mean
    token."""
    subject = trained(4, 6)
    paths, (_, (A, B, mean)) = subject.tables(QK, "full"), multiplied(subject)
    getcontext().prec = 60

    def check(low, high, exact):
        score = Decimal(exact.numerator) / exact.denominator / Decimal(subject.shape.e).sqrt()
        for code, more, below in ((int(low), 0, True), (int(high), 1, False)):
            M, x = code & ((1 << 28) - 1), code >> 28
            assert 1 << 27 <= M < 1 << 28
            assert (Decimal(M + more) * Decimal(2) ** x <= score.exp()) is below or score == 0

    for q in range(6):
        for t in range(6):
            check(paths.least[q, t], paths.most[q, t], A[q][t] - (mean[q][0] if QK == "low-rank" else 0))
        for p in range(4):
            check(paths.places_at[q, p], paths.places_at[q, p], B[q][p])
    assert (paths.least < paths.most).all() == (QK == "low-rank")


def test_a_score_of_zero_is_exact():
    config = TransformerConfig(1, 4, 1, 4, 5, 3, normalization=None, attn_only=True, biases=False)
    module = Transformer(config)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        module.unembed.W_U[0, 0] = 1.0
    subject = Subject(Network("zero", module, "categorical", "token", (3,), vocabulary=5))
    one = (-27 << 28) + (1 << 27)
    assert (subject.paths.least == one).all()
    assert (subject.paths.most == one).all()


def test_other_dtypes_are_read_exactly(trained):
    network = trained(3, 9).network
    halved = Transformer(network.module.config).to(torch.bfloat16)
    halved.load_state_dict({k: t.to(torch.bfloat16) for k, t in network.module.state_dict().items()})
    model = read(Network("half", halved, "categorical", "token", (3,), vocabulary=9))
    E = halved.embed.W_E.detach().double().numpy()
    assert (np.array(model.E / Fraction(1 << model.shift), dtype=float) == E).all()


def test_what_is_no_max_of_k_model_is_told_all_at_once():
    with pytest.raises(InputError, match="it is a Sequential, expected a transformer"):
        read(zoo.load("digits"))
    config = TransformerConfig(2, 4, 2, 4, 5, 3, d_mlp=8)
    module = Transformer(config)
    module.initialise(1.0, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="n_layers is 2") as caught:
        read(Network("two", module, "categorical", "token", (3,), vocabulary=5))
    for word in ("n_layers is 2", "n_heads is 2", "normalization is 'LN'", "attn_only is False"):
        assert word in str(caught.value)


def test_weights_that_are_not_finite_are_named(random_model):
    subject = random_model(3, 6, 0)
    with torch.no_grad():
        subject.network.module.embed.W_E[0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite in E"):
        read(subject.network)


def test_huge_weights_are_refused_in_float32_only(random_model):
    subject = random_model(3, 6, 0, size=5.0)
    with pytest.raises(InputError, match="semantics real has no such limit"):
        _ = Subject(subject.network, "float32").slack
    assert subject.paths.EU.shape == (6, 6)
