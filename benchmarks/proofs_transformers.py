"""Networks beyond ReLU: transformers on finite scopes, norms and products on boxes, gated recurrence.

    python benchmarks/proofs_transformers.py [NAME…]

Each model is trained here, from a fixed seed, in seconds; each claim is judged on its own, with 300 s of wall
time. Seconds are CPU seconds: of all that `verify` does, and of a second, independent run of the stand-alone
checker. Where inputs are whole numbers, the list is their number in the scope. Refutations name the witness,
which torch replayed.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from assay.models import Network
from assay.models.transformer import Transformer, TransformerConfig
from assay.proofs import Claim, Outcome, Refuted, check, claim, verify
from torch import Tensor, nn
from torch.nn import functional

BUDGET_S = 300.0
RESULT = Path(__file__).parent / "results" / "proofs_transformers.txt"
HEAD = (
    f"{'model':<34}{'arithmetic':<12}{'verdict':<10}{'all s':>8}{'check s':>9}{'bits':>9}{'list':>7}  claim"
)
Case = tuple[str, Network, list[Claim]]


def sequences(v: int, n: int) -> Tensor:
    """All sequences [v**n, n] of n tokens below v."""
    return torch.tensor(list(itertools.product(range(v), repeat=n)))


def trained(module: nn.Module, x: Tensor, labels: Tensor, steps: int, rate: float = 0.01) -> nn.Module:
    """Minimise the cross-entropy on all data at every step."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(module(x), labels).backward()
        optimiser.step()
        schedule.step()
    return module.eval()


def transformer(n: int, v: int, classes: int, **settings: object) -> Transformer:
    """A small transformer that answers at its last position."""
    sizes: dict[str, object] = {"n_layers": 1, "n_heads": 1, "d_model": 8, "d_head": 8, "d_mlp": 16}
    config = TransformerConfig(
        d_vocab=v,
        n_ctx=n,
        d_vocab_out=classes,
        readout="last",
        **(sizes | settings),  # type: ignore[arg-type]
    )
    module = Transformer(config)
    module.initialise(0.3, torch.Generator().manual_seed(0))
    return module


def tokens(n: int, v: int) -> dict[str, str]:
    """The scope of n tokens below v."""
    return {f"x[0..{n - 1}]": f"token 0..{v - 1}"}


def everywhere(show: str, n: int, v: int) -> list[Claim]:
    """A statement about all sequences, in both arithmetics."""
    return [claim(show, tokens(n, v), semantics=semantics) for semantics in ("real", "float32")]


def largest(k: int, v: int) -> Case:
    """Attention alone finds the largest of k tokens (Gross et al. 2024)."""
    x = sequences(v, k)
    module = transformer(k, v, v, normalization=None, attn_only=True, biases=False)
    trained(module, x, x.amax(1), 600)
    network = Network("largest", module, "categorical", "token", (k,), vocabulary=v)
    wrong = claim("argmax(f(x)) == x[0]", tokens(k, v))
    return f"largest of {k} tokens below {v}", network, [*everywhere("argmax(f(x)) == max(x)", k, v), wrong]


def total(n: int, v: int) -> Case:
    """Attention averages, an MLP reads the sum off."""
    x = sequences(v, n)
    module = trained(transformer(n, v, n * (v - 1) + 1, normalization=None), x, x.sum(1), 1500)
    network = Network("total", module, "categorical", "token", (n,), vocabulary=v)
    return f"sum of {n} tokens below {v}", network, everywhere("argmax(f(x)) == sum(x)", n, v)


def brackets(n: int) -> Case:
    """Whether brackets (0 opens, 1 closes) are balanced; with layer norm and two layers."""
    x = sequences(2, n)
    depth = (1 - 2 * x).cumsum(1)
    balanced = ((depth >= 0).all(1) & (depth[:, -1] == 0)).long()
    module = trained(transformer(n, 2, 2, n_layers=2, normalization="LN"), x, balanced, 1500, 0.003)
    network = Network("brackets", module, "categorical", "token", (n,), vocabulary=2)
    prefixes = [f"{' + '.join(f'x[{i}]' for i in range(k))} <= {k // 2}" for k in range(1, n)]
    told = " and ".join([*prefixes, f"sum(x) == {n // 2}"])
    claims = everywhere(f"(argmax(f(x)) == 1) == ({told})", n, 2)
    short = claim("argmax(f(x)) == 0 or sum(x) != 4", tokens(n, 2))
    return f"{n} brackets, 2 layers, LayerNorm", network, [*claims, short]


class Encoder(nn.Module):
    """torch's own encoder layer between embeddings and a linear map."""

    def __init__(self, n: int, v: int, classes: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(v, 8), nn.Embedding(n, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of x [b, n]."""
        y: Tensor = self.out(self.layer(self.tokens(x) + self.places(torch.arange(x.shape[1]))).mean(1))
        return y


def equal_pair(n: int, v: int) -> Case:
    """Whether two neighbours are equal."""
    x = sequences(v, n)
    labels = (x[:, 1:] == x[:, :-1]).any(1).long()
    torch.manual_seed(0)
    module = trained(Encoder(n, v, 2), x, labels, 600)
    network = Network("pair", module, "categorical", "token", (n,), vocabulary=v)
    told = " or ".join(f"x[{i}] == x[{i + 1}]" for i in range(n - 1))
    return "equal neighbours, torch's encoder", network, everywhere(f"(argmax(f(x)) == 1) == ({told})", n, v)


def majority(n: int) -> Case:
    """An LSTM that tells whether most bits are ones."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(1, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            states, _ = self.lstm(x.unsqueeze(-1))
            y: Tensor = self.out(states[:, -1])
            return y

    x = sequences(2, n)
    torch.manual_seed(0)
    module = trained(Last(), x.float(), (2 * x.sum(1) > n).long(), 300, 0.02)
    network = Network("majority", module, "categorical", "bit", (n,))
    scope = {f"x[0..{n - 1}]": "bit"}
    shown = f"(argmax(f(x)) == 1) == (2 * sum(x) > {n})"
    return (
        f"majority of {n} bits, LSTM",
        network,
        [claim(shown, scope, semantics=s) for s in ("real", "float32")],
    )


def block() -> Case:
    """A transformer's MLP block on a box: residual stream, layer norm, GELU."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)
            self.act = nn.GELU("tanh")

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = x + self.down(self.act(self.up(self.norm(x))))
            return y

    torch.manual_seed(0)
    network = Network("block", Block().eval(), "regression", "real", (4,))
    scope = {"a": "real 1..1.25", "b": "real -1..-0.75", "c": "real 0..0.25", "d": "real 2..2.25"}
    asked = [claim("argmax(f(a, b, c, d)) == 3", scope, semantics=s) for s in ("real", "float32")]
    return "LayerNorm and GELU on a box", network, [*asked, claim("f(a, b, c, d)[0] >= 1.2", scope)]


def products() -> Case:
    """A bilinear layer (Pearce et al. 2024): x_i W_kij y_j."""
    torch.manual_seed(0)

    class Bilinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Bilinear(2, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layer(x[:, :2], x[:, 2:])
            return y

    network = Network("bilinear", Bilinear().eval(), "regression", "real", (4,))
    scope = {"x[0..3]": "real -1..1"}
    return "bilinear layer on a box", network, [
        *(claim("abs(f(x)[0]) <= 3", scope, semantics=s) for s in ("real", "float32")),
        claim("f(x)[0] <= f(x)[1] + 1", scope),
    ]  # fmt: skip


CASES: dict[str, Callable[[], Case]] = {
    "max-of-3": lambda: largest(3, 5),
    "max-of-3, v = 10": lambda: largest(3, 10),
    "sum": lambda: total(5, 3),
    "brackets": lambda: brackets(8),
    "encoder": lambda: equal_pair(4, 4),
    "lstm": lambda: majority(7),
    "block": block,
    "bilinear": products,
}


def seconds() -> float:
    """CPU seconds of this process and its children."""
    return sum(os.times()[:4])


def lines(case: Case) -> Iterator[str]:
    """One line for each claim."""
    name, network, claims = case
    for asked in claims:
        with tempfile.TemporaryDirectory() as folder:
            before = seconds()
            (outcome,) = verify(
                [asked], networks={"f": network}, budget_s=BUDGET_S, certificates=Path(folder), recall=False
            )
            spent = seconds() - before
            yield line(name, asked, outcome, spent, checked(outcome))


def checked(outcome: Outcome) -> float | None:
    """CPU seconds of the stand-alone checker on the certificate; None without one."""
    certificate = getattr(outcome.verdict, "certificate", None)
    if certificate is None:
        return None
    before = seconds()
    command = [sys.executable, "-I", check.__file__, str(certificate.path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return seconds() - before


def line(name: str, asked: Claim, outcome: Outcome, spent: float, check_s: float | None) -> str:
    """What came of one claim."""
    told = asked.show_text if len(asked.show_text) <= 60 else f"{asked.show_text[:57]}…"
    if isinstance(outcome.verdict, Refuted):
        told += f"; not at {', '.join(str(float(v)) for v in outcome.verdict.witness.inputs.values())}"
    bits = getattr(getattr(outcome.verdict, "certificate", None), "bits", None)
    size, alone = "-" if bits is None else f"{bits}", "-" if check_s is None else f"{check_s:.1f}"
    if getattr(outcome.verdict, "trusted", ()):
        told += "; no certificate, run in torch"
    inputs = outcome.lengths.list_inputs
    listed = "-" if inputs is None else f"{inputs}"
    figures = f"{spent:>8.1f}{alone:>9}{size:>9}{listed:>7}"
    return f"{name:<34}{asked.semantics:<12}{outcome.status:<10}{figures}  {told}"


def main(chosen: list[str]) -> None:
    """Print the lines, and write them where all cases were run."""
    torch.set_num_threads(1)
    table = [HEAD]
    print(HEAD)
    for name, make in CASES.items():
        for each in lines(make()) if not chosen or name in chosen else ():
            print(each, flush=True)
            table.append(each)
    if not chosen:
        RESULT.write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
