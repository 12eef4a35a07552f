"""What lemmas are worth: time and length of proofs with them and without.

    python benchmarks/proofs_lemmas.py

Four mechanisms, each claimed of a network that has it: equality of two numbers up to 10⁶ (through their
difference), a permuted and rescaled copy of 600 ReLUs (neuron matching), 200 clauses over 25 bits that cannot
all hold (Boolean abstraction), the parity of 64 bits (through their sum). Seconds are CPU seconds of search
and independent check together, start of its process included; a proof without lemma has 30 s of wall time.
"""

from __future__ import annotations

import copy
import itertools
import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from assay.models import Network
from assay.proofs import Claim, Lemma, Outcome, claim, verify
from torch import nn

BUDGET_S = 30.0
RESULT = Path(__file__).parent / "results" / "proofs_lemmas.txt"
PARITY = "abs(f(x)[0] - (1 - abs(abs(abs(abs(abs(abs(sum(x) - 32) - 16) - 8) - 4) - 2) - 1))) <= 1e-3"
Case = tuple[str, Claim, dict[str, Network]]


def layers(*tensors: tuple[list[list[float]], list[float]]) -> nn.Sequential:
    """Linear maps (weights, biases) with ReLUs between."""
    made: list[nn.Module] = []
    for weights, biases in tensors:
        linear = nn.Linear(len(weights[0]), len(weights))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weights))
            linear.bias.copy_(torch.tensor(biases))
        made += [linear, nn.ReLU()]
    return nn.Sequential(*made[:-1])


def equality() -> Case:
    """1 where two whole numbers are equal, else 0: a tent over their difference."""
    module = layers(([[1.0, -1.0]] * 3, [1.0, 0.0, -1.0]), ([[1.0, -2.0, 1.0]], [0.0]))
    asked = claim(
        "(f(x1, x2)[0] > 1/2) == (x1 == x2)",
        {"x1": "integer 0..1000000", "x2": "integer 0..1000000"},
        lemmas=(Lemma("change_of_variables", {"d": "x1 - x2", "s": "x1 + x2"}),),
    )
    return "equality up to 10^6", asked, {"f": Network("equality", module, "regression", "integer", (2,))}


def copies() -> Case:
    """A random network and a copy of it whose hidden units are permuted and rescaled."""
    torch.manual_seed(0)
    widths = [10, 200, 200, 200, 1]
    module = nn.Sequential(*(m for a, b in itertools.pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())))
    module, other = module[:-1], copy.deepcopy(module[:-1])
    linear = [layer for layer in other if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for first, second in itertools.pairwise(linear):
            order, scale = torch.randperm(200), torch.rand(200) + 0.5
            first.weight.copy_(first.weight[order] * scale[:, None])
            first.bias.copy_(first.bias[order] * scale)
            second.weight.copy_(second.weight[:, order] / scale)
    asked = claim(
        "abs(f(x) - g(x)) <= 1e-4",
        {"x[0..9]": "real -1..1"},
        lemmas=(Lemma("matching", {"matching": "auto"}),),
    )
    networks = {
        name: Network(name, m, "regression", "real", (10,)) for name, m in (("f", module), ("g", other))
    }
    return "copy of 600 ReLUs", asked, networks


def clauses() -> Case:
    """1 where all of 200 random clauses of three bits hold, which they never do."""
    rng, n, m = random.Random(0), 25, 200
    weights, biases = [], []
    for _ in range(m):
        row, bias = [0.0] * n, 1.0
        for v in rng.sample(range(n), 3):
            positive = rng.random() < 0.5
            row[v], bias = (-1.0, bias) if positive else (1.0, bias - 1.0)
        weights.append(row)
        biases.append(bias)
    module = layers((weights, biases), ([[-1.0] * m], [1.0]), ([[1.0]], [0.0]))
    asked = claim("f(x)[0] <= 0", {"x[0..24]": "bit"}, lemmas=(Lemma("boolean", {"boolean": "x"}),))
    return "200 clauses of 25 bits", asked, {"f": Network("clauses", module, "regression", "integer", (n,))}


def parity() -> Case:
    """The parity of 64 bits: a zigzag of their sum."""
    n = 64
    zigzag = [1.0, *((2.0, -2.0)[k % 2] for k in range(1, n))]
    module = layers(([[1.0] * n] * n, [-float(k) for k in range(n)]), ([zigzag], [0.0]))
    asked = claim(PARITY, {"x[0..63]": "bit"}, lemmas=(Lemma("change_of_variables", {"s": "sum(x)"}),))
    return "parity of 64 bits", asked, {"f": Network("parity", module, "regression", "integer", (n,))}


def seconds(outcome: Outcome) -> str:
    """CPU seconds with the lemma, as the log says."""
    lines = (re.search(r"with lemmas: proved .* ([\d.]+) s of them computing", line) for line in outcome.log)
    return next((found[1] for found in lines if found), "none")


def computing() -> float:
    """CPU seconds of this process and its children so far."""
    return sum(os.times()[:4])


def rows() -> Iterator[str]:
    """One line for each mechanism."""
    names = ("mechanism", "", "seconds", "bits", "multiplications", "inputs")
    yield "{:24}{:10}{:>10}{:>12}{:>18}{:>12}".format(*names)
    for name, asked, networks in (equality(), copies(), clauses(), parity()):
        (with_one,) = verify([asked], networks=networks, budget_s=BUDGET_S)
        before = computing()
        (without,) = verify([replace(asked, lemmas=())], networks=networks, budget_s=BUDGET_S)
        alone = f"{computing() - before:.2f}"
        lengths, plain = with_one.lengths, without.lengths
        listed = "infinite" if plain.box_inputs is None else f"{plain.box_inputs:.2g}"
        line = "{:24}{:10}{:>10}{!s:>12}{!s:>18}{:>12}"
        yield line.format(
            name, "lemma", seconds(with_one), lengths.lemma_bits, lengths.lemma_operations, listed
        )
        yield line.format("", without.status, alone, plain.certificate_bits, plain.operations, listed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    lines = []
    for row in rows():
        print(row, flush=True)
        lines.append(row)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
