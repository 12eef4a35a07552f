"""Every kind of SAE against loops and closed forms; what normalised rows and experts cost."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from assay.explanations import SAE, Alternatives, ExplanationError, SAEMechanism, SAESite
from assay.explanations.kinds.saes import sae as build_sae
from assay.explanations.sae import (
    Pursuit,
    Router,
    SAECoefficients,
    gated,
    nested,
    rescaled,
    sparser,
    unit_rows,
)
from assay.explanations.sae.stored import load_stored, save_sae
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject
from assay.mdl import GridTarget, SiteProblem, score_mechanism, score_site
from assay.mdl.audit import audit_site
from assay.mdl.mechanism_score import MechanismProblem
from assay.mdl.site import Channel, Knobs
from assay.mdl.target import CategoricalTarget
from assay.models import UnreadableFile

from .conftest import sae
from .test_sites import told

SITE = "blocks.0.hook_resid_post"


def rows(n: int = 25, d: int = 12, seed: int = 2) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g) * 1.5 + 0.4


def plain(made: SAE, x: np.ndarray) -> np.ndarray:
    """Pre-activations in float64, straight from the definition."""
    W, b, c = (t.double().numpy() for t in (made.W_enc, made.b_enc, made.b_dec))
    return (x - c if made.subtract_b_dec else x) @ W + b


def signed(made: SAE, x: np.ndarray) -> np.ndarray:
    pre = plain(made, x)
    kept = np.argsort(-np.abs(pre), axis=1)[:, : made.k]
    out = np.zeros_like(pre)
    np.put_along_axis(out, kept, np.take_along_axis(pre, kept, 1), 1)
    return out


def grouped(made: SAE, x: np.ndarray) -> np.ndarray:
    pre = np.maximum(plain(made, x), 0)
    groups = pre.reshape(len(pre), made.k, -1)
    return np.where(groups == groups.max(2, keepdims=True), groups, 0.0).reshape(pre.shape)


def switched(made: SAE, x: np.ndarray) -> np.ndarray:
    pre, out, size = np.maximum(plain(made, x), 0), np.zeros((len(x), made.width)), made.width // 3
    logits = (x - made.router.b.double().numpy()) @ made.router.W.double().numpy()
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    for i, e in enumerate(p.argmax(1)):
        own = pre[i, e * size : (e + 1) * size] * (1.0 if made.router.hard else p[i, e])
        kept = np.argsort(-own)[: made.k]
        out[i, e * size + kept] = own[kept]
    return out


def pursued(made: SAE, x: np.ndarray) -> np.ndarray:
    W, out = made.W_dec.double().numpy(), np.zeros((len(x), made.width))
    for i, row in enumerate(x - made.b_dec.double().numpy()):
        left = row.copy()
        for _ in range(made.pursuit.steps):
            fit = np.maximum(W @ left, 0)
            out[i, fit.argmax()] += fit.max()
            left -= fit.max() * W[fit.argmax()]
    return out


def router(hard: bool = False) -> Router:
    g = torch.Generator().manual_seed(9)
    return Router(torch.randn(12, 3, generator=g), torch.randn(12, generator=g) * 0.1, hard)


KINDS = {
    "signed": (replace(sae(), architecture="signed_topk", k=5), signed),
    "groups": (replace(sae(), architecture="groupmax", k=6), grouped),
    "switch": (replace(sae(), architecture="topk", k=3, router=router()), switched),
    "hard switch": (replace(sae(), architecture="topk", k=3, router=router(True)), switched),
    "pursuit": (
        replace(
            unit_rows(sae()), architecture="matching_pursuit", pursuit=Pursuit(0.0, 4, stop_on_same_set=False)
        ),
        pursued,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_encode_as_their_definition_says(kind):
    made, definition = KINDS[kind]
    x = rows()
    expected = torch.from_numpy(definition(made, x.double().numpy())).float()
    assert int((expected != 0).sum()) > 0
    assert torch.allclose(made.encode(x), expected, atol=2e-5)
    assert torch.allclose(told(SAESite(made), x).float(), made.reconstruct(x), atol=2e-5)
    active = expected != 0
    assert torch.allclose(made.activations(x, active), expected, atol=2e-5)
    some = active & (torch.arange(made.width) % 2 == 0)
    assert torch.equal(made.activations(x, some) != 0, some)


def test_signed_features_fire_in_both_directions():
    a = KINDS["signed"][0].encode(rows())
    assert bool((a < 0).any())
    assert bool((a > 0).any())
    assert bool(((a != 0).sum(1) == 5).all())


def test_a_gated_encoder_is_a_jump_relu():
    g = torch.Generator().manual_seed(3)
    W, r, gate, mag = (torch.randn(*s, generator=g) * 0.5 for s in ((12, 30), (30,), (30,), (30,)))
    x = rows(200)
    pre = x @ W
    expected = ((pre + gate) > 0) * torch.relu(pre * r.exp() + mag)
    folded = replace(sae("jumprelu"), subtract_b_dec=False, **gated(W, r, gate, mag))
    assert torch.allclose(folded.encode(x), expected, atol=1e-4)


def test_rows_at_unit_norm_change_no_reconstruction():
    for architecture in ("standard", "jumprelu"):
        made = sae(architecture)
        assert torch.allclose(unit_rows(made).reconstruct(rows()), made.reconstruct(rows()), atol=1e-5)
    folded = unit_rows(sae("topk"))
    pre = torch.relu(sae("topk").pre(rows())) * sae().W_dec.norm(dim=1)
    kept = pre.topk(4, dim=1)
    assert torch.allclose(folded.encode(rows()).sum(1), kept.values.sum(1), atol=1e-4)


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_a_constant_scale_of_inputs_is_folded(architecture):
    made = sae(architecture)
    assert torch.allclose(rescaled(made, 4.0).encode(rows()), made.encode(4 * rows()), atol=1e-4)
    assert torch.allclose(
        rescaled(made, 4.0).reconstruct(rows()), made.reconstruct(4 * rows()) / 4, atol=1e-4
    )
    switch = replace(KINDS["switch"][0])
    assert torch.allclose(rescaled(switch, 4.0).encode(rows()), switch.encode(4 * rows()), atol=1e-4)
    with pytest.raises(ExplanationError, match="positive number, got 0"):
        rescaled(made, 0.0)


def test_a_prefix_of_a_matryoshka_sae_is_an_sae():
    whole = replace(sae("jumprelu"), prefixes=(10, 20, 30))
    x = rows()
    part = nested(whole, 10)
    assert torch.allclose(part.encode(x), whole.encode(x)[:, :10], atol=1e-6)
    assert torch.allclose(
        part.reconstruct(x), whole.encode(x)[:, :10] @ whole.W_dec[:10] + whole.b_dec, atol=1e-5
    )
    assert part.prefixes == (10,)
    with pytest.raises(ExplanationError, match="width=15 is not one of its nested widths 10, 20, 30"):
        nested(whole, 15)
    with pytest.raises(ExplanationError, match="its 30 features are not nested"):
        nested(sae(), 10)


def test_sparser_refuses_both_knobs():
    with pytest.raises(ExplanationError, match=r"got k=2, threshold=0\.5"):
        sparser(sae(), 2, 0.5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"router": replace(router(), W=torch.zeros(12, 4))}, "4 experts cannot share 30 features"),
        ({"router": replace(router(), W=torch.zeros(3, 3))}, r"router W has shape \(3, 3\), expected \(12,"),
        ({"router": replace(router(), b=torch.zeros(3))}, r"router b has shape \(3,\), expected \(12,\)"),
        ({"architecture": "groupmax", "k": 7}, "k that divides the 30 features, got 7"),
        ({"architecture": "matching_pursuit"}, "when it ends"),
        ({"architecture": "other"}, "architecture 'other' is not among standard, topk"),
        ({"prefixes": (20, 10, 30)}, "do not ascend"),
        ({"prefixes": (10, 20)}, "do not ascend to the 30"),
        ({"b_enc": torch.zeros(3), "b_dec": torch.zeros(4)}, r"b_enc has shape .*; b_dec has shape"),
    ],
)
def test_what_does_not_fit_is_refused_all_at_once(changed, message):
    with pytest.raises(ExplanationError, match=message):
        replace(sae(), **changed)


def openai_layer_norm(x):
    mu = x.mean(-1, keepdim=True)
    std = (x - mu).std(-1, keepdim=True)
    return (x - mu) / (std + 1e-5), mu, std


def test_layer_normed_rows_come_back_with_their_mean_and_spread():
    made = replace(sae("topk"), normalise="layer_norm")
    x = rows()
    inside, mu, std = openai_layer_norm(x)
    assert torch.allclose(made.encode(x), sae("topk").encode(inside), atol=1e-6)
    assert torch.allclose(made.reconstruct(x), sae("topk").reconstruct(inside) * std + mu, atol=1e-5)


def test_rows_of_constant_norm():
    made, x = replace(sae(), normalise="constant_norm"), rows()
    factor = 12**0.5 / x.norm(dim=1, keepdim=True)
    assert torch.allclose(made.encode(x), sae().encode(x * factor), atol=1e-5)
    assert torch.allclose(made.reconstruct(x), sae().reconstruct(x * factor) / factor, atol=1e-5)
    assert bool(made.reconstruct(torch.zeros(2, 12)).isfinite().all())


@pytest.mark.parametrize(("how", "more"), [("constant_norm", 1), ("layer_norm", 2)])
def test_the_scale_of_a_row_is_paid(how, more):
    """Features, bias and mean are parts with coefficients: what is told is all that decoding needs."""
    made, x = replace(sae("topk"), normalise=how), rows(200)
    site = SAESite(made)
    assert site.dictionary().parts == 30 + more
    assert not bool(site.dictionary().bias.any())
    assert torch.allclose(told(site, x).float(), made.reconstruct(x), atol=1e-4)
    code = site.code(x)
    assert int((code.part == 30).sum()) == 200
    channel = Channel(site, 0.1, Knobs(12, -8))
    sent = channel.integers(x)
    assert int((sent.part == 30).sum()) == 200
    assert all(int((sent.part == 30 + i).sum()) > 190 for i in range(more))
    assert torch.allclose(channel.predict(sent).float(), made.reconstruct(x), atol=0.1)
    without = sent.keep(sent.part < 30)
    assert not torch.allclose(channel.predict(without).float(), made.reconstruct(x), atol=0.3)
    score = score_site(site, SiteProblem(x, GridTarget(0.1), 0.1))
    assert audit_site(site, SiteProblem(x, GridTarget(0.1), 0.1), score)["decodes"]


def test_without_a_bias_the_scale_is_in_the_coefficients_alone():
    made = replace(sae("topk"), normalise="constant_norm", b_dec=torch.zeros(12))
    assert int((SAESite(made).code(rows()).part == 30).sum()) == 0


def switch_data() -> tuple[SAE, torch.Tensor]:
    """Eight experts with six features each, of which three fire on each row, in a rotated basis."""
    g = torch.Generator().manual_seed(0)
    expert = torch.randint(8, (600,), generator=g)
    choose = torch.rand(600, 6, generator=g).topk(3, dim=1).indices + expert[:, None] * 6
    Q = torch.linalg.qr(torch.randn(48, 48, generator=g))[0]
    x = torch.zeros(600, 48).scatter(1, choose, 1 + torch.rand(600, 3, generator=g)) @ Q
    routes = torch.nn.functional.one_hot(torch.arange(48) // 6, 8).float() * 9
    return SAE(
        Q.T, Q, torch.zeros(48), torch.zeros(48), "topk", 3, router=Router(Q.T @ routes, torch.zeros(48))
    ), x


def test_the_expert_of_each_row_is_told_where_that_is_shorter():
    made, x = switch_data()
    problem = SiteProblem(x, GridTarget(0.03), 0.03)
    alone, expert = SAESite(made), SAESite(made, sample=x)
    assert expert.dictionary().parts == 56
    assert torch.equal(told(expert, x), told(alone, x))
    which = expert.code(x).part
    assert int((which >= 48).sum()) == 600  # exactly one expert on each row
    assert torch.allclose(alone.sae.reconstruct(x), x, atol=1e-3)
    scores = [score_site(way, problem) for way in (alone, expert)]
    supports = [score.ledger.section("support") / 600 for score in scores]
    assert supports[1] < supports[0]
    assert abs(audit_site(expert, problem, scores[1])["bitstream_excess"]) < 0.02


def test_a_switch_sae_offers_both_ways(tmp_path):
    made, x = switch_data()
    save_sae(made, tmp_path / "s.safetensors")
    built = build_sae(Spec.parse(f"sae:{tmp_path / 's.safetensors'}"), Subject("site", x=x))
    assert isinstance(built, Alternatives)
    assert [way.recipe().get("told") for way in built.ways] == [None, "experts"]
    assert built.ways[0].recipe()["experts"] == 8


MECHANISMS = {
    **{name: made for name, (made, _) in KINDS.items()},
    "layer norm": replace(sae("topk"), normalise="layer_norm"),
    "constant norm": replace(sae("jumprelu"), normalise="constant_norm"),
}


@pytest.mark.parametrize("kind", MECHANISMS)
def test_both_mechanisms_replace_the_site_by_the_reconstruction(kind, transformer, tokens):
    made, x = replace(MECHANISMS[kind], site=SITE), tokens.inputs[:5]
    wanted = transformer.patched(x, {SITE: made.reconstruct})
    rowwise = SAEMechanism(made, transformer)
    restored = {t.name: t.values for t in rowwise.parts().tensors}
    active = rowwise.active(restored, x)
    assert torch.allclose(rowwise.predict(restored, x, active), wanted, atol=1e-4)
    none = rowwise.predict(restored, x, torch.zeros_like(active))
    assert not torch.allclose(none, wanted, atol=1e-2)
    valued = SAECoefficients(made, transformer, x)
    sent = {t.name: t.values for t in valued.parts().tensors}
    assert torch.allclose(valued.predict_from(sent, x, valued.coefficients(x)), wanted, atol=1e-4)
    assert not any("router" in name or "W_enc" in name for name in sent)


def test_the_router_is_paid_where_the_receiver_routes(transformer, tokens):
    made = replace(KINDS["switch"][0], site=SITE)
    parts = SAEMechanism(made, transformer).parts()
    names = {t.name: int(t.owner.min()) for t in parts.tensors}
    assert names["sae.router.W"] == names["sae.router.b"] == 30
    outputs = transformer(tokens.inputs)
    score = score_mechanism(
        SAEMechanism(made, transformer), MechanismProblem(tokens.inputs, outputs, CategoricalTarget()), 8
    )
    assert score.ledger.total > 0


def test_heads_are_joined_for_an_sae_of_hook_z(transformer, tokens):
    site = "blocks.1.attn.hook_z"
    made, x = sae("topk", site), tokens.inputs[:4]
    mechanism = SAEMechanism(made, transformer)
    restored = {t.name: t.values for t in mechanism.parts().tensors}
    wanted = transformer.patched(x, {site: lambda z: made.reconstruct(z.flatten(2)).reshape(z.shape)})
    assert torch.allclose(mechanism.predict(restored, x, mechanism.active(restored, x)), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", MECHANISMS)
def test_our_own_file_holds_every_kind(kind, tmp_path):
    made = replace(MECHANISMS[kind], about={"from": "a test"})
    save_sae(made, tmp_path / "a.safetensors")
    back = load_stored(tmp_path / "a.safetensors")
    assert torch.equal(back.encode(rows()), made.encode(rows()))
    assert back.recipe() == made.recipe()


def test_our_own_file_is_refused_where_it_does_not_fit(tmp_path):
    from assay.models.storage import write_safetensors

    write_safetensors({"W_enc": torch.zeros(2, 3)}, {"assay.sae/1": "[]"}, tmp_path / "a.safetensors")
    with pytest.raises(UnreadableFile, match="does not fit"):
        load_stored(tmp_path / "a.safetensors")


def test_a_transcoder_is_no_dictionary_of_a_site():
    with pytest.raises(ExplanationError, match="reads 12 coordinates and writes 7"):
        SAESite(replace(sae(), W_dec=torch.zeros(30, 7), b_dec=torch.zeros(7), subtract_b_dec=False))
