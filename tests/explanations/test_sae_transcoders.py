"""Transcoders and cross-layer transcoders stand for MLPs; the weights of these are not sent."""

import pytest
import torch
from assay.explanations import Alternatives, ExplanationError, build
from assay.explanations.sae import (
    SAE,
    Transcoder,
    TranscoderCoefficients,
    TranscoderMechanism,
    load_transcoders,
)
from assay.explanations.subject import Subject
from assay.mdl import CategoricalTarget, MechanismProblem, score_mechanism
from safetensors.torch import save_file

G = torch.Generator().manual_seed(3)
READS, WRITES = "blocks.{}.hook_resid_mid", "blocks.{}.hook_mlp_out"


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=G) * 0.4


def one(layer: int = 0, targets: tuple[int, ...] = (0,), skip: bool = True) -> Transcoder:
    width = 12 * len(targets)
    features = SAE(
        drawn(12, 20), drawn(20, width), drawn(20) - 0.3, drawn(width), subtract_b_dec=False,
        site=READS.format(layer),
    )  # fmt: skip
    return Transcoder(features, tuple(WRITES.format(t) for t in targets), drawn(12, 12) if skip else None)


def by_hand(network, x, layers):
    """Run block by block; every MLP's output is the sum of what the transcoders so far write there."""
    seen: dict[str, torch.Tensor] = {}
    for layer in sorted({int(t.features.site.split(".")[1]) for t in layers}):
        for t in layers:
            if t.features.site == READS.format(layer):
                patches = {site: (lambda _, v=v: v) for site, v in seen.items()}
                read = network.run(x, (t.features.site,), patches)[1][t.features.site]
                a = torch.relu(read @ t.features.W_enc + t.features.b_enc)
                told = (a @ t.features.W_dec + t.features.b_dec).split(12, dim=-1)
                for i, (site, value) in enumerate(zip(t.targets, told, strict=True)):
                    if i == 0 and t.W_skip is not None:
                        value = value + read @ t.W_skip
                    seen[site] = seen.get(site, 0) + value
    return network.patched(x, {site: (lambda _, v=v: v) for site, v in seen.items()})


CASES = {
    "one": [one()],
    "without skip": [one(1, (1,), skip=False)],
    "cross-layer": [one(0, (0, 1)), one(1, (1,), skip=False)],
}


@pytest.mark.parametrize("case", CASES)
def test_they_replace_what_they_explain(case, transformer, tokens):
    layers, x = CASES[case], tokens.inputs[:6]
    wanted = by_hand(transformer, x, layers)
    rowwise = TranscoderMechanism(layers, transformer, x)
    restored = {t.name: t.values for t in rowwise.parts().tensors}
    active = rowwise.active(restored, x)
    assert active.shape == (6, 6, 20 * len(layers))
    assert torch.allclose(rowwise.predict(restored, x, active), wanted, atol=1e-4)
    for name in restored:  # the MLPs that are replaced are not sent
        assert not any(f"blocks.{t.targets[0].split('.')[1]}.mlp" in name for t in layers)
    blank = {name: torch.zeros_like(value) for name, value in restored.items()}
    assert not torch.allclose(rowwise.predict(blank, x, active), wanted, atol=1e-2)


def test_coefficients_tell_what_is_written(transformer, tokens):
    """With the true activations of the whole network told, nothing that was read needs an encoder."""
    layers, x = CASES["one"], tokens.inputs[:6]
    valued = TranscoderCoefficients(layers, transformer, x)
    sent = {t.name: t.values for t in valued.parts().tensors}
    assert "transcoder.0.W_enc" not in sent
    assert torch.allclose(
        valued.predict_from(sent, x, valued.coefficients(x)), by_hand(transformer, x, layers), atol=1e-4
    )


@pytest.mark.parametrize("kind", [TranscoderMechanism, TranscoderCoefficients])
def test_they_are_scored(kind, transformer, tokens):
    explanation = kind(CASES["cross-layer"], transformer, tokens.inputs)
    outputs = transformer(tokens.inputs)
    score = score_mechanism(explanation, MechanismProblem(tokens.inputs, outputs, CategoricalTarget()), 6)
    assert score.ledger.section("parts") > 0
    assert explanation.recipe()["layers"][0]["writes"] == [WRITES.format(0), WRITES.format(1)]


def test_what_does_not_fit_is_refused(transformer, tokens):
    x = tokens.inputs
    far = Transcoder(one().features, ("blocks.9.hook_mlp_out",))
    with pytest.raises(ExplanationError, match=r"has no site blocks\.9\.hook_mlp_out; say which"):
        TranscoderMechanism([far], transformer, x)
    backwards = Transcoder(one(1).features, (WRITES.format(0),))
    with pytest.raises(ExplanationError, match="is written before any site that tells it is read"):
        TranscoderMechanism([backwards], transformer, x)
    same = Transcoder(one().features, (READS.format(0),))
    with pytest.raises(ExplanationError, match="cannot be both read and written"):
        TranscoderMechanism([same], transformer, x)
    with pytest.raises(ExplanationError, match="12 numbers cannot be shared by 5 targets"):
        Transcoder(one().features, ("a", "b", "c", "d", "e"))
    with pytest.raises(ExplanationError, match=r"W_skip has shape \(3, 3\), expected \(12, 12\)"):
        Transcoder(one().features, ("a",), drawn(3, 3))


def saved_for_circuit_tracer(folder, layers=2):
    weights = []
    for i in range(layers):
        own = {f"W_enc_{i}": drawn(20, 12), f"b_enc_{i}": drawn(20), f"b_dec_{i}": drawn(12)}
        later = {f"W_dec_{i}": drawn(20, layers - i, 12)}
        save_file(own, folder / f"W_enc_{i}.safetensors")
        save_file(later, folder / f"W_dec_{i}.safetensors")
        weights.append(own | later)
    (folder / "config.yaml").write_text(
        "feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\nmodel_name: tiny\n"
    )
    return weights


def test_cross_layer_files_of_circuit_tracer(tmp_path, transformer, tokens):
    weights, x = saved_for_circuit_tracer(tmp_path), tokens.inputs[:3]
    found = load_transcoders(tmp_path)
    assert [t.targets for t in found] == [(WRITES.format(0), WRITES.format(1)), (WRITES.format(1),)]
    seen, told = {}, [0.0, 0.0]
    for i, w in enumerate(weights):
        patches = {WRITES.format(j): (lambda _, v=told[j]: v) for j in range(i)}
        read = transformer.run(x, (READS.format(i),), patches)[1][READS.format(i)]
        a = torch.relu(read @ w[f"W_enc_{i}"].T + w[f"b_enc_{i}"])
        for j in range(i, 2):
            told[j] = told[j] + torch.einsum("bpf,fd->bpd", a, w[f"W_dec_{i}"][:, j - i])
        told[i] = told[i] + w[f"b_dec_{i}"]
        seen[i] = a
    wanted = transformer.patched(x, {WRITES.format(j): (lambda _, v=told[j]: v) for j in range(2)})
    mechanism = TranscoderMechanism(found, transformer, x)
    restored = {t.name: t.values for t in mechanism.parts().tensors}
    active = mechanism.active(restored, x)
    assert torch.equal(active[..., :20], seen[0] > 0)
    assert torch.allclose(mechanism.predict(restored, x, active), wanted, atol=1e-4)


def test_cross_layer_files_of_gemma_scope_2(tmp_path):
    s = {
        "w_enc": drawn(12, 20), "w_dec": drawn(20, 2, 12), "b_enc": drawn(20), "b_dec": drawn(12),
        "threshold": drawn(20).abs(), "affine_skip_connection": drawn(12, 12),
    }  # fmt: skip
    for i in range(2):
        save_file(s, tmp_path / f"params_layer_{i}.safetensors")
    first, second = load_transcoders(tmp_path)
    x = drawn(5, 12)
    pre = x @ s["w_enc"] + s["b_enc"]
    a = torch.relu(pre) * (pre > s["threshold"])
    written = first.write(first.features.encode(x), x)
    own = a @ s["w_dec"][:, 0] + s["b_dec"] + x @ s["affine_skip_connection"]
    assert torch.allclose(written[WRITES.format(0)], own, atol=1e-5)
    assert torch.allclose(written[WRITES.format(1)], a @ s["w_dec"][:, 1], atol=1e-5)
    assert second.targets == (WRITES.format(1),)
    (tmp_path / "params_layer_0.safetensors").unlink()
    with pytest.raises(ExplanationError, match=r"layers \[1\] found, expected 0 to 0 without a gap"):
        load_transcoders(tmp_path)


def test_a_transcoder_from_a_folder_by_its_kind(tmp_path, transformer, tokens):
    saved_for_circuit_tracer(tmp_path)
    subject = Subject("mechanism", transformer, tokens)
    built = build(f"transcoder:{tmp_path}", subject)
    assert isinstance(built, Alternatives)
    assert [way.recipe()["told"] for way in built.ways] == ["encoder rows", "coefficients"]
    with pytest.raises(ExplanationError, match="knows its sites itself"):
        build(f"transcoder:{tmp_path},site=x", subject)
    with pytest.raises(ExplanationError, match="plays in --setting mechanism"):
        build(f"transcoder:{tmp_path}", Subject("site", x=drawn(3, 12)))
