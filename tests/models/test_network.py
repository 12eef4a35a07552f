import hashlib

import pytest
import torch
from assay.models import InputError, Network, Superposition, SuperpositionConfig, UnknownSite, perceptron
from torch import nn


def small_mlp(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network("mlp", perceptron([3, 4, 2]), "regression", "real", (3,))


def test_the_digest_is_the_hash_of_the_sorted_state_dict():
    network = small_mlp()
    sha = hashlib.sha256()
    for name in ("layers.0.bias", "layers.0.weight", "layers.2.bias", "layers.2.weight"):
        tensor = network.module.state_dict()[name]
        sha.update(f"{name}\0torch.float32\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.numpy().tobytes())
    assert network.digest == sha.hexdigest()


def test_equal_weights_have_equal_digests_and_a_changed_bit_changes_it():
    network, twin = small_mlp(), small_mlp()
    bias = network.parameters()["layers.0.bias"].clone()
    bias[0] = torch.nextafter(bias[0], torch.tensor(9.0))
    assert network.digest == twin.digest
    assert network.with_weights({"layers.0.bias": bias}).digest != network.digest


def test_the_network_is_frozen():
    network = small_mlp()
    assert not network.module.training
    assert not any(p.requires_grad for p in network.module.parameters())


def test_sites_name_hook_points_as_transformer_lens_does(transformer):
    sites = transformer.sites()
    assert len(set(sites)) == len(sites)
    for site in ("hook_embed", "hook_pos_embed", "ln_final.hook_normalized", "unembed"):
        assert site in sites
    for site in ("hook_resid_pre", "attn.hook_q", "attn.hook_pattern", "attn.hook_z", "hook_attn_out"):
        assert f"blocks.1.{site}" in sites
    for site in ("hook_resid_mid", "mlp.hook_pre", "mlp.hook_post", "hook_mlp_out", "hook_resid_post"):
        assert f"blocks.0.{site}" in sites


def test_every_site_can_be_read(transformer, tokens):
    outputs, captured = transformer.run(tokens.inputs, transformer.sites())
    assert set(captured) == set(transformer.sites())
    assert torch.equal(outputs, transformer(tokens.inputs))
    assert captured["blocks.0.attn.hook_pattern"].shape == (77, 2, 12, 12)
    assert captured["blocks.0.attn.hook_z"].shape == (77, 12, 2, 8)


def test_plain_module_paths_are_sites():
    network = small_mlp()
    x = torch.randn(5, 3)
    _, captured = network.run(x, ["layers.0", "layers.1"])
    assert torch.equal(captured["layers.1"], captured["layers.0"].relu())
    assert network.sites() == ("layers", "layers.0", "layers.1", "layers.2")


def test_an_unknown_site_is_answered_with_near_names(transformer, tokens):
    with pytest.raises(UnknownSite, match=r"'blocks.0.hook_resid_pst'.*blocks.0.hook_resid_post"):
        transformer.run(tokens.inputs, ["blocks.0.hook_resid_pst"])
    with pytest.raises(UnknownSite):
        transformer.patched(tokens.inputs, {"nowhere": torch.zeros_like})
    with pytest.raises(UnknownSite):
        transformer.substitute({"nowhere": nn.Identity()})
    with pytest.raises(UnknownSite):
        transformer.run(tokens.inputs, [""])


def test_patching_replaces_an_activation_and_leaves_no_trace(transformer, tokens):
    before = transformer(tokens.inputs)
    outputs, captured = transformer.run(
        tokens.inputs, ["blocks.1.hook_resid_post"], patches={"blocks.1.hook_resid_post": torch.zeros_like}
    )
    assert not captured["blocks.1.hook_resid_post"].any()
    assert torch.equal(outputs, outputs[:1, :1].expand_as(outputs))
    assert torch.equal(transformer(tokens.inputs), before)


def test_a_patch_that_changes_nothing_changes_nothing(transformer, tokens):
    for site in transformer.sites():
        assert torch.equal(
            transformer.patched(tokens.inputs, {site: lambda a: a}), transformer(tokens.inputs)
        ), site


def test_a_failing_patch_leaves_no_hook_behind(transformer, tokens):
    def fail(_):
        raise ArithmeticError

    before = transformer(tokens.inputs)
    with pytest.raises(ArithmeticError):
        transformer.patched(tokens.inputs, {"blocks.0.hook_resid_post": fail})
    assert torch.equal(transformer(tokens.inputs), before)


def test_gradients_reach_an_activation(transformer, tokens):
    leaf = {}

    def ask(activation):
        leaf["a"] = activation.detach().requires_grad_()
        return leaf["a"]

    transformer.patched(tokens.inputs, {"blocks.0.hook_resid_post": ask}).square().sum().backward()
    assert leaf["a"].grad.abs().sum() > 0


def test_with_weights_copies():
    network = small_mlp()
    changed = network.with_weights({"layers.2.bias": torch.tensor([5.0, 6.0])})
    assert changed.parameters()["layers.2.bias"].tolist() == [5.0, 6.0]
    assert network.parameters()["layers.2.bias"].tolist() != [5.0, 6.0]
    with pytest.raises(InputError, match=r"layers.2.bias.*got shape \(3,\), expected \(2,\)"):
        network.with_weights({"layers.2.bias": torch.zeros(3)})
    with pytest.raises(InputError, match=r"layers\.2\.bais"):
        network.with_weights({"layers.2.bais": torch.zeros(2)})


def test_substitute_swaps_a_module_in_a_copy():
    network = small_mlp()
    x = torch.randn(5, 3)
    without = network.substitute({"layers.1": nn.Identity()})
    W, b, V, c = network.parameters().values()
    assert torch.allclose(without(x), (x @ W.T + b) @ V.T + c)
    assert torch.allclose(network(x), (x @ W.T + b).relu() @ V.T + c)


def test_tied_parameters_are_listed_once():
    network = Network("tied", Superposition(SuperpositionConfig(5, 2)), "regression", "real", (5,))
    assert {n: tuple(p.shape) for n, p in network.parameters().items()} == {"W": (2, 5), "b": (5,)}
    module = perceptron([3, 3, 3])
    module.layers[2].weight = module.layers[0].weight
    tied = Network("tied", module, "regression", "real", (3,))
    assert list(tied.parameters()) == ["layers.0.weight", "layers.0.bias", "layers.2.bias"]


def test_to_changes_the_type_in_a_copy():
    network = small_mlp()
    double = network.to(dtype=torch.float64)
    assert double(torch.zeros(1, 3)).dtype == torch.float64
    assert network.dtype == torch.float32
    assert network.to("cpu") is network


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 4), r"shape \(2, 4\), expected \[n, 3\]"),
        (torch.zeros(3), r"expected \[n, 3\]"),
        (torch.tensor(1.0), r"expected \[n, 3\]"),
    ],
)
def test_inputs_of_a_wrong_shape_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        small_mlp()(bad)


def test_inputs_out_of_range_are_refused(transformer):
    transformer.check(torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(InputError, match=r"0..50, expected tokens in 0..49"):
        transformer.check(torch.tensor([[0, 50]]))
    with pytest.raises(InputError, match="whole numbers"):
        transformer.check(torch.tensor([[0.5, 1.0]]))
    with pytest.raises(InputError, match=r"not finite, first at index \[1, 2\]"):
        small_mlp().check(torch.tensor([[0.0, 0, 0], [0, 0, torch.nan]]))
    bits = Network("bits", perceptron([3, 2]), "categorical", "bit", (3,))
    with pytest.raises(InputError, match=r"-1..1, expected bits in 0..1"):
        bits.check(torch.tensor([[0, 1, -1]]))


def test_a_token_network_needs_its_vocabulary():
    with pytest.raises(InputError, match="vocabulary"):
        Network("t", perceptron([3, 2]), "categorical", "token", (3,))


def test_unknown_kinds_of_network_are_refused():
    with pytest.raises(InputError, match="output is 'logits', expected one of regression, categorical"):
        Network("t", perceptron([3, 2]), "logits", "real", (3,))
    with pytest.raises(InputError, match="input is 'image'"):
        Network("t", perceptron([3, 2]), "regression", "image", (3,))


def test_a_site_that_gives_no_tensor_is_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.LSTM(3, 3, batch_first=True)

        def forward(self, x):
            return self.part(x[:, None])[0][:, 0]

    network = Network("lstm", Two(), "regression", "real", (3,))
    with pytest.raises(InputError, match="site 'part' gives a tuple"):
        network.run(torch.zeros(1, 3), ["part"])
