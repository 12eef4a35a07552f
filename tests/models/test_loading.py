import contextlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from assay.models import (
    InputError,
    Network,
    ResidualMLP,
    ResidualMLPConfig,
    Superposition,
    SuperpositionConfig,
    Transformer,
    TransformerConfig,
    UnreadableFile,
    load,
    load_dataset,
    perceptron,
    save,
    scaling,
)
from assay.models.architectures import build, describe
from assay.models.dataset_files import next_token_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

SMALL = TransformerConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_vocab=5, n_ctx=3, d_mlp=6)


def mlp() -> Network:
    return Network("mlp", perceptron([3, 4, 2]), "regression", "real", (3,))


def bytes_network() -> Network:
    config = TransformerConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_vocab=256, n_ctx=5, d_mlp=4)
    module = Transformer(config)
    module.initialise(0.1, torch.Generator().manual_seed(0))
    return Network("bytes", module, "categorical", "token", (5,), vocabulary=256)


@pytest.mark.parametrize(
    "module",
    [
        Transformer(SMALL),
        Superposition(SuperpositionConfig(5, 2)),
        ResidualMLP(ResidualMLPConfig(4, 8, 3)),
        perceptron([2, 3, 1], first=[scaling(torch.tensor([0.5, 2.0]))]),
        nn.Sequential(nn.Linear(2, 2, bias=False), nn.Identity(), nn.ReLU()),
    ],
)
def test_an_architecture_is_built_again_from_its_description(module):
    description = json.loads(json.dumps(describe(module)))
    again = build(description)
    assert describe(again) == describe(module)
    assert [n for n, _ in again.named_modules()] == [n for n, _ in module.named_modules()]
    assert {n: t.shape for n, t in again.state_dict().items()} == {
        n: t.shape for n, t in module.state_dict().items()
    }


def test_bad_architectures_are_refused():
    with pytest.raises(InputError, match="Conv2d"):
        describe(nn.Sequential(nn.Conv2d(1, 1, 1)))
    unknown, short = {"kind": "os.system"}, {"kind": "linear", "in_features": 3}
    for description in (unknown, short, {}, {"kind": "transformer"}):
        with pytest.raises(InputError):
            build(description)


def test_a_network_comes_back_from_its_file(tmp_path):
    network = bytes_network()
    save(network, tmp_path / "n.safetensors")
    back = load("n.safetensors", base=tmp_path)
    assert back.digest == network.digest
    assert (back.name, back.output, back.input) == ("bytes", "categorical", "token")
    assert (back.in_shape, back.vocabulary) == ((5,), 256)
    x = torch.randint(256, (2, 5))
    assert torch.equal(back(x), network(x))
    assert [p.name for p in tmp_path.iterdir()] == ["n.safetensors"]
    save(back, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()


def test_nothing_is_left_behind_when_saving_fails(tmp_path):
    network = mlp().substitute({"layers.1": nn.Tanh()})
    with pytest.raises(InputError, match="Tanh"):
        save(network, tmp_path / "n.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    save(mlp(), tmp_path / "n.safetensors")
    whole = (tmp_path / "n.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:keep])
    with pytest.raises(UnreadableFile, match="not a whole safetensors file"):
        load(str(tmp_path / "cut.safetensors"))


def test_foreign_and_mismatched_safetensors_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(UnreadableFile, match=r"no key 'assay\.network/1'"):
        load(str(tmp_path / "foreign.safetensors"))
    about = {
        "name": "x",
        "output": "regression",
        "input": "real",
        "in_shape": [3],
        "vocabulary": None,
        "architecture": describe(perceptron([3, 2])),
    }
    metadata = {"assay.network/1": json.dumps(about)}
    save_file({"layers.0.weight": torch.zeros(2, 4)}, tmp_path / "odd.safetensors", metadata)
    message = r"layers.0.bias None for \(2,\); layers.0.weight \(2, 4\) for \(2, 3\)"
    with pytest.raises(UnreadableFile, match=message):
        load(str(tmp_path / "odd.safetensors"))
    save_file({"w": torch.zeros(2)}, tmp_path / "empty.safetensors", {"assay.network/1": "{}"})
    with pytest.raises(UnreadableFile, match="description of the network"):
        load(str(tmp_path / "empty.safetensors"))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "n.safetensors"
    save(mlp(), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert isinstance(load(str(path)), Network)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".safetensors", ".npy"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, suffix):
    fuse = tmp_path / "exploded"
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(pickle.dumps(Bomb(fuse)))
    with pytest.raises(UnreadableFile, match="bomb"):
        load(str(path))
    with pytest.raises(InputError):
        load_dataset(str(path), mlp())
    assert not fuse.exists()


def test_missing_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(UnreadableFile, match=r"absent.safetensors: there is no such file"):
        load("absent.safetensors", base=tmp_path)
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(UnreadableFile, match=r"expected \.safetensors"):
        load("model.h5", base=tmp_path)
    with pytest.raises(InputError, match=r"no network 'max-of-5'; did you mean 'max-of-4'"):
        load("zoo:max-of-5")


def test_a_python_factory_is_called(tmp_path):
    (tmp_path / "my_factory_module.py").write_text(
        "from assay.models import Network, perceptron\n"
        "def make():\n    return Network('mine', perceptron([2, 1]), 'regression', 'real', (2,))\n"
        "def number():\n    return 3\n"
        "def fails():\n    return 1 / 0\n"
    )
    before = list(sys.path)
    assert load("python:my_factory_module:make", base=tmp_path).name == "mine"
    with pytest.raises(InputError, match=r"gave a int, expected an assay.models.Network"):
        load("python:my_factory_module:number", base=tmp_path)
    with pytest.raises(InputError, match=r"fails raised ZeroDivisionError: division by zero"):
        load("python:my_factory_module:fails", base=tmp_path)
    for spec in ("python:my_factory_module:absent", "python:no_such_module:make", "python:os"):
        with pytest.raises(InputError, match=spec):
            load(spec, base=tmp_path)
    assert sys.path == before


def test_arrays_become_datasets(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    np.save(tmp_path / "d.npy", inputs)
    np.savez(tmp_path / "d.npz", inputs=inputs, labels=np.arange(6))
    plain = load_dataset(str(tmp_path / "d.npy"), mlp())
    labelled = load_dataset(str(tmp_path / "d.npz"), mlp(), limit=4)
    assert plain.unit == "sample"
    assert np.array_equal(plain.inputs.numpy(), inputs)
    assert labelled.labels.tolist() == [0, 1, 2, 3]
    assert labelled.inputs.shape == (4, 3)


def test_a_table_becomes_a_dataset(tmp_path):
    (tmp_path / "d.csv").write_text("a,b,c,label\n1,2,3,0\n4,5,6.5,1\n")
    found = load_dataset(str(tmp_path / "d.csv"), mlp())
    assert found.inputs.tolist() == [[1, 2, 3], [4, 5, 6.5]]
    assert found.labels.tolist() == [0, 1]
    (tmp_path / "words.csv").write_text("a,b,c\n1,2,x\n")
    with pytest.raises(UnreadableFile, match=r"column\(s\) c do not hold numbers"):
        load_dataset(str(tmp_path / "words.csv"), mlp())
    (tmp_path / "none.csv").write_text("")
    with pytest.raises(UnreadableFile):
        load_dataset(str(tmp_path / "none.csv"), mlp())


def test_data_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((2, 4)))
    with pytest.raises(InputError, match=r"got an input of shape \(2, 4\), expected \[n, 3\]"):
        load_dataset(str(tmp_path / "wide.npy"), mlp())
    np.save(tmp_path / "nan.npy", np.full((2, 3), np.nan))
    with pytest.raises(InputError, match="not finite"):
        load_dataset(str(tmp_path / "nan.npy"), mlp())
    np.save(tmp_path / "tokens.npy", np.full((2, 5), 256))
    with pytest.raises(InputError, match=r"expected tokens in 0..255"):
        load_dataset(str(tmp_path / "tokens.npy"), bytes_network())
    np.savez(tmp_path / "odd.npz", a=np.zeros((2, 3)), b=np.zeros(2))
    with pytest.raises(UnreadableFile, match="holds a, b, expected inputs"):
        load_dataset(str(tmp_path / "odd.npz"), mlp())


def test_a_text_is_cut_into_stretches_with_their_next_bytes(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"abcdefghijklm")
    found = load_dataset(str(tmp_path / "t.txt"), bytes_network())
    assert [bytes(r.tolist()) for r in found.inputs] == [b"abcde", b"fghij"]
    assert [bytes(r.tolist()) for r in found.labels] == [b"bcdef", b"ghijk"]
    assert found.unit == "sequence"
    with pytest.raises(InputError, match="does not read bytes"):
        load_dataset(str(tmp_path / "t.txt"), mlp())
    (tmp_path / "short.txt").write_bytes(b"abc")
    with pytest.raises(UnreadableFile, match="3 bytes are too few, expected at least 6"):
        load_dataset(str(tmp_path / "short.txt"), bytes_network())
    with pytest.raises(UnreadableFile, match="no such file"):
        load_dataset(str(tmp_path / "absent.txt"), bytes_network())


def test_next_token_pairs_use_every_token_once():
    inputs, labels = next_token_pairs(torch.arange(13, dtype=torch.uint8), 4)
    assert inputs.flatten().tolist() == list(range(12))
    assert labels.flatten().tolist() == list(range(1, 13))


def test_reading_a_network_does_not_import_the_heavy_libraries():
    code = "import sys, assay.models; print([m for m in ('sklearn', 'pandas', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
