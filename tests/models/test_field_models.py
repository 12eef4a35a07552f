"""Models as TransformerLens and Hugging Face save them: logits and activations of the libraries themselves.

Golden folders are read always; all variants are made anew where ``ASSAY_FIELD_PYTHON`` names a Python that
has transformer-lens 3 and transformers (see field_models.py).
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from assay.models import load, load_dataset
from safetensors.torch import load_file

HERE = Path(__file__).parent
GOLDEN = sorted((HERE / "golden").glob("*/*/answers.safetensors"))
FIELD = os.environ.get("ASSAY_FIELD_PYTHON")
needs_field = pytest.mark.skipif(not FIELD, reason="ASSAY_FIELD_PYTHON names no Python")


def made(kind, folder):
    command = [FIELD, str(HERE / "field_models.py"), kind, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def agree(folder, network):
    """Logits and every site that both know, to float tolerance."""
    answers = load_file(folder / "answers.safetensors")
    theirs = {name.removeprefix("site."): v for name, v in answers.items() if name.startswith("site.")}
    # TransformerLens flattens positions and heads inside the norms of queries and keys
    shared = [site for site in theirs if ".q_norm." not in site and ".k_norm." not in site]
    logits, found = network.run(answers["tokens"], shared)
    for site, ours in {**found, "logits": logits}.items():
        expected = theirs.get(site, answers["logits"])
        scale = float(expected[expected.isfinite()].abs().max())
        assert ours.shape == expected.shape, site
        assert torch.allclose(ours, expected, rtol=1e-4, atol=3e-6 * max(scale, 1)), site
    return len(shared)


@pytest.mark.parametrize("answers", GOLDEN, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_golden_models_answer_as_their_library_did(answers):
    folder = answers.parent
    sites = agree(folder, load(str(folder / "model.pt" if folder.parent.name == "lens" else folder)))
    assert sites >= 2


@needs_field
@pytest.mark.slow
def test_every_variant_of_transformer_lens(tmp_path):
    for folder in sorted(made("lens", tmp_path / "lens").iterdir()):
        assert agree(folder, load(str(folder / "model.pt"))) > 15
        (folder / "model.json").write_text((folder / "full.json").read_text())  # the whole configuration
        assert agree(folder, load(str(folder / "model.pt"))) > 15


@needs_field
@pytest.mark.slow
def test_every_family_of_hugging_face(tmp_path):
    for folder in sorted(made("hf", tmp_path / "hf").iterdir()):
        if folder.name != "other":
            assert agree(folder, load(str(folder))) >= 2


WRAPPED = """
import copy, torch
from pathlib import Path
from assay.models import load
from safetensors.torch import load_file
folder = Path({folder!r})
answers, network = load_file(folder / "answers.safetensors"), load({folder!r})
site = "blocks.1.hook_resid_pre"
logits, found = network.run(answers["tokens"], [site])
assert torch.allclose(logits, answers["logits"], atol=1e-5)
assert torch.allclose(found[site], answers["site." + site], atol=1e-5)
other = network.to(dtype=torch.float64)
changed = other.patched(answers["tokens"], {{site: torch.zeros_like}})
assert (changed - other(answers["tokens"])).abs().max() > 1e-3
assert torch.equal(network(answers["tokens"]), logits)
"""


@needs_field
@pytest.mark.slow
def test_other_models_run_through_transformers(tmp_path, monkeypatch):
    folder = made("hf", tmp_path / "hf") / "other"
    import assay.models

    monkeypatch.setenv("PYTHONPATH", str(Path(assay.models.__file__).parents[2]))
    code = WRAPPED.format(folder=str(folder))
    done = subprocess.run([FIELD, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_text_goes_through_the_tokenizer_beside_the_weights(tmp_path):
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"the": 0, "cat": 1, "dog": 2, "?": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "gpt2"
    folder.mkdir()
    for file in (HERE / "golden" / "hf" / "gpt2").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer.save(str(folder / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("the cat the dog " * 20)
    data = load_dataset(str(tmp_path / "text.txt"), load(str(folder)))
    assert data.inputs.shape == (3, 24)
    assert data.inputs[0, :4].tolist() == [0, 1, 0, 2]
    assert data.labels[0, :3].tolist() == [1, 0, 2]
