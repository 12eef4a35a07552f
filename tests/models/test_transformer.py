"""The transformer against the same mathematics written out with loops over heads and positions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from assay.models import Transformer, TransformerConfig
from torch.nn import functional as F

CONFIG = TransformerConfig(n_layers=2, d_model=12, n_heads=3, d_head=5, d_vocab=20, n_ctx=7, d_mlp=9)


def random_transformer(config, seed=0):
    module = Transformer(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return module.double().eval().requires_grad_(False)


def layer_norm(x, w, b, eps):
    centred = x - x.mean()
    y = centred / math.sqrt((centred**2).mean() + eps)
    return y if w is None else y * w + b


def reference(module, tokens):
    """Logits [p, d_vocab_out] of one sequence."""
    c = module.config
    P = {n: p.numpy() for n, p in module.named_parameters()}
    x = P["embed.W_E"][tokens] + P["pos_embed.W_pos"][: len(tokens)]

    def norm(name, rows):
        if c.normalization is None:
            return rows
        return np.stack([layer_norm(r, P.get(f"{name}.w"), P.get(f"{name}.b"), c.eps) for r in rows])

    for i in range(c.n_layers):
        B = f"blocks.{i}."
        rows, wrote = norm(B + "ln1", x), np.zeros_like(x)
        for h in range(c.n_heads):
            q, k, v = (
                rows @ P[f"{B}attn.W_{s}"][h] + (P[f"{B}attn.b_{s}"][h] if c.biases else 0) for s in "QKV"
            )
            for here in range(len(tokens)):
                seen = here + 1 if c.causal else len(tokens)
                weights = np.exp([q[here] @ k[j] / math.sqrt(c.d_head) for j in range(seen)])
                z = sum(w * v[j] for j, w in enumerate(weights / weights.sum()))
                wrote[here] += z @ P[f"{B}attn.W_O"][h]
        x = x + wrote + (P[f"{B}attn.b_O"] if c.biases else 0)
        if not c.attn_only:
            pre = norm(B + "ln2", x) @ P[f"{B}mlp.W_in"] + (P[f"{B}mlp.b_in"] if c.biases else 0)
            post = ACT[c.act_fn](torch.tensor(pre)).numpy()
            x = x + post @ P[f"{B}mlp.W_out"] + (P[f"{B}mlp.b_out"] if c.biases else 0)
    logits = norm("ln_final", x) @ P["unembed.W_U"] + (P["unembed.b_U"] if c.biases else 0)
    return logits if c.readout == "all" else logits[-1]


ACT = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"normalization": None, "attn_only": True, "biases": False, "readout": "last"},
        {"normalization": "LNPre", "act_fn": "gelu"},
        {"causal": False, "d_vocab_out": 4},
        {"n_layers": 1, "biases": False, "act_fn": "silu"},
    ],
)
def test_it_computes_what_the_formulas_say(change):
    module = random_transformer(replace(CONFIG, **change))
    tokens = torch.randint(20, (4, 6), generator=torch.Generator().manual_seed(3))
    expected = np.stack([reference(module, row.numpy()) for row in tokens])
    assert np.allclose(module(tokens).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"positions": "rotary", "n_key_value_heads": 1, "d_head": 4, "attn_scale": 3.0, "qk_norm": True},
        {"local_layers": (1,), "window": 2, "attn_softcap": 4.0, "normalization": "RMS", "gated_mlp": True},
        {"positions": "shortformer", "parallel": True, "attn_scale_by_layer": True, "causal": False},
    ],
)
def test_fused_training_kernels_compute_the_same(change):
    module = random_transformer(replace(CONFIG, **change))
    tokens = torch.randint(20, (4, 7), generator=torch.Generator().manual_seed(3))
    plain = module(tokens)
    module.fuse(True)
    assert torch.allclose(module(tokens), plain, atol=1e-10)
    module.fuse(False)
    assert torch.equal(module(tokens), plain)


def test_a_causal_network_never_looks_ahead():
    module = random_transformer(CONFIG)
    tokens = torch.randint(20, (1, 7), generator=torch.Generator().manual_seed(3))
    changed = tokens.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 20
    difference = (module(tokens) - module(changed)).abs().amax(-1)[0]
    assert torch.equal(difference[:4], torch.zeros(4, dtype=torch.double))
    assert bool((difference[4:] > 0).all())


def test_parameters_have_transformer_lens_names_and_shapes():
    shapes = {name: tuple(p.shape) for name, p in Transformer(CONFIG).named_parameters()}
    assert shapes["embed.W_E"] == (20, 12)
    assert shapes["pos_embed.W_pos"] == (7, 12)
    assert shapes["blocks.0.ln1.w"] == shapes["blocks.0.attn.b_O"] == (12,)
    assert shapes["blocks.1.attn.W_Q"] == (3, 12, 5)
    assert shapes["blocks.1.attn.W_O"] == (3, 5, 12)
    assert shapes["blocks.1.attn.b_V"] == (3, 5)
    assert shapes["blocks.1.mlp.W_in"] == (12, 9)
    assert shapes["blocks.1.mlp.b_out"] == (12,)
    assert shapes["unembed.W_U"] == (12, 20)


def test_impossible_configurations_are_refused():
    with pytest.raises(ValueError, match="act_fn is 'tanh'"):
        replace(CONFIG, act_fn="tanh")
    with pytest.raises(ValueError, match="d_mlp is 0"):
        replace(CONFIG, d_mlp=0)
    with pytest.raises(ValueError, match=r"n_key_value_heads is 2, .*; rotary_dim is 5, .*; window is 0"):
        replace(CONFIG, n_key_value_heads=2, positions="rotary", local_layers=(0,))
