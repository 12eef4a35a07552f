"""Files: SAELens folders and our own components, there and back, and what is refused."""

import json

import pytest
import torch
from assay.explanations import (
    Components,
    ExplanationError,
    Reads,
    load_components,
    load_saelens,
    planted_components,
    save_components,
    save_saelens,
    svd_components,
)
from assay.explanations.components import Gates
from assay.models import UnreadableFile
from assay.models.storage import write_safetensors
from safetensors.torch import load_file, save_file

from .conftest import sae


@pytest.fixture
def folder(tmp_path):
    save_saelens(sae("jumprelu", "blocks.0.hook_resid_post"), tmp_path / "sae")
    return tmp_path / "sae"


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_a_saelens_folder_there_and_back(architecture, tmp_path):
    made = sae(architecture, "blocks.0.hook_resid_post")
    save_saelens(made, tmp_path)
    back = load_saelens(tmp_path)
    for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
        a, b = getattr(made, name), getattr(back, name)
        assert (a is b is None) or torch.equal(a, b)
    assert (back.architecture, back.k, back.site) == (made.architecture, made.k, made.site)
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(back.encode(x), made.encode(x))


def test_a_folder_of_saelens_5_is_read(folder):
    """The hook point stood at the top then, and half precision is common."""
    weights = {
        n: v.half() for n, v in load_file(folder / "sae_weights.safetensors").items() if n != "threshold"
    }
    save_file(weights, folder / "sae_weights.safetensors")
    old = {"architecture": "standard", "hook_name": "blocks.3.hook_resid_pre", "apply_b_dec_to_input": False}
    (folder / "cfg.json").write_text(json.dumps(old))
    made = load_saelens(folder)
    assert (made.site, made.subtract_b_dec, made.W_enc.dtype) == (
        "blocks.3.hook_resid_pre",
        False,
        torch.float32,
    )


def change_weights(folder, **changed) -> None:
    weights = {**load_file(folder / "sae_weights.safetensors"), **changed}
    kept = {n: v.contiguous() for n, v in weights.items() if v is not None}
    save_file(kept, folder / "sae_weights.safetensors")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"b_enc": None}, r"missing \['b_enc'\], surplus none"),
        ({"W_extra": torch.zeros(1)}, r"missing none, surplus \['W_extra'\]"),
        ({"b_enc": torch.zeros(7)}, r"b_enc has shape \(7,\), expected \(30,\)"),
        ({"b_dec": torch.full((12,), float("nan"))}, "b_dec holds NaN"),
        ({"W_enc": torch.zeros(3)}, r"W_enc has shape \(3,\)"),
        ({"threshold": torch.zeros(2)}, r"threshold has shape \(2,\)"),
        ({"threshold": None}, r"missing \['threshold'\]"),
        ({"W_enc": torch.zeros(12, 30, dtype=torch.complex64)}, "W_enc holds complex numbers"),
        ({"b_dec": torch.full((12,), float("nan")).to(torch.float8_e4m3fn)}, "b_dec holds NaN"),
        ({"W_enc": torch.zeros(12, 0)}, "W_enc is empty"),
        ({"b_enc": None, "W_dec": torch.zeros(2, 3)}, r"missing \['b_enc'\].*W_dec has shape \(2, 3\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, changed, message):
    change_weights(folder, **changed)
    with pytest.raises(ExplanationError, match=message):
        load_saelens(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", r"cfg\.json: not whole JSON"),
        ("{", r"cfg\.json: not whole JSON"),
        ("[]", r"cfg\.json: holds a list"),
        ('{"architecture": "gated"}', r"missing \['b_gate', 'b_mag', 'r_mag'\], surplus \['b_enc', 'thresh"),
        ('{"architecture": "temporal"}', "architecture 'temporal' is not among"),
        ('{"architecture": "jumprelu", "d_sae": 31}', r"W_enc has shape \(12, 30\), expected \(12, 31\)"),
        ('{"architecture": ["standard"]}', "is not among"),
        ('{"architecture": "jumprelu", "normalize_activations": "covariance_whitening"}', "normalize_activ"),
        ('{"architecture": "topk", "k": "many"}', r"surplus \['threshold'\]"),
        ('{"architecture": "jumprelu", "norm_scaling_factor": "x"}', "norm_scaling_factor is 'x', expected"),
        (
            '{"architecture": "jumprelu", "apply_b_dec_to_input": "no"}',
            "apply_b_dec_to_input 'no' is not among",
        ),
        ('{"architecture": "jumprelu", "matryoshka_widths": 3}', "matryoshka_widths is 3, expected a list"),
        ('{"architecture": "jumprelu", "metadata": "here"}', r"metadata .*expected an object"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(folder, config, message):
    (folder / "cfg.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        load_saelens(folder)


def test_truncated_and_missing_weights_are_refused(folder):
    path = folder / "sae_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFile, match="not a whole safetensors file"):
        load_saelens(folder)
    path.unlink()
    with pytest.raises(UnreadableFile, match="no such file"):
        load_saelens(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match="there is no such file"):
        load_saelens(tmp_path / "nowhere")


def gates(C: int) -> Gates:
    g = torch.Generator().manual_seed(0)
    shapes = {"mlp_in": (C, 3), "in_bias": (C, 3), "mlp_out": (C, 3), "out_bias": (C,)}
    return Gates({"W": {k: torch.randn(*s, generator=g) for k, s in shapes.items()}}, 0.2)


def with_rule(tms, rule) -> Components:
    L, R = planted_components(tms).factors["W"]
    return Components(tms, {"W": (L, R)}, rule, "mine", {"from": "a test"})


@pytest.mark.parametrize("rule", [None, Reads(0.3), gates(5)], ids=["always", "reads", "gates"])
def test_components_there_and_back(tms, tms_data, rule, tmp_path):
    made = with_rule(tms, rule)
    save_components(made, tmp_path / "c.safetensors")
    back = load_components(tmp_path / "c.safetensors", tms)
    assert back.recipe() == made.recipe()
    assert back.name == "mine"
    for a, b in zip(made.factors["W"], back.factors["W"], strict=True):
        assert torch.equal(a, b)
    x = tms_data.inputs[:50]
    assert torch.equal(made.active({}, x), back.active({}, x))


def test_components_of_another_network_are_refused(tms, transformer, tmp_path):
    save_components(svd_components(transformer, ("blocks.0.mlp.W_in", "blocks.0.mlp.W_out")), tmp_path / "c")
    with pytest.raises(ExplanationError, match="has no weight 'blocks"):
        load_components(tmp_path / "c", tms)


HONEST = {"name": "x", "importance": {"active": "always"}, "about": {}}


@pytest.mark.parametrize(
    "about",
    [
        "not json",
        "[]",
        json.dumps({**HONEST, "importance": "always"}),
        json.dumps({**HONEST, "importance": {"active": "sometimes"}}),
        json.dumps({**HONEST, "importance": {"active": "reads", "threshold": "high"}}),
        json.dumps({**HONEST, "importance": {"active": "gates", "threshold": 0.1}}),
        json.dumps({"name": "x"}),
    ],
)
def test_components_that_describe_themselves_wrongly_are_refused(tms, about, tmp_path):
    L, R = planted_components(tms).factors["W"]
    metadata = {"format": "assay.components/1", "components": about}
    write_safetensors({"W|L": L, "W|R": R}, metadata, tmp_path / "c")
    with pytest.raises(UnreadableFile, match="does not fit"):
        load_components(tmp_path / "c", tms)


def test_half_a_component_and_other_formats_are_refused(tms, tmp_path):
    L, _ = planted_components(tms).factors["W"]
    metadata = {"format": "assay.components/1", "components": json.dumps(HONEST)}
    write_safetensors({"W|L": L}, metadata, tmp_path / "half")
    with pytest.raises(UnreadableFile, match="does not fit"):
        load_components(tmp_path / "half", tms)
    write_safetensors({"W|L": L}, {"format": "other"}, tmp_path / "other")
    with pytest.raises(UnreadableFile, match=r"format 'other', expected 'assay\.components/1'"):
        load_components(tmp_path / "other", tms)


def test_components_without_rows_are_refused(tms, tmp_path):
    metadata = {"format": "assay.components/1", "components": json.dumps(HONEST)}
    write_safetensors({"W|L": torch.zeros(2), "W|R": torch.zeros(5)}, metadata, tmp_path / "flat")
    with pytest.raises(UnreadableFile, match="does not fit"):
        load_components(tmp_path / "flat", tms)
