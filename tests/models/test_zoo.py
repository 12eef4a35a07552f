import json
import math
from pathlib import Path

import pytest
import torch
from assay.models import InputError, collect, load, load_dataset, zoo
from assay.models.zoo import boolean, byte_lm, comparator, max_of_k
from assay.models.zoo.entry import classified

SMALL = [name for name in zoo.names() if name != "byte-lm"]
N = {"digits": 360, "resid-mlp": 16384}
SLACK = {
    "accuracy": 0.003,
    "cross_entropy_bits": 0.01,
    "largest_error": 2e-7,
    "largest_on_diagonal": 2e-7,
}
"""What fresh data may change in a figure, beside one part in ten."""


def test_the_zoo_holds_what_it_promises():
    assert set(zoo.names()) == {
        "byte-lm",
        "tms-5-2",
        "tms-40-10",
        "resid-mlp",
        "comparator",
        "digits",
        "max-of-4",
        "boolean",
        "sum-of-8",
        "word-of-6",
        "brackets-of-40",
    }


def test_all_shipped_weights_fit_in_25_megabytes():
    weights = Path(zoo.__file__).parent / "weights"
    assert sum(p.stat().st_size for p in weights.iterdir()) <= 25e6


@pytest.mark.parametrize("name", zoo.names())
def test_a_card_is_about_the_weights_beside_it(name):
    card, network = zoo.card(name), load(f"zoo:{name}")
    assert card["digest"] == network.digest
    assert card["name"] == network.name == name
    assert card["parameters"] == sum(p.numel() for p in network.parameters().values())
    assert {"seed"} < set(card["recipe"])


@pytest.mark.parametrize("name", SMALL)
def test_a_network_reaches_its_figures_on_fresh_data(name):
    network = zoo.load(name)
    data = load_dataset("zoo", network, limit=N.get(name, 65536), seed=12345)
    network.check(data.inputs)
    for figure, measured in zoo.entry(name).measure(network, data).items():
        stated = zoo.card(name)["figures"][figure]
        assert measured == pytest.approx(stated, rel=0.1, abs=SLACK.get(figure, 0)), figure


@pytest.mark.parametrize("name", SMALL)
def test_data_are_seeded_and_labelled(name):
    data, again, other = zoo.data(name, 50, 3), zoo.data(name, 50, 3), zoo.data(name, 50, 4)
    assert len(data) == len(data.labels) == 50
    assert data.fingerprint == again.fingerprint != other.fingerprint
    assert data.scope.condition
    assert data.scope.distribution


def test_the_five_features_form_a_pentagon():
    W = zoo.load("tms-5-2").parameters()["W"]
    angles = torch.atan2(W[1], W[0]).sort().values * 180 / math.pi
    gaps = torch.cat([angles.diff(), angles[:1] + 360 - angles[-1:]])
    assert torch.allclose(gaps, torch.full((5,), 72.0), atol=1)
    assert W.norm(dim=0).std() < 0.01


def test_the_comparator_cancels_equal_inputs_and_tells_different_ones_apart():
    network = zoo.load("comparator")
    t = torch.arange(comparator.LARGEST + 1)
    assert network(torch.stack([t, t], 1)).abs().max() <= 1e-6
    pairs = zoo.data("comparator", 100_000, 5).inputs
    apart = pairs[(pairs[:, 0] - pairs[:, 1]).abs() > 2]
    assert network(apart).min() > 1e-6


def test_the_comparator_cancels_in_exact_arithmetic_too():
    network = zoo.load("comparator").to(dtype=torch.float64)
    t = torch.arange(0, comparator.LARGEST + 1, 7)
    assert network(torch.stack([t, t], 1)).abs().max() <= 1e-6


def test_the_boolean_network_computes_its_circuit_and_ignores_two_bits():
    x = boolean.all_inputs()
    assert len(x.unique(dim=0)) == 1024
    truth = torch.tensor([_formula(row) for row in x.tolist()])
    assert torch.equal(boolean.circuit(x), truth)
    assert torch.equal(zoo.load("boolean")(x).argmax(-1).bool(), truth)
    for irrelevant in (8, 9):
        flipped = x.clone()
        flipped[:, irrelevant] ^= 1
        assert torch.equal(boolean.circuit(flipped), truth)


def _formula(bits: list[int]) -> bool:
    names = {f"x{i}": bool(b) for i, b in enumerate(bits)}
    return bool(eval(boolean.FORMULA.replace("xor", "!="), {"__builtins__": {}}, names))


def test_max_of_4_is_the_published_architecture():
    network = zoo.load("max-of-4")
    shapes = {name: tuple(p.shape) for name, p in network.parameters().items()}
    assert shapes == {
        "embed.W_E": (64, 32),
        "pos_embed.W_pos": (4, 32),
        "blocks.0.attn.W_Q": (1, 32, 32),
        "blocks.0.attn.W_K": (1, 32, 32),
        "blocks.0.attn.W_V": (1, 32, 32),
        "blocks.0.attn.W_O": (1, 32, 32),
        "unembed.W_U": (32, 64),
    }
    assert network(torch.zeros(2, 4)).shape == (2, 64)


def test_max_of_4_decomposes_into_the_paths_of_the_paper():
    network = zoo.load("max-of-4").to(dtype=torch.float64)
    W = {name.rsplit(".", 1)[-1]: p.squeeze(0) for name, p in network.parameters().items()}
    OV = W["W_V"] @ W["W_O"] @ W["W_U"]
    x = zoo.data("max-of-4", 64, 2).inputs
    query = W["W_E"][x[:, -1]] + W["W_pos"][-1]
    keys = W["W_E"][x] + W["W_pos"]
    scores = torch.einsum("bd,de,fe,bpf->bp", query, W["W_Q"], W["W_K"], keys) / math.sqrt(32)
    logits = query @ W["W_U"] + torch.einsum("bp,bpd->bd", scores.softmax(-1), keys) @ OV
    assert torch.allclose(network(x), logits, atol=1e-9)


def test_byte_lm_predicts_python_far_better_than_chance(tmp_path):
    source = "\n".join(
        f"def method_{i}(self, value):\n    if value is None:\n        return self.name\n    return {i}\n"
        for i in range(40)
    )
    (tmp_path / "made.py").write_text(source)
    network = zoo.load("byte-lm")
    data = load_dataset(str(tmp_path / "made.py"), network)
    figures = zoo.entry("byte-lm").measure(network, data)
    assert figures["bits_per_byte"] < 2.5
    noise = torch.randint(256, data.inputs.shape, generator=torch.Generator().manual_seed(0))
    assert float(network(noise).log_softmax(-1).gather(-1, noise[..., None]).mean()) < -math.log(2)


def test_byte_lm_states_its_held_out_bits_per_byte():
    card = zoo.card("byte-lm")
    assert card["figures"]["bits_per_byte"] < 2.2
    assert 800_000 < card["parameters"] < 1_100_000


def test_byte_lm_has_activations_at_its_sites():
    network = zoo.load("byte-lm")
    data = zoo.data("byte-lm", 40, 0)
    found = collect(network, data, "blocks.2.mlp.hook_post", device="cpu")
    assert found.values.shape == (40 * 128, 512)
    assert torch.equal(data.inputs[:, 1:], data.labels[:, :-1])


def test_the_corpus_is_split_by_file_and_has_no_tests_in_it(tmp_path):
    for name in ("a.py", "b/c.py", "b/test/d.py", "site-packages/e.py", "b/tests/f.py", "g.txt", "test.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [p.as_posix() for p in byte_lm.files(tmp_path)] == ["a.py", "b/c.py", "test.py"]
    parts = [byte_lm.part_of(Path(f"package/module_{i}.py")) for i in range(2000)]
    assert 0.07 < parts.count("held-out") / len(parts) < 0.13
    assert len(byte_lm.corpus("held-out")) < len(byte_lm.corpus("train"))


def test_unknown_names_and_sizes_are_refused():
    with pytest.raises(InputError, match="did you mean 'digits'"):
        zoo.load("digit")
    with pytest.raises(InputError, match="cannot draw 0 data"):
        zoo.data("digits", 0)
    assert len(zoo.data("digits", 10_000)) == 360


def test_exporting_writes_weights_and_card(tmp_path):
    path = zoo.export("boolean", tmp_path / "out")
    assert load(str(path)).digest == zoo.load("boolean").digest
    assert path.with_suffix(".json").exists()
    assert len(list(path.parent.iterdir())) == 2


def test_a_network_trained_anew_gets_a_card_of_its_own(tmp_path):
    network = zoo.train("boolean", seed=7)
    zoo.export("boolean", tmp_path, network, seed=7, seconds=1.2)
    card = json.loads((tmp_path / "boolean.json").read_text())
    assert card["recipe"]["seed"] == 7
    assert card["digest"] == network.digest != zoo.card("boolean")["digest"]
    assert card["figures"]["accuracy_on_all_inputs"] == 1.0


@pytest.mark.parametrize("name", ["digits", "boolean", "max-of-4", "tms-5-2", "comparator"])
def test_a_recipe_reproduces_the_shipped_figures(name):
    progress = []
    network = zoo.train(name, progress=lambda *step: progress.append(step))
    data = zoo.data(name, zoo.entry(name).card_data, 1)
    for figure, measured in zoo.entry(name).measure(network, data).items():
        stated = zoo.card(name)["figures"][figure]
        assert measured == pytest.approx(stated, rel=0.5, abs=max(SLACK.get(figure, 0), 1e-6)), figure
    assert progress[-1][0] == progress[-1][1]
    assert "loss" in progress[-1][2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tms-40-10", "resid-mlp"])
def test_a_longer_recipe_reproduces_the_shipped_figures(name):
    network = zoo.train(name)
    data = zoo.data(name, 16384, 1)
    for figure, measured in zoo.entry(name).measure(network, data).items():
        assert measured == pytest.approx(zoo.card(name)["figures"][figure], rel=0.1), figure


def test_max_of_k_trains_for_other_sizes(monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(max_of_k, "RECIPE", replace(max_of_k.RECIPE, steps=300))
    network = max_of_k.train(1, k=3, v=10)
    assert network.name == "max-of-3"
    assert classified(network, max_of_k.data(2000, 0, k=3, v=10))["accuracy"] > 0.6
