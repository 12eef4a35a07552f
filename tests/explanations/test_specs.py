"""What a user writes: parsed, built, or refused with what was expected."""

import pytest
import torch
from assay.explanations import (
    KINDS,
    Codebook,
    Components,
    EdgeCircuit,
    ExplanationError,
    LinearBasis,
    Lookup,
    NeuronBasis,
    Neurons,
    NodeCircuit,
    SAESite,
    Spec,
    Subject,
    WholeNetwork,
    build,
    save_components,
    save_saelens,
    svd_components,
)
from assay.explanations import registry as kinds

from .conftest import sae


def test_a_spec_has_a_kind_a_path_and_options():
    spec = Spec.parse("components:a/b.safetensors,active=always,name=all = on")
    assert (spec.kind, spec.path) == ("components", "a/b.safetensors")
    assert spec.options == {"active": "always", "name": "all = on"}
    assert Spec.parse("pca").options == {}
    assert Spec.parse("sae:C:/x").path == "C:/x"


@pytest.mark.parametrize("text", ["", ":path", ",k=1"])
def test_a_spec_needs_a_kind(text):
    with pytest.raises(ExplanationError, match="expected KIND"):
        Spec.parse(text)


@pytest.mark.parametrize("text", ["pca,k", "pca,=3", "pca,", "pca,k=1,,"])
def test_options_are_pairs(text):
    with pytest.raises(ExplanationError, match="is not key=value"):
        Spec.parse(text)


def test_numbers_are_numbers():
    spec = Spec.parse("pca,k=8,keep=0.5,bad=x")
    assert (spec.integer("k"), spec.number("keep"), spec.integer("absent")) == (8, 0.5, None)
    with pytest.raises(ExplanationError, match="bad='x' is not a whole number"):
        spec.integer("bad")
    with pytest.raises(ExplanationError, match="bad='x' is not a number"):
        spec.number("bad")
    with pytest.raises(ExplanationError, match="is not a whole number"):
        Spec.parse("pca,k=1.5").integer("k")


@pytest.fixture
def at_site() -> Subject:
    x = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    return Subject("site", x=x)


@pytest.fixture
def as_mechanism(transformer, tokens) -> Subject:
    return Subject("mechanism", transformer, tokens, outputs=transformer(tokens.inputs))


def test_kinds_of_the_site_setting(at_site, tmp_path):
    save_saelens(sae(), tmp_path)
    made = {
        "neurons": NeuronBasis, "pca": LinearBasis, "pca,k=3": LinearBasis, "rotation,seed=4": LinearBasis,
        f"sae:{tmp_path}": SAESite, "lookup": Codebook,
    }  # fmt: skip
    for text, kind in made.items():
        explanation = build(text, at_site)
        assert type(explanation) is kind
        assert explanation.dictionary().width == 12
    assert len(build("pca,k=3", at_site).rows) == 3
    assert build("pca,k=3,name=top 3", at_site).name == "top 3"


def test_kinds_of_the_mechanism_setting(as_mechanism, tmp_path):
    network = as_mechanism.network
    save_saelens(sae(site="blocks.0.hook_resid_post"), tmp_path)
    names = ("blocks.0.mlp.W_in", "blocks.0.mlp.W_out")
    save_components(svd_components(network, names), tmp_path / "c.safetensors")
    made = {
        "network": WholeNetwork, "neurons": Neurons, "neurons,sites=blocks.1.mlp.hook_post": Neurons,
        "lookup": Lookup, "circuit,keep=0.5": NodeCircuit,
        "circuit,keep=0.5,method=magnitude": EdgeCircuit, f"components:{tmp_path}/c.safetensors": Components,
        f"components,from=svd,weights={'+'.join(names)}": Components,
    }  # fmt: skip
    for text, kind in made.items():
        assert type(build(text, as_mechanism)) is kind, text
    assert [way.kind for way in build(f"sae:{tmp_path}", as_mechanism).ways] == ["sae", "sae"]
    assert build("circuit,keep=0.5", as_mechanism).recipe()["method"] == "attribution"
    everything = build(f"components:{tmp_path}/c.safetensors,active=always", as_mechanism)
    assert everything.recipe()["active"] == "always"


def test_every_kind_that_is_listed_can_be_asked_for():
    assert set(KINDS) >= {"neurons", "pca", "sae", "lookup", "network", "circuit", "components"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "unknown kind 'nonsense'; kinds are neurons, pca"),
        ("pca,rows=3", "unknown option rows; pca takes name, k"),
        ("pca,k=99", "1 to 12 components, got k=99"),
        ("network", "network plays in --setting mechanism, not in site"),
        ("sae", "expected sae:PATH, where PATH is a SAELens folder"),
        ("sae:nowhere", "no such file"),
    ],
)
def test_what_cannot_be_built_at_a_site_is_refused(text, message, at_site):
    with pytest.raises(ExplanationError, match=message):
        build(text, at_site)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pca", "pca plays in --setting site, not in mechanism"),
        ("circuit,keep=0", r"keep must be in \(0, 1\], got 0"),
        ("circuit,keep=2", r"keep must be in \(0, 1\], got 2"),
        ("circuit,method=guess", "method 'guess' is not magnitude, attribution"),
        ("components", "expected components:PATH, or from=svd or from=truth"),
        ("components,from=truth", "no planted components"),
        ("components,from=svd,weights=nothing", "no weight matrix nothing"),
        ("components,from=svd,weights=blocks.0.mlp.W_in+blocks.0.mlp.W_out,active=often", "active"),
        ("network,size=3", "unknown option size; network takes name"),
    ],
)
def test_what_cannot_be_built_as_a_mechanism_is_refused(text, message, as_mechanism):
    with pytest.raises(ExplanationError, match=message):
        build(text, as_mechanism)


def test_an_sae_of_another_width_is_refused(at_site, tmp_path):
    save_saelens(sae(d_in=7), tmp_path)
    with pytest.raises(ExplanationError, match="reads 7 coordinates, the site has 12"):
        build(f"sae:{tmp_path}", at_site)


def test_kinds_that_need_the_network_or_the_data_say_so():
    with pytest.raises(ExplanationError, match="needs the network"):
        build("network", Subject("mechanism"))
    with pytest.raises(ExplanationError, match="use --setting site"):
        kinds.KINDS["pca"](Spec.parse("pca"), Subject("mechanism"))


def test_a_plug_in_brings_its_kind(at_site, monkeypatch):
    class Point:
        name = "theirs"

        @staticmethod
        def load():
            return lambda spec, subject: NeuronBasis(subject.activations().shape[1], f"from {spec.path}")

    monkeypatch.setattr(kinds, "entry_points", lambda group: [Point] if group == "assay.explanations" else [])
    assert build("theirs:here", at_site).name == "from here"
    with pytest.raises(ExplanationError, match=r"kinds are .*theirs"):
        build("others", at_site)
