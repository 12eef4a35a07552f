"""Decoder rows told through a second dictionary: the same explanation, shorter where rows have structure."""

from dataclasses import replace

import pytest
import torch
from assay.explanations import ExplanationError, SAECoefficients, SAEMechanism, build
from assay.explanations.identity import digest
from assay.explanations.receiving import receiver
from assay.explanations.sae import SAE, SAESite, combination, save_sae
from assay.explanations.sae.shipped import shipped_sae
from assay.explanations.subject import Subject
from assay.mdl import (
    CategoricalTarget,
    GridTarget,
    MechanismProblem,
    SiteProblem,
    score_mechanism,
    score_site,
)
from assay.mdl.audit import audit_mechanism, audit_site, sent_site
from assay.mdl.bitstream import decode
from assay.mdl.grid import quantise

from .conftest import sae

SITE = "blocks.0.hook_resid_post"
G = torch.Generator().manual_seed(2)


def composed(
    width: int = 300, d: int = 12, metas: int = 8, bias: float = 0.0, noise: float = 0.0
) -> tuple[SAE, SAE]:
    """An SAE whose decoder rows are sums of two of some meta rows, and the meta-SAE that knows them."""
    basis = torch.linalg.qr(torch.randn(d, d, generator=G))[0][:metas]
    which = torch.rand(width, metas, generator=G).topk(2, dim=1).indices
    rows = torch.zeros(width, metas).scatter(1, which, 0.5 + torch.rand(width, 2, generator=G)) @ basis
    rows = torch.nn.functional.normalize(rows + noise * torch.randn(width, d, generator=G), dim=1)
    made = SAE(rows.T.clone() * 0.3, rows, torch.full((width,), -0.1), torch.zeros(d), "topk", 5, site=SITE)
    return made, SAE(basis.T.clone(), basis, torch.zeros(metas), torch.full((d,), bias), "topk", 2)


def rows_at(made: SAE, count: int) -> torch.Tensor:
    """Rows that one feature makes each, and a little noise."""
    x = 3 * made.W_dec[torch.randint(made.width, (count,), generator=G)]
    return x + 0.02 * torch.randn(x.shape, generator=G)


@pytest.mark.parametrize("normalise", ["none", "constant_norm", "layer_norm"])
def test_combinations_are_what_the_meta_sae_reconstructs(normalise):
    made, meta = composed()[0], replace(sae("topk", d_sae=20), normalise=normalise)
    found = combination(made.W_dec, meta)
    norm = made.W_dec.norm(dim=1, keepdim=True)
    assert torch.allclose(found.codes @ found.rows, meta.reconstruct(made.W_dec / norm) * norm, atol=1e-5)


def mechanisms(made: SAE, meta: SAE | None, network, x):
    yield SAEMechanism(made, network, meta=meta)
    yield SAECoefficients(made, network, x, meta=meta)


@pytest.mark.parametrize("bias", [0.0, 0.05])
def test_parts_are_shorter_where_rows_are_made_of_few_and_predictions_the_same(transformer, tokens, bias):
    made, meta = composed(bias=bias)
    x = tokens.inputs[:32]
    problem = MechanismProblem(x, transformer(x), CategoricalTarget())
    for plain, through in zip(
        mechanisms(made, None, transformer, x),
        mechanisms(made, meta, transformer, x),
        strict=True,
    ):
        scores = [score_mechanism(each, problem, 8) for each in (plain, through)]
        parts = [score.ledger.section("parts") for score in scores]
        assert parts[1] < parts[0] - 200
        assert scores[1].faithfulness == scores[0].faithfulness
        checks = audit_mechanism(through, problem, scores[1], [receiver(through, transformer)])
        assert checks["decodes"] is True
        assert through.recipe()["meta"]["d_sae"] == 8


def test_at_a_site_the_stream_is_as_much_shorter_as_the_ledger_says():
    made, meta = composed(300, 40, metas=32, noise=0.003)
    made = replace(made, W_enc=made.W_dec.T.clone(), b_enc=torch.zeros(300), k=1)
    problem = SiteProblem(rows_at(made, 4000), GridTarget(0.02), 0.02)
    plain, through = SAESite(made), SAESite(made, meta=meta)
    scores = [score_site(each, problem) for each in (plain, through)]
    saved = scores[0].ledger.total - scores[1].ledger.total
    assert saved > 0.15 * scores[0].ledger.section("parts")
    sent = sent_site(through, problem, scores[1])
    assert torch.equal(decode(sent.data).restored, quantise(problem.x, problem.delta))
    assert 8 * (len(sent_site(plain, problem, scores[0]).data) - len(sent.data)) == pytest.approx(
        saved, rel=0.05
    )
    assert abs(audit_site(through, problem, scores[1])["bitstream_excess"]) < 0.005


@pytest.mark.parametrize("normalise", ["layer_norm", "constant_norm"])
def test_rows_beyond_the_features_travel_as_well(normalise):
    made, meta = composed(200)
    made = replace(made, normalise=normalise, b_dec=torch.full((12,), 0.1))
    problem = SiteProblem(rows_at(made, 500), GridTarget(0.05), 0.05)
    explanation = SAESite(made, meta=meta)
    score = score_site(explanation, problem, 8)
    assert audit_site(explanation, problem, score)["decodes"] is True


def test_rows_that_no_meta_row_helps_are_written_as_before(transformer, tokens):
    made, meta = sae("topk", SITE), sae("topk", d_sae=20)
    problem = MechanismProblem(tokens.inputs, transformer(tokens.inputs), CategoricalTarget())
    plain, through = (
        score_mechanism(SAEMechanism(made, transformer, meta=m), problem, 8).ledger.section("parts")
        for m in (None, meta)
    )
    assert plain <= through <= plain + 1


def test_explanations_with_other_meta_saes_have_other_digests(transformer):
    made, meta = composed()
    digests = {
        digest(SAESite(made)),
        digest(SAESite(made, meta=meta)),
        digest(SAESite(made, meta=sae("topk", d_sae=20))),
        digest(SAEMechanism(made, transformer)),
        digest(SAEMechanism(made, transformer, meta=meta)),
    }
    assert len(digests) == 5


def test_a_meta_sae_of_other_rows_is_refused(transformer):
    with pytest.raises(ExplanationError, match="reads rows of 7 numbers, the dictionary's have 12"):
        SAEMechanism(sae("topk", SITE), transformer, meta=sae(d_in=7))


def test_meta_is_an_option_of_both_settings(transformer, tokens, tmp_path):
    made, meta = composed(40)
    save_sae(made, tmp_path / "a.safetensors")
    save_sae(replace(meta, about={}), tmp_path / "m.safetensors")
    text = f"sae:{tmp_path / 'a.safetensors'},meta={tmp_path / 'm.safetensors'}"
    built = build(text, Subject("mechanism", transformer, tokens))
    assert [way.meta.width for way in built.ways] == [8, 8]
    assert {way.name for way in built.ways} == {built.name} == {"SAE 40 through 8"}
    assert build(text, Subject("site", x=torch.zeros(3, 12))).dictionary().through.codes.shape == (40, 9)


def test_what_ships_loads_and_fits_together():
    switch, meta = shipped_sae("byte-lm-switch-768"), shipped_sae("byte-lm-meta-256")
    assert switch.router is not None
    assert (switch.router.experts, switch.site) == (8, "blocks.1.hook_resid_post")
    assert (meta.d_in, meta.k) == (128, 8)
    x = torch.randn(50, 128, generator=G)
    assert int((switch.encode(x) != 0).sum(1).max()) <= 24
    assert switch.recipe()["recipe"]["experts"] == 8
