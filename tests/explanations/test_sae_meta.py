"""Decoder rows told through a second dictionary: the same mechanism, shorter where rows have structure."""

from dataclasses import replace

import pytest
import torch
from assay.explanations import Alternatives, ExplanationError, SAECoefficients, SAEMechanism, build
from assay.explanations.sae import SAE, MetaCoefficients, MetaMechanism, save_sae
from assay.explanations.sae.shipped import shipped_sae
from assay.explanations.subject import Subject
from assay.mdl import CategoricalTarget, MechanismProblem, score_mechanism

from .conftest import sae

SITE = "blocks.0.hook_resid_post"
G = torch.Generator().manual_seed(2)


def composed(width: int = 300) -> tuple[SAE, SAE]:
    """An SAE whose decoder rows are sums of two of eight meta rows, and the meta-SAE that knows them."""
    basis = torch.linalg.qr(torch.randn(12, 12, generator=G))[0][:8]
    which = torch.rand(width, 8, generator=G).topk(2, dim=1).indices
    rows = torch.zeros(width, 8).scatter(1, which, 0.5 + torch.rand(width, 2, generator=G)) @ basis
    made = SAE(rows.T.clone() * 0.3, rows, torch.full((width,), -0.1), torch.zeros(12), "topk", 5, site=SITE)
    return made, SAE(basis.T.clone(), basis, torch.zeros(8), torch.zeros(12), "topk", 2)


@pytest.mark.parametrize("kind", ["encoder", "coefficients"])
def test_the_mechanism_is_the_same(kind, transformer, tokens):
    made, meta, x = sae("topk", SITE), sae("topk", d_sae=20), tokens.inputs[:5]
    if kind == "encoder":
        plain, told = SAEMechanism(made, transformer), MetaMechanism(made, meta, transformer)
    else:
        plain = SAECoefficients(made, transformer, x)
        told = MetaCoefficients(made, meta, transformer, x)
    sent = {t.name: t.values for t in told.parts().tensors}
    assert "sae.W_dec" not in sent
    active = told.active(sent, x)
    wanted = plain.predict({t.name: t.values for t in plain.parts().tensors}, x, active)
    assert torch.allclose(told.predict(sent, x, active), wanted, atol=1e-4)
    assert told.recipe()["meta"]["d_sae"] == 20


def test_it_is_shorter_where_rows_are_made_of_few(transformer, tokens):
    made, meta = composed()
    problem = MechanismProblem(tokens.inputs, transformer(tokens.inputs), CategoricalTarget())
    plain = score_mechanism(SAECoefficients(made, transformer, tokens.inputs), problem, 8)
    through = score_mechanism(MetaCoefficients(made, meta, transformer, tokens.inputs), problem, 8)
    assert through.ledger.section("parts") < 0.95 * plain.ledger.section("parts")
    lost = [score.faithfulness["kl_bits"] for score in (plain, through)]
    assert lost[1] == pytest.approx(lost[0], rel=0.05, abs=0.02)


def test_a_meta_sae_of_other_rows_is_refused(transformer):
    with pytest.raises(ExplanationError, match="reads rows of 7 numbers, the dictionary's have 12"):
        MetaMechanism(sae("topk", SITE), sae(d_in=7), transformer).parts()


def test_meta_is_an_option_of_the_mechanism(transformer, tokens, tmp_path):
    made, meta = composed(40)
    save_sae(made, tmp_path / "a.safetensors")
    save_sae(replace(meta, about={}), tmp_path / "m.safetensors")
    text = f"sae:{tmp_path / 'a.safetensors'},meta={tmp_path / 'm.safetensors'}"
    built = build(text, Subject("mechanism", transformer, tokens))
    assert isinstance(built, Alternatives)
    assert len(built.ways) == 4
    with pytest.raises(ExplanationError, match="in --setting mechanism"):
        build(text, Subject("site", x=torch.zeros(3, 12)))


def test_what_ships_loads_and_fits_together():
    switch, meta = shipped_sae("byte-lm-switch-768"), shipped_sae("byte-lm-meta-256")
    assert switch.router is not None
    assert (switch.router.experts, switch.site) == (8, "blocks.1.hook_resid_post")
    assert (meta.d_in, meta.k) == (128, 8)
    x = torch.randn(50, 128, generator=G)
    assert int((switch.encode(x) != 0).sum(1).max()) <= 24
    assert switch.recipe()["recipe"]["experts"] == 8
