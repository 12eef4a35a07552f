"""Curved networks on boxes of real inputs: with lines along functions, and with bounds of values alone.

    python benchmarks/proofs_curved.py [SECONDS] [NAME…]

Random networks from fixed seeds; the claim is that the output stays below its largest sample by a share of
the sampled range. Both columns are the same search (20 s of wall time unless told otherwise) and the same
checker; the second is kept from drawing lines (z3: it rests on that, without a certificate). Seconds are CPU
seconds of all that `verify` does, its certificate checked; leaves are those of the certificate.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from unittest import mock

import torch
from assay.models import Network
from assay.proofs import Claim, Outcome, claim, function_bounds, verify
from torch import Tensor, nn

BUDGET_S = 20.0
RESULT = Path(__file__).parent / "results" / "proofs_curved.txt"
SHARES = (0.1, 0.5)
SAMPLES = 50_000
HEAD = f"{'network':<28}{'inputs':>6}{'above':>7}{'arithmetic':>12}{'with lines':>24}{'without':>24}"


class Bilinear(nn.Module):
    """Layers l(x) r(x), as in bilinear MLPs (Pearce et al. 2024)."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [inputs] + [hidden] * layers
        self.l = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.r = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.o = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [batch, 1]."""
        for left, right in zip(self.l, self.r, strict=True):
            x = left(x) * right(x)
        out: Tensor = self.o(x)
        return out


class Recurrent(nn.Module):
    """An LSTM, GRU or RNN over real numbers, one a step, read out at the end."""

    def __init__(self, kind: type[nn.RNNBase], hidden: int) -> None:
        super().__init__()
        self.r = kind(1, hidden, batch_first=True)
        self.o = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [batch, 1]."""
        out: Tensor = self.o(self.r(x[..., None])[0][:, -1])
        return out


class Attention(nn.Module):
    """One head over three real vectors of three numbers, read at the last."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [batch, 1]."""
        x = x.view(-1, 3, 3)
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 3**0.5
        out: Tensor = self.o((torch.softmax(scores, -1) @ self.v(x))[:, -1])
        return out


def mlp(activation: type[nn.Module], *sizes: int) -> nn.Module:
    """An MLP whose weights are half as large again as torch's, so that it bends."""
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), activation())]
    with torch.no_grad():
        for part in parts[::2]:
            part.weight.mul_(1.5)
    return nn.Sequential(*parts[:-1])


Case = tuple[int, float, Callable[[], nn.Module]]
CASES: dict[str, Case] = {  # inputs, half of a side of the box, the network
    "tanh 16-16": (2, 1.0, lambda: mlp(nn.Tanh, 2, 16, 16, 1)),
    "sigmoid 16-16": (2, 1.0, lambda: mlp(nn.Sigmoid, 2, 16, 16, 1)),
    "GELU 16-16": (2, 1.0, lambda: mlp(nn.GELU, 2, 16, 16, 1)),
    "SiLU 12": (3, 1.0, lambda: mlp(nn.SiLU, 3, 12, 1)),
    "tanh 16": (4, 1.0, lambda: mlp(nn.Tanh, 4, 16, 1)),
    "bilinear 8": (3, 1.0, lambda: Bilinear(3, 8, 1)),
    "bilinear 16": (4, 1.0, lambda: Bilinear(4, 16, 1)),
    "bilinear 8, twice": (2, 1.0, lambda: Bilinear(2, 8, 2)),
    "GRU of 4, 4 steps": (4, 1.0, lambda: Recurrent(nn.GRU, 4)),
    "LSTM of 4, 4 steps": (4, 1.0, lambda: Recurrent(nn.LSTM, 4)),
    "attention, ±.1": (9, 0.1, Attention),
}


@contextmanager
def without_lines() -> Iterator[None]:
    """Functions are anything between the bounds of their values, to the search."""

    def flat(
        function: object, read: object, value: tuple[Tensor, Tensor], rounding: bool
    ) -> function_bounds.Band:
        return function_bounds.Band([], *value)

    with mock.patch.object(function_bounds, "band", flat):
        yield


def task(name: str, share: float, semantics: str) -> tuple[Claim, Network]:
    """A claim and its network, from the name alone."""
    inputs, reach, make = CASES[name]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        module = make().eval()
        middle = (torch.rand(inputs) - 0.5) * (reach < 1)
        values = module(middle + (torch.rand(SAMPLES, inputs) * 2 - 1) * reach)[:, 0]
    bound = float(values.max() + share * (values.max() - values.min()))
    ranges = {f"x{k}": f"real {m - reach:.4f}..{m + reach:.4f}" for k, m in enumerate(middle.tolist())}
    asked = claim(f"f({', '.join(ranges)})[0] <= {bound:.6f}", ranges, semantics=semantics, name="below")
    return asked, Network("f", module, "regression", "real", (inputs,))


def judged(asked: Claim, network: Network, seconds: float) -> str:
    """Verdict, CPU seconds and leaves."""
    before = sum(os.times()[:4])
    with tempfile.TemporaryDirectory() as folder:
        (outcome,) = verify([asked], networks={"f": network}, certificates=Path(folder), budget_s=seconds)
        leaves = leaves_of(outcome)
    return f"{outcome.status:>9}{sum(os.times()[:4]) - before:7.2f}{leaves:>8}"


def leaves_of(outcome: Outcome) -> str:
    """Of its certificate's tree, told by the checker."""
    verdict = outcome.verdict
    if outcome.status != "proved":
        return "–"
    if verdict.certificate is None:
        return "z3"
    evidence = json.loads(verdict.certificate.path.read_text(encoding="utf-8"))["evidence"]
    return str(sum(not (isinstance(node, list) and node[0] in ("cut", "case")) for node in evidence))


def main(arguments: list[str]) -> None:
    """Print the table, and write it where all of it was run."""
    torch.set_num_threads(1)
    seconds = float(arguments[0]) if arguments else BUDGET_S
    table = [f"{seconds:g} s each; verdict, CPU seconds, leaves", HEAD]
    print("\n".join(table))
    for name in arguments[1:] or CASES:
        for share in SHARES:
            for semantics in ("real", "float32"):
                asked, network = task(name, share, semantics)
                lined = judged(asked, network, seconds)
                with without_lines():
                    plain = judged(asked, network, seconds)
                inputs = CASES[name][0]
                table.append(f"{name:<28}{inputs:>6}{share:>7.0%}{semantics:>12}{lined:>24}{plain:>24}")
                print(table[-1], flush=True)
    if not arguments[1:]:
        RESULT.write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
