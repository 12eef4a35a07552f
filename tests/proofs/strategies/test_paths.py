from __future__ import annotations

from decimal import Decimal, getcontext
from fractions import Fraction

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


def test_path_logits_are_exact_products_rounded_down(trained):
    subject = trained(3, 9)
    state = subject.network.module.state_dict()
    E, P, U = (whole(state[name]) for name in ("embed.W_E", "pos_embed.W_pos", "unembed.W_U"))
    Q, K, V, O = (whole(state[f"blocks.0.attn.W_{c}"][0]) for c in "QKVO")  # noqa: E741
    query = [[a + b for a, b in zip(row, P[-1], strict=True)] for row in E]
    VOU = times(times(V, O), U)
    exact = {"EU": times(query, U), "EV": times(E, VOU), "PV": times(P, VOU)}
    unit = Fraction(1, 1 << subject.paths.places)
    for name, table in exact.items():
        down = [[x // unit for x in row] for row in table]
        assert getattr(subject.paths, name).tolist() == down
    largest = max(abs(x) for table in exact.values() for row in table for x in row) / unit
    assert 1 << LOGIT_BITS - 1 <= largest < 1 << LOGIT_BITS
    scores = times(times(times(query, Q), turned(K)), turned(E))
    places = Fraction(1, 1 << subject.paths.score_places)
    assert subject.paths.A.tolist() == [[x / places for x in row] for row in scores]


def test_exponentials_lie_between_their_mantissa_and_the_next(trained):
    subject = trained(4, 6)
    getcontext().prec = 60
    for table, made in ((subject.paths.A, subject.paths.eA), (subject.paths.B, subject.paths.eB)):
        for n, M, x in zip(table.ravel(), made.M.ravel(), made.x.ravel(), strict=True):
            score = Decimal(int(n)) / (1 << subject.paths.score_places) / Decimal(subject.shape.e).sqrt()
            scaled = score.exp() / Decimal(2) ** int(x)
            assert int(M) <= scaled <= int(M) + 1
            assert 1 << 27 <= int(M) < 1 << 28


def test_a_score_of_zero_is_exact():
    config = TransformerConfig(1, 4, 1, 4, 5, 3, normalization=None, attn_only=True, biases=False)
    module = Transformer(config)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        module.unembed.W_U[0, 0] = 1.0
    subject = Subject(Network("zero", module, "categorical", "token", (3,), vocabulary=5))
    assert (subject.paths.eA.M == 1 << 27).all()
    assert (subject.paths.eA.x == -27).all()


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
