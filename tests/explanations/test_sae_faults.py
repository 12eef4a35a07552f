"""Files of dictionaries that are broken, hostile or not what they are called: each is refused by name."""

import os
import zipfile

import numpy as np
import pytest
import torch
from assay.explanations import ExplanationError
from assay.explanations.sae import load_any, load_sae, load_transcoders
from assay.models import UnreadableFile

from .sae_files import D_IN, D_SAE, DICTIONARIES, dictionary_folder, drawn, sparsify_folder


def broken(tmp_path, name, **changed):
    state = {**DICTIONARIES[name][0], **changed}
    dictionary_folder(tmp_path, name)
    torch.save({n: v for n, v in state.items() if v is not None}, tmp_path / "ae.pt")
    return tmp_path


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    bad = {"bias": None, "extra": drawn(2), "encoder.bias": torch.full((D_SAE,), torch.nan)}
    with pytest.raises(ExplanationError) as caught:
        load_any(broken(tmp_path, "AutoEncoder", **bad, **{"decoder.weight": drawn(D_SAE, D_IN)}))
    for part in (
        "ae.pt", "missing ['bias']", "surplus ['extra']", "encoder.bias holds NaN",
        "decoder.weight has shape (30, 12), expected (12, 30)",
    ):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize("k", [0, 2.5, "four", None, float("nan"), float("inf")])
def test_k_is_a_whole_number(k, tmp_path):
    sparsify_folder(tmp_path / "h.1", k=k)
    with pytest.raises(ExplanationError, match=r"k is .*expected a whole number of at least 1"):
        load_any(tmp_path / "h.1")


class Harm:
    def __reduce__(self):
        return (os.system, ("false",))


def test_no_file_runs_code(tmp_path):
    torch.save({"pre_bias": Harm()}, tmp_path / "a.pt")
    with pytest.raises(UnreadableFile, match="pickled code is never run"):
        load_any(tmp_path / "a.pt")
    np.savez(tmp_path / "params.npz", w_enc=np.array([Harm()], dtype=object))
    with pytest.raises(UnreadableFile, match="plain numbers"):
        load_any(tmp_path / "params.npz")
    with zipfile.ZipFile(tmp_path / "params.npz", "w") as archive:
        archive.writestr("words.txt", "no array")
    with pytest.raises(UnreadableFile, match=r"'words\.txt' in it is no array"):
        load_any(tmp_path / "params.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", b"", "pickled code is never run"),
        ("a.npz", b"PK", "not a whole NumPy file"),
        ("a.safetensors", b"123", "not a whole safetensors file"),
        ("a.bin", b"", r"a \.bin file, expected \.pt"),
    ],
)
def test_files_that_are_not_what_they_are_called(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_any(tmp_path / name)


def test_folders_that_hold_nothing_or_too_much(tmp_path):
    with pytest.raises(ExplanationError, match="only nothing found, expected one of sae_weights"):
        load_any(tmp_path)
    for name in ("ae.pt", "params.npz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ExplanationError, match=r"ae\.pt, params\.npz side by side"):
        load_any(tmp_path)


def test_a_list_in_a_pt_file_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(UnreadableFile, match="holds a list"):
        load_any(tmp_path / "a.pt")


def test_saes_and_transcoders_are_told_apart(tmp_path):
    sparsify_folder(tmp_path / "h.1")
    sparsify_folder(tmp_path / "h.2", transcode=True)
    with pytest.raises(ExplanationError, match="it holds an SAE"):
        load_transcoders(tmp_path / "h.1")
    with pytest.raises(ExplanationError, match="it holds a transcoder"):
        load_sae(tmp_path / "h.2")
