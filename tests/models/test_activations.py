import numpy as np
import pytest
import torch
from assay.models import (
    Activations,
    Dataset,
    InputError,
    Network,
    NotFinite,
    Scope,
    UnknownSite,
    UnreadableFile,
    best_device,
    collect,
    micro_batch_size,
    perceptron,
    stream,
)
from assay.models import activations as module

SITE = "blocks.1.mlp.hook_post"


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000, "auto"])
def test_activations_are_the_same_bits_whatever_the_batch_size(transformer, tokens, batch_size):
    reference = collect(transformer, tokens, SITE, device="cpu", batch_size=77, micro_batch=8)
    found = collect(transformer, tokens, SITE, device="cpu", batch_size=batch_size, micro_batch=8)
    assert torch.equal(found.values, reference.values)
    assert found.values.dtype == torch.float32


@pytest.mark.parametrize("batch_size", [1, 33, "auto"])
def test_outputs_are_the_same_bits_too(transformer, tokens, batch_size):
    def outputs(size):
        return torch.cat([b.outputs for b in stream(transformer, tokens, (), "cpu", size, micro_batch=8)])

    assert torch.equal(outputs(batch_size), outputs(77))


def test_a_part_of_the_data_gives_the_same_rows(transformer, tokens):
    whole = collect(transformer, tokens, SITE, device="cpu")
    part = collect(transformer, tokens.take(50), SITE, device="cpu")
    assert torch.equal(whole.values[: 50 * 12], part.values)


def test_collected_rows_are_what_a_plain_run_captures(transformer, tokens):
    found = collect(transformer, tokens, SITE, device="cpu")
    _, captured = transformer.run(tokens.inputs, [SITE])
    assert found.positions == 12
    assert torch.allclose(found.values.view(77, 12, 32), captured[SITE], atol=1e-6)
    assert found.network == transformer.digest
    assert found.dataset == tokens.fingerprint


def test_rows_follow_positions_where_a_site_has_them(transformer, tokens):
    heads = collect(transformer, tokens, "blocks.0.attn.hook_z", device="cpu")
    pattern = collect(transformer, tokens, "blocks.0.attn.hook_pattern", device="cpu")
    assert (heads.values.shape, heads.positions) == ((77 * 12, 16), 12)
    assert (pattern.values.shape, pattern.positions) == ((77, 2 * 12 * 12), 1)


def test_batches_cover_the_data_in_order(transformer, tokens):
    batches = list(stream(transformer, tokens, [SITE, "hook_embed"], "cpu", batch_size=16, micro_batch=8))
    assert [b.start for b in batches] == [0, 16, 32, 48, 64]
    assert torch.equal(torch.cat([b.inputs for b in batches]), tokens.inputs)
    assert set(batches[0].sites) == {SITE, "hook_embed"}


def test_running_out_of_memory_halves_the_batch_and_goes_on(transformer, tokens, monkeypatch):
    sizes, run = [], module._run

    def cramped(network, dataset, sites, start, size, micro):
        sizes.append(size)
        if size > 16:
            raise torch.OutOfMemoryError("no more")
        return run(network, dataset, sites, start, size, micro)

    reference = collect(transformer, tokens, SITE, device="cpu", micro_batch=8).values
    monkeypatch.setattr(module, "_run", cramped)
    assert torch.equal(collect(transformer, tokens, SITE, device="cpu", micro_batch=8).values, reference)
    assert sizes[0] > 16
    assert sizes[-1] == 16
    with pytest.raises(torch.OutOfMemoryError):
        collect(transformer, tokens, SITE, device="cpu", batch_size=64, micro_batch=8)


def test_the_micro_batch_depends_on_the_shape_of_a_datum_alone(transformer, tokens):
    assert (
        micro_batch_size(transformer, tokens) == micro_batch_size(transformer, tokens.take(1)) == 4096 // 12
    )


def test_numbers_that_are_none_are_reported_with_their_place():
    network = Network("blow-up", perceptron([2, 2]), "regression", "real", (2,))
    network = network.with_weights({"layers.0.weight": torch.tensor([[1e38, 0], [0, 1]])})
    data = Dataset("d", torch.tensor([[0.0, 0], [1e9, 0], [2e9, 0]]), None, "sample", Scope("", ""))
    with pytest.raises(NotFinite, match=r"'layers.0', data 0..2: 2 of 6 values.*first at \[1, 0\]"):
        collect(network, data, "layers.0", device="cpu")


def test_unknown_sites_and_empty_data_are_refused(transformer, tokens):
    with pytest.raises(UnknownSite, match="hook_resid_post"):
        collect(transformer, tokens, "blocks.0.hook_resid", device="cpu")
    with pytest.raises(InputError, match="empty"):
        collect(transformer, tokens.take(0), SITE, device="cpu")


def test_devices_are_named_or_refused():
    assert best_device("cpu") == torch.device("cpu")
    assert best_device().type in ("cpu", "cuda")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        best_device("gpu")
    with pytest.raises(InputError, match="not here"):
        best_device("cuda:99")


def test_activations_come_back_from_their_file(transformer, tokens, tmp_path):
    found = collect(transformer, tokens, SITE, device="cpu")
    found.save(tmp_path / "a.safetensors")
    back = Activations.load(tmp_path / "a.safetensors")
    assert torch.equal(back.values, found.values)
    assert (back.site, back.network, back.dataset, back.positions) == (
        SITE,
        transformer.digest,
        tokens.fingerprint,
        12,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_plain_arrays_are_activations(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", values=values)
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", header="a,b,c,d", comments="")
    np.save(tmp_path / "three.npy", values.reshape(2, 3, 4))
    for name in ("a.npy", "a.npz", "three.npy"):
        assert np.array_equal(Activations.load(tmp_path / name).values.numpy(), values)
    assert np.allclose(Activations.load(tmp_path / "a.csv").values.numpy(), values)
    assert Activations.load(tmp_path / "three.npy").positions == 3


def test_a_parquet_table_is_activations(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd

    pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}).to_parquet(tmp_path / "a.parquet")
    assert Activations.load(tmp_path / "a.parquet").values.tolist() == [[1, 3], [2, 4]]


def test_bad_activation_files_are_refused(tmp_path):
    np.save(tmp_path / "nan.npy", np.array([[0, 1], [np.nan, np.inf]]))
    with pytest.raises(NotFinite, match=r"2 of 4 values are NaN or infinite, first at \[1, 0\]"):
        Activations.load(tmp_path / "nan.npy")
    np.save(tmp_path / "flat.npy", np.zeros(3))
    with pytest.raises(UnreadableFile, match=r"shape \(3,\), expected \[n, d\]"):
        Activations.load(tmp_path / "flat.npy")
    np.save(tmp_path / "code.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(UnreadableFile, match="plain numbers"):
        Activations.load(tmp_path / "code.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(UnreadableFile, match="holds a, b"):
        Activations.load(tmp_path / "two.npz")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:-5])
    with pytest.raises(UnreadableFile):
        Activations.load(tmp_path / "cut.npy")
    with pytest.raises(UnreadableFile, match="no such file"):
        Activations.load(tmp_path / "absent.safetensors")
    with pytest.raises(UnreadableFile, match="unknown kind of data"):
        Activations.load(tmp_path / "a.xyz")


def test_a_file_of_ours_with_a_bad_description_is_refused(tmp_path):
    from safetensors.torch import save_file

    for tensors, about in (({"v": 0}, "{}"), ({"values": 0}, "{"), ({"values": 0}, '{"place": 1}')):
        arrays = {name: torch.zeros(2, 2) for name in tensors}
        save_file(arrays, tmp_path / "a.safetensors", {"assay.activations/1": about})
        with pytest.raises(UnreadableFile, match="description of the activations"):
            Activations.load(tmp_path / "a.safetensors")


def test_wrong_types_are_refused():
    with pytest.raises(InputError, match=r"got torch.float64 of shape \(2, 2\)"):
        Activations(torch.zeros(2, 2, dtype=torch.float64), "s", "", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_gives_the_same_bits_for_every_batch_size(transformer, tokens):
    found = [
        collect(transformer, tokens, SITE, "cuda", size, micro_batch=8).values for size in (1, 24, "auto")
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert torch.allclose(found[0], collect(transformer, tokens, SITE, "cpu").values, atol=1e-4)
