"""What is told of files that do not fit: TransformerLens state dicts, Hugging Face folders, data sets."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from assay.models import (
    InputError,
    Network,
    Transformer,
    TransformerConfig,
    UnreadableFile,
    load,
    load_dataset,
)
from assay.models.formats.hugging_face_configs import CONFIGS, Unsupported
from assay.models.units import unit_sites, unit_weights
from safetensors.torch import load_file, save_file

from .test_field_models import HERE

SIZES = {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "d_vocab": 11, "n_ctx": 6, "d_mlp": 12}
TOLD = {
    "act_fn": "relu",
    "attention_dir": "causal",
    "positional_embedding_type": "standard",
    "normalization_type": "LN",
}


def module(**change) -> Transformer:
    made = Transformer(TransformerConfig(**{**SIZES, **change})).eval()
    made.initialise(0.3, torch.Generator().manual_seed(0))
    return made


def written(folder, made, settings, suffix=".pt", wrap=lambda state: state):
    state = dict(made.state_dict())
    state["blocks.0.attn.mask"] = torch.ones(6, 6, dtype=torch.bool)
    state["blocks.1.attn.IGNORE"] = torch.tensor(-torch.inf)
    path = folder / f"net{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(wrap(state), path)
    if settings is not None:
        (folder / "net.json").write_text(json.dumps(settings))
    return str(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model_state_dict": {f"_orig_mod.{n}": v for n, v in state.items()}, "step": 3},
    ],
    ids=["plain", "checkpoint"],
)
def test_a_state_dict_loads_whatever_holds_it(tmp_path, suffix, wrap):
    made = module()
    network = load(written(tmp_path, made, TOLD, suffix, wrap))
    tokens = torch.randint(11, (3, 6), generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(tokens), made(tokens))
    assert (network.name, network.vocabulary, network.in_shape) == ("net", 11, (6,))


def test_all_missing_settings_are_asked_for_at_once(tmp_path):
    with pytest.raises(UnreadableFile, match="act_fn, attention_dir, positional_embedding_type: write them"):
        load(written(tmp_path, module(), None))
    with pytest.raises(UnreadableFile, match=r"do not say act_fn, .*normalization_type.*net\.yaml"):
        load(written(tmp_path, module(normalization="RMSPre"), None))
    with pytest.raises(UnreadableFile, match="do not say n_ctx, rotary_dim"):
        load(written(tmp_path, module(positions="rotary"), TOLD | {"positional_embedding_type": "rotary"}))


def test_yaml_settings_with_its_own_idea_of_numbers(tmp_path):
    path = written(tmp_path, module(normalization=None), None)
    (tmp_path / "config.yaml").write_text(
        "act_fn: silu\nattention_dir: bidirectional\npositional_embedding_type: shortformer\n"
        "normalization_type: None\neps: 1e-6\nn_params: 3\n"
    )
    config = load(path).module.config
    assert (config.eps, config.causal, config.positions) == (1e-6, False, "shortformer")
    assert (config.act_fn, config.normalization) == ("silu", None)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"actfn": "gelu"}, "unknown setting 'actfn' (did you mean 'act_fn'?)"),
        ({"d_model": 9}, "d_model is 9, but the tensors say 8"),
        ({"use_yarn_rope": True, "num_experts": 4}, "use_yarn_rope = True is not supported; num_experts = 4"),
        ({"eps": "small"}, "eps is 'small', expected a number"),
        ({"eps": -1}, "eps is -1.0, expected a positive number"),
        ({"attention_dir": "left"}, "expected causal or bidirectional"),
        ({"act_fn": "mish"}, "act_fn is 'mish', expected one of relu"),
        ({"positional_embedding_type": "alibi"}, "positions is 'alibi', expected one of standard"),
        ({"use_local_attn": True}, "expected a list of global and local"),
        ({"original_architecture": "Olmo2ForCausalLM"}, "Olmo2ForCausalLM' is not supported"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path, settings, told):
    with pytest.raises(UnreadableFile) as caught:
        load(written(tmp_path, module(), TOLD | settings))
    assert told in str(caught.value)
    assert "net.json" in str(caught.value)


def test_tensors_that_do_not_fit_are_named_at_once(tmp_path):
    made = module()
    state = dict(made.state_dict())
    del state["blocks.1.mlp.W_out"], state["blocks.0.attn.b_Q"]
    state |= {"extra": torch.zeros(1), "blocks.0.mlp.W_in": torch.zeros(8, 5)}
    state["ln_final.w"] = torch.full((8,), torch.nan)
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(TOLD))
    with pytest.raises(UnreadableFile) as caught:
        load(str(tmp_path / "net.pt"))
    for told in (
        "missing blocks.0.attn.b_Q, blocks.1.mlp.W_out",
        "surplus extra",
        "ln_final.w holds NaN",
        "expected",
    ):
        assert told in str(caught.value)


def test_a_kind_of_bias_that_no_layer_has_is_zero(tmp_path):
    made = module()
    state = {n: v for n, v in made.state_dict().items() if n != "unembed.b_U"}
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(TOLD))
    assert not load(str(tmp_path / "net.pt")).parameters()["unembed.b_U"].any()


def test_rotations_that_the_buffers_contradict_are_refused(tmp_path):
    settings = TOLD | {"positional_embedding_type": "rotary", "n_ctx": 6}
    made = module(positions="rotary", rotary_base=100.0)
    positions = torch.arange(6.0)[:, None] / 100 ** (torch.arange(0, 4, 2) / 4)
    state = made.state_dict() | {"blocks.0.attn.rotary_sin": positions.sin().repeat(1, 2)}
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(settings | {"rotary_base": 100}))
    assert load(str(tmp_path / "net.pt")).module.config.rotary_dim == 4
    (tmp_path / "net.json").write_text(json.dumps(settings))
    with pytest.raises(UnreadableFile, match="rotary_sin does not fit the settings"):
        load(str(tmp_path / "net.pt"))


def test_networks_of_equal_weights_and_other_settings_have_other_digests(tmp_path):
    digests = {
        load(written(tmp_path, module(), TOLD | change)).digest
        for change in (
            {},
            {"act_fn": "gelu"},
            {"eps": 1e-6},
            {"attention_dir": "bidirectional"},
            {"eps": 1e-5},
        )
    }
    assert len(digests) == 4


def test_other_state_dicts_and_folders_are_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "net.pt")
    with pytest.raises(UnreadableFile, match=r"holds fc.weight .*TransformerLens"):
        load(str(tmp_path / "net.pt"))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UnreadableFile, match="holds a list"):
        load(str(tmp_path / "list.pt"))
    with pytest.raises(UnreadableFile, match="no folder of a Hugging Face model"):
        load(str(tmp_path))


def folder(tmp_path, name, **change):
    made = tmp_path / name
    made.mkdir()
    for file in (HERE / "golden" / "hf" / name).iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    config = json.loads((made / "config.json").read_text()) | change
    (made / "config.json").write_text(json.dumps(config))
    return made


def test_fields_that_are_not_supported_are_named_at_once(tmp_path):
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0}
    with pytest.raises(UnreadableFile, match=r"hidden_act = 'mish'; .*|rope_type = 'yarn'") as caught:
        load(str(folder(tmp_path, "llama", hidden_act="mish", rope_parameters=rope, mlp_bias=True)))
    for told in ("hidden_act = 'mish'", "rope_type = 'yarn'", "mlp_bias = True"):
        assert told in str(caught.value)


def test_configurations_of_older_versions_mean_the_same():
    new = json.loads((HERE / "golden" / "hf" / "gemma2" / "config.json").read_text())
    old = {k: v for k, v in new.items() if k not in ("rope_parameters", "layer_types")}
    assert CONFIGS["gemma2"](old | {"rope_theta": 10000.0}) == CONFIGS["gemma2"](new)
    llama = json.loads((HERE / "golden" / "hf" / "llama" / "config.json").read_text())
    scaled = {k: v for k, v in llama.items() if k != "rope_parameters"}
    config, _ = CONFIGS["llama"](
        scaled | {"rope_scaling": {"type": "linear", "factor": 4}, "rope_theta": 5e5}
    )
    assert (config.rotary_factor, config.rotary_base) == (4.0, 5e5)
    with pytest.raises(Unsupported, match="quantization_config"):
        CONFIGS["llama"](llama | {"quantization_config": {"quant_method": "gptq"}})


def test_a_gemma_of_the_first_configurations_is_the_tanh_one():
    first = json.loads((HERE / "golden" / "hf" / "gemma2" / "config.json").read_text())
    del first["hidden_activation"]
    config, tied = CONFIGS["gemma"](first | {"model_type": "gemma", "hidden_act": "gelu"})
    assert (config.act_fn, tied, config.norm_after) == ("gelu_pytorch_tanh", True, False)


def test_shards_must_be_there_and_in_the_folder(tmp_path):
    made = folder(tmp_path, "gpt2")
    tensors = load_file(made / "model.safetensors")
    expected = load(str(made)).digest
    (made / "model.safetensors").unlink()
    with pytest.raises(UnreadableFile, match="holds no weights"):
        load(str(made))
    names = sorted(tensors)
    halves = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for file, part in halves.items():
        save_file({n: tensors[n] for n in part}, made / file)
    index = made / "model.safetensors.index.json"
    where = {n: file for file, part in halves.items() for n in part}
    index.write_text(json.dumps({"weight_map": where}))
    assert load(str(made)).digest == expected
    index.write_text(json.dumps({"weight_map": where | {"lost": "a.safetensors"}}))
    with pytest.raises(UnreadableFile, match="its shards lack lost"):
        load(str(made))
    index.write_text(json.dumps({"weight_map": {"x": "../../a.safetensors"}}))
    with pytest.raises(UnreadableFile, match="expected a file of the same folder"):
        load(str(made))


def test_weights_that_contradict_the_configuration_are_named(tmp_path):
    with pytest.raises(UnreadableFile, match=r"c_attn\.weight of shape"):
        load(str(folder(tmp_path, "gpt2", n_embd=24)))
    (tmp_path / "less").mkdir()
    with pytest.raises(UnreadableFile, match=r"surplus blocks\.1\.attn\.W_K"):
        load(str(folder(tmp_path / "less", "gpt2", n_layer=1)))


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("gpt2", {"n_layer": 10**9}, "1000000000 layers are announced"),
        ("gpt2", {"vocab_size": 10**12}, r"expected \(1000000000000, "),
        ("llama", {"rope_parameters": [1]}, "its fields do not fit"),
    ],
)
def test_sizes_that_cannot_be_meant_take_no_memory(tmp_path, name, change, told):
    with pytest.raises(UnreadableFile, match=told):
        load(str(folder(tmp_path, name, **change)))


def test_weights_in_eight_bits_are_read(tmp_path):
    made = module()
    short = {n: t.to(torch.float8_e4m3fn) if t.ndim > 1 else t for n, t in made.state_dict().items()}
    network = load(written(tmp_path, made, TOLD, wrap=lambda state: short))
    assert torch.equal(network.parameters()["embed.W_E"], short["embed.W_E"].float())


def test_unsigned_token_ids_are_token_ids(tmp_path):
    network = Network("n", module(), "categorical", "token", (6,), vocabulary=11)
    ids = np.random.default_rng(0).integers(0, 11, (4, 6))
    for kind in (np.uint16, np.uint32, np.uint64):
        np.save(tmp_path / "d.npy", ids.astype(kind))
        assert load_dataset(str(tmp_path / "d.npy"), network).inputs.tolist() == ids.tolist()
    np.save(tmp_path / "d.npy", np.full((4, 6), 2**63, np.uint64))
    with pytest.raises(UnreadableFile, match="more than 64 bits with a sign hold"):
        load_dataset(str(tmp_path / "d.npy"), network)


def test_token_ids_by_the_names_that_data_sets_give_them(tmp_path):
    network = Network("n", module(), "categorical", "token", (6,), vocabulary=11)
    ids = np.random.default_rng(0).integers(0, 11, (4, 6))
    np.savez(tmp_path / "d.npz", input_ids=ids, attention_mask=np.ones_like(ids))
    assert load_dataset(str(tmp_path / "d.npz"), network).inputs.tolist() == ids.tolist()
    np.savez(tmp_path / "p.npz", input_ids=ids, attention_mask=ids > 4)
    with pytest.raises(UnreadableFile, match="rows are padded"):
        load_dataset(str(tmp_path / "p.npz"), network)
    np.save(tmp_path / "long.npy", ids.reshape(-1).astype(np.uint16))
    data = load_dataset(str(tmp_path / "long.npy"), network)
    assert data.inputs.tolist() == ids[:3].tolist()
    assert data.labels[0].tolist() == [*ids[0, 1:], ids[1, 0]]


def test_a_table_of_lists_is_a_data_set_of_token_ids(tmp_path):
    pytest.importorskip("pyarrow")
    network = Network("n", module(), "categorical", "token", (6,), vocabulary=11)
    rows = [[1, 2, 3], [4, 5, 6]]
    pd.DataFrame({"text": ["a", "b"], "input_ids": rows}).to_parquet(tmp_path / "d.parquet")
    assert load_dataset(str(tmp_path / "d.parquet"), network).inputs.tolist() == rows
    pd.DataFrame({"input_ids": [[1, 2], [3]]}).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(UnreadableFile, match="rows of 1 to 2 entries"):
        load_dataset(str(tmp_path / "d.parquet"), network)


def test_a_text_needs_a_tokenizer_or_bytes(tmp_path):
    network = Network("n", module(), "categorical", "token", (6,), vocabulary=11)
    (tmp_path / "t.txt").write_text("hello")
    with pytest.raises(InputError, match=r"no tokenizer\.json|has no\s+tokenizer"):
        load_dataset(str(tmp_path / "t.txt"), network)


@pytest.mark.parametrize(
    ("change", "owned"),
    [
        ({"n_key_value_heads": 1}, {"W_Q", "b_Q", "W_O"}),
        ({"n_key_value_heads": 2}, {"W_Q", "_W_K", "_W_V", "b_Q", "_b_K", "_b_V", "W_O"}),
    ],
)
def test_heads_own_what_they_share_with_none(change, owned):
    network = Network("n", module(**change), "categorical", "token", (6,), vocabulary=11)
    table = unit_weights(network, "blocks.0.attn.hook_z")
    assert {name.rsplit(".", 1)[-1] for name in table} == owned


def test_gated_and_normalised_neurons_own_all_their_weights():
    for change, more in (({"gated_mlp": True}, {"W_gate"}), ({"act_fn": "solu_ln"}, {"ln.w", "ln.b"})):
        network = Network("n", module(**change), "categorical", "token", (6,), vocabulary=11)
        table = unit_weights(network, "blocks.1.mlp.hook_post")
        names = {name.removeprefix("blocks.1.mlp.") for name in table}
        assert names == {"W_in", "b_in", "W_out"} | more
        assert all(network.parameters()[name].shape[axis] == 12 for name, axis in table.items())
        assert len(unit_sites(network)) == 2
