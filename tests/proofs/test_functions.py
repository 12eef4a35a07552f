"""Attention, softmax, norms and products: exact values, enclosures, proofs and refutations."""

from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.models.transformer import Transformer, TransformerConfig
from assay.proofs import InputError, Proved, Refuted, Unknown, claim, plan, verify
from assay.proofs.batch import BatchProgram
from assay.proofs.bounds import Bounds
from assay.proofs.lowering import UnsupportedError, lower
from assay.proofs.program import Free, Program
from assay.proofs.replay import exact_answers
from assay.proofs.translation import add_network
from torch import nn
from torch.nn import functional


class Made(nn.Module):
    """A function of its input and of parameters w, u."""

    def __init__(self, function, w, u=(1,)):
        super().__init__()
        self.function = function
        self.w, self.u = nn.Parameter(torch.empty(w)), nn.Parameter(torch.empty(u))

    def forward(self, x):
        return self.function(x, self.w, self.u)


class Own(nn.Module):
    """A layer that attends from the input to itself."""

    def __init__(self, weights, mask):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.weights, self.mask = weights, mask

    def forward(self, x):
        hidden = torch.ones(3, 3, dtype=torch.bool).triu(1) if self.mask else None
        return self.attention(x, x, x, need_weights=self.weights, attn_mask=hidden)[0]


class Encoder(nn.Module):
    """Embeddings of tokens and places, torch's encoder layer, and a linear map."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(5, 4), nn.Embedding(3, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
        self.out = nn.Linear(4, 5)

    def forward(self, x):
        return self.out(self.layer(self.tokens(x) + self.places(torch.arange(x.shape[1])))[:, -1])


def transformer(**changes):
    sizes = {"n_layers": 1, "d_model": 4, "n_heads": 2, "d_head": 2, "d_vocab": 5, "n_ctx": 3, "d_mlp": 4}
    return Transformer(TransformerConfig(**{"readout": "last", **sizes, **changes}))


REAL = {
    "softmax": (lambda: Made(lambda x, w, u: (x @ w).softmax(-1), (3, 3)), (3,)),
    "softmax of many": (lambda: Made(lambda x, w, u: (x @ w).softmax(-1), (3, 12)), (3,)),
    "activations": (
        lambda: nn.Sequential(
            nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 3), nn.Tanh(), nn.SiLU(), nn.GELU("tanh"), nn.ELU()
        ),
        (3,),
    ),
    "bends": (
        lambda: nn.Sequential(
            nn.Linear(3, 4),
            nn.GELU(),
            nn.Linear(4, 3),
            nn.Softplus(beta=2.0),
            nn.PReLU(3),
            nn.LogSigmoid(),
            nn.Linear(3, 3),
            nn.Mish(),
            nn.CELU(0.7),
        ),
        (3,),
    ),
    "hard bends": (
        lambda: nn.Sequential(
            nn.Linear(3, 4), nn.Hardswish(), nn.Linear(4, 6), nn.GLU(), nn.Hardsigmoid(), nn.Linear(3, 2)
        ),
        (3,),
    ),
    "log softmax": (lambda: nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(-1)), (3,)),
    "logarithms": (
        lambda: Made(
            lambda x, w, u: (
                (x * x + 1).log() + (x * x).log1p() * w + x.expm1() + x.erf() + x.logsumexp(-1, keepdim=True)
            ),
            (3,),
        ),
        (3,),
    ),
    "layer norm": (lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), (3,)),
    "rms norm": (lambda: nn.Sequential(nn.RMSNorm(4), nn.Linear(4, 2)), (4,)),
    "by hand": (
        lambda: Made(
            lambda x, w, u: (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 0.01).sqrt() * w, (3,)
        ),
        (3,),
    ),
    "powers": (lambda: Made(lambda x, w, u: x * x + x[:, :1] * 2 * w - x**3 / 7, (4,)), (4,)),
    "two inputs multiplied": (
        lambda: Made(lambda x, w, u: torch.einsum("bpd,bqd->bpq", x @ w, x), (2, 2)),
        (3, 2),
    ),
    "heads": (lambda: Made(lambda x, w, u: torch.einsum("bpd,hde->bphe", x, w), (2, 3, 2)), (2, 3)),
    "bilinear": (
        lambda: Made(lambda x, w, u: functional.bilinear(x[:, :2], x[:, 2:], w, u), (3, 2, 2), (3,)),
        (4,),
    ),
    "attention": (lambda: Own(True, False), (3, 4)),
    "fused attention": (lambda: Own(False, False), (3, 4)),
    "masked attention": (lambda: Own(False, True), (3, 4)),
    "maxima": (
        lambda: Made(lambda x, w, u: torch.minimum(x.mean(1), w).clamp(max=0.3) - x.amax(1).abs(), (4,)),
        (3, 4),
    ),
    "pools": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 1)
        ),
        (1, 3, 3),
    ),
}
TOKENS = {
    "encoder layer": Encoder,
    "one-hot": lambda: Made(lambda x, w, u: functional.one_hot(x, 5).to(w.dtype) @ w, (5, 3)),
    "a first token": lambda: Made(
        lambda x, w, u: functional.embedding(functional.pad(x, (1, 0), value=4), w).sum(1), (5, 3)
    ),
    "rows": lambda: Made(lambda x, w, u: w[x].cumsum(1).amax(1), (5, 3)),
    "plain": transformer,
    "two layers": lambda: transformer(n_layers=2, act_fn="gelu_new"),
    "modern": lambda: transformer(
        normalization="RMS", act_fn="silu", gated_mlp=True, positions="rotary", n_key_value_heads=1
    ),
    "capped": lambda: transformer(
        normalization="RMS",
        attn_softcap=5.0,
        logits_softcap=3.0,
        norm_after=True,
        window=2,
        local_layers=(0,),
    ),
    "solu": lambda: transformer(act_fn="solu_ln", positions="shortformer"),
    "no mask": lambda: transformer(normalization=None, causal=False, parallel=True, act_fn="relu2"),
}
EVERY = {**REAL, **{name: (make, (3,)) for name, make in TOKENS.items()}}


def made(name, dtype):
    make, shape = EVERY[name]
    torch.manual_seed(0)
    module = make().to(dtype).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module, shape, name in TOKENS


def data(shape, tokens, dtype, n, spread=1.0):
    generator = torch.Generator().manual_seed(1)
    if tokens:
        return torch.randint(5, (n, *shape), generator=generator)
    return spread * torch.randn(n, *shape, dtype=dtype, generator=generator)


@pytest.mark.parametrize("rounding", [False, True], ids=["real", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_the_exact_form_computes_what_torch_computes(name, rounding):
    module, shape, tokens = made(name, torch.float64)
    x = data(shape, tokens, torch.float64, 2)
    answer = exact_answers({"f": lower(module, shape, tokens=tokens, rounding=rounding)})
    with torch.no_grad():
        told = module(x).flatten(1)
    for row, values in zip(x.flatten(1).tolist(), told, strict=True):
        exact = [float(v) for v in answer("f", [Fraction(v) for v in row])]
        assert torch.allclose(torch.tensor(exact, dtype=torch.float64), values, rtol=1e-11, atol=1e-11)


def bounds_of(module, shape, tokens, rounding, low, high):
    """Bounds [boxes, outputs] of the outputs."""
    graph = lower(module, shape, tokens=tokens, rounding=rounding)
    program = Program([Free(graph.size)])
    output = add_network(program, graph, 0, rounding)
    return Bounds(BatchProgram(program), low, high).interval(output)


@pytest.mark.parametrize("name", EVERY)
def test_what_torch_computes_in_float32_lies_in_the_bounds_at_points(name):
    module, shape, tokens = made(name, torch.float32)
    x = data(shape, tokens, torch.float32, 16, 2.0)
    flat = x.flatten(1).double()
    low, high = bounds_of(module, shape, tokens, True, flat, flat)
    with torch.no_grad():
        alone = torch.cat([module(each[None]) for each in x])
        for answers in (module(x), alone):
            told = answers.flatten(1).double()
            assert (low <= told).all()
            assert (told <= high).all()
    assert (high - low).max() < 0.05


@pytest.mark.parametrize("rounding", [False, True], ids=["real", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_every_point_of_a_box_lies_in_its_bounds(name, rounding):
    module, shape, tokens = made(name, torch.float32 if rounding else torch.float64)
    generator = torch.Generator().manual_seed(2)
    centres = data(shape, tokens, torch.float64, 4).flatten(1).double()
    wide = 1.0 if tokens else 0.05
    low, high = centres - wide * torch.rand(centres.shape, generator=generator), centres + wide
    if tokens:
        low, high = low.round().clamp(min=0), high.clamp(max=4)
    bottom, top = bounds_of(module, shape, tokens, rounding, low, high)
    for _ in range(30):
        x = low + (high - low) * torch.rand(low.shape, generator=generator, dtype=torch.float64)
        x = x.round().long() if tokens else x.to(next(module.parameters()).dtype)
        x = torch.minimum(torch.maximum(x.to(low.dtype), low), high).to(x.dtype)
        with torch.no_grad():
            told = module(x.reshape(-1, *shape)).flatten(1).double()
        slack = 1e-6 if rounding and not tokens else 1e-12  # float32 inputs may round out of the box
        assert (bottom - slack <= told).all()
        assert (told <= top + slack).all()


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (Made(lambda x, w, u: x.sin(), (2,)), "sin"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), "statistics"),
        (Made(lambda x, w, u: x if (x > w).all() else -x, (2,)), "mixes"),
        (Made(lambda x, w, u: x[:, x.argmax(1)], (2,)), "places"),
        (Made(lambda x, w, u: x - x.mean(0), (2,)), "mixes"),
    ],
)
def test_what_has_no_exact_form_is_told(module, told):
    with pytest.raises(UnsupportedError, match=told):
        lower(module, (2,))


def test_only_tokens_of_the_input_are_looked_up():
    with pytest.raises(UnsupportedError, match="computed are looked up"):
        lower(Made(lambda x, w, u: w[x + 1], (5, 2)), (2,), tokens=True)


@pytest.fixture(scope="module")
def largest_of_two():
    """A transformer by hand: the head looks at the larger token, and copies it."""
    module = Transformer(
        TransformerConfig(
            n_layers=1, d_model=4, n_heads=1, d_head=1, d_vocab=4, n_ctx=2, normalization=None,
            attn_only=True, biases=False, readout="last", causal=False,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.embed.W_E.copy_(torch.eye(4))
        attention = module.blocks[0].attn
        attention.W_Q.fill_(1.0)
        attention.W_K[0, :, 0] = 4.0 * torch.arange(4)
        module.unembed.W_U.copy_(torch.eye(4))
        attention.W_V = nn.Parameter(torch.eye(4)[None] * 8)
        attention.W_O = nn.Parameter(torch.eye(4)[None])
    return Network("largest", module, "categorical", "token", (2,), vocabulary=4)


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_a_transformer_is_proved_and_refuted(largest_of_two, semantics, tmp_path):
    scope = {"x[0..1]": "token 0..3"}
    asked = [
        claim("argmax(f(x)) == max(x)", scope, semantics=semantics),
        claim("argmax(f(x)) == x[0]", scope, semantics=semantics),
    ]
    right, wrong = verify(asked, networks={"f": largest_of_two}, certificates=tmp_path, budget_s=60)
    assert isinstance(right.verdict, Proved)
    assert right.verdict.trusted == ()
    assert right.lengths.list_inputs == 16
    assert isinstance(wrong.verdict, Refuted)
    assert wrong.verdict.certificate is not None
    x = torch.tensor([[int(wrong.verdict.witness.inputs[f"x[{k}]"]) for k in (0, 1)]])
    assert largest_of_two(x).argmax() != x[0, 0]


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_a_norm_is_bounded_on_a_box(semantics):
    """Of four numbers the largest normalised one is at most √3."""
    network = Network("norm", nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4)), "regression", "real", (2,))
    with torch.no_grad():
        network.module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.5]]))
        network.module[0].bias.copy_(torch.tensor([1.0, 0.0, 2.0, -4.0]))
    scope = {"x[0..1]": "real -1/4..1/4"}
    (within,) = verify([claim("max(f(x)) <= 2", scope, semantics=semantics)], networks={"f": network})
    assert within.status == "proved"
    assert within.verdict.trusted == ()
    (beyond,) = verify([claim("max(f(x)) <= 0.9", scope, semantics=semantics)], networks={"f": network})
    assert beyond.status == "refuted"
    assert beyond.verdict.certificate is not None


def test_a_product_of_two_inputs():
    network = Network(
        "product", Made(lambda x, w, u: x[:, :1] * x[:, 1:] * w, (1,)), "regression", "real", (2,)
    )
    network.module.w.data.fill_(1.0)
    scope = {"x[0..1]": "real -1..1"}
    (within,) = verify([claim("abs(f(x)[0]) <= 1.01", scope)], networks={"f": network})
    assert within.status == "proved"
    assert within.verdict.trusted == ()
    (apart,) = verify([claim("f(x)[0] <= 0.5", scope)], networks={"f": network})
    assert apart.status == "refuted"
    (square,) = verify([claim("f(x)[0] >= 0", scope, given="x[0] == x[1]")], networks={"f": network})
    assert isinstance(square.verdict, Proved | Unknown)


def test_tokens_without_a_row_are_told(largest_of_two):
    for domain, told in (("token 0..4", "table of 4"), ("integer -1..3", "-1..3"), ("real 0..3", "no whole")):
        with pytest.raises(InputError, match=told):
            verify([claim("f(x)[0] <= 9", {"x[0..1]": domain})], networks={"f": largest_of_two})


def test_what_is_not_defined_is_neither_proved_nor_a_crash():
    network = Network("root", Made(lambda x, w, u: x.sqrt() + 1 / x, (1,)), "regression", "integer", (1,))
    for show in ("f(x)[0] >= -1", "f(x)[0] <= -1"):
        (outcome,) = verify([claim(show, {"x": "integer -2..2"})], networks={"f": network}, budget_s=5)
        assert outcome.status != "proved" or outcome.verdict.trusted
    (outcome,) = verify([claim("f(x)[0] >= 1", {"x": "integer 1..4"})], networks={"f": network}, budget_s=5)
    assert outcome.status == "proved"
    assert outcome.verdict.trusted == ()


def test_scopes_too_large_for_points_are_run_in_torch(largest_of_two):
    scope = {"x[0..1]": "token 0..3", "y": "integer 0..9999"}
    asked = claim("argmax(f(x)) == max(x) or y < 0", scope)
    (steps,) = [[step.stage for step in each.steps] for each in plan([asked], networks={"f": largest_of_two})]
    assert steps[-1] == "enumeration"
    (outcome,) = verify([asked], networks={"f": largest_of_two}, budget_s=10)
    assert outcome.status == "proved"
