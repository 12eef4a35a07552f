"""``byte-lm``: a byte-level language model of Python's own standard library.

The text is read from the standard library of the running Python, which every machine has, and is split *by
file* into a training and a held-out part.  No text is shipped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sysconfig
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from assay.models.activations import stream
from assay.models.dataset import Dataset, Scope
from assay.models.errors import InputError
from assay.models.network import Network
from assay.models.transformer import Transformer, TransformerConfig
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry
from .training import AdamW, Progress, minimise

CONFIG = TransformerConfig(n_layers=4, d_model=128, n_heads=4, d_head=32, d_mlp=512, d_vocab=256, n_ctx=128)
RECIPE = AdamW(
    steps=8000, lr=2e-3, schedule="cosine", warmup=200, betas=(0.9, 0.98), weight_decay=0.05, clip=1.0
)
BATCH = 16

NOT_SOURCE = {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data"}
"""Folders left out: tests, other people's packages, and tables that a program wrote."""


@cache
def corpus(part: Literal["train", "held-out"]) -> Tensor:
    """All bytes of one part of the standard library's ``*.py`` files, in the order of their paths: uint8 [n].

    A file is held out if the SHA-256 of its path relative to the library begins with a byte below 26, which
    is one file in ten.
    """
    library = Path(sysconfig.get_path("stdlib"))
    text = b"".join((library / name).read_bytes() for name in files(library) if part_of(name) == part)
    if len(text) <= CONFIG.n_ctx:
        raise InputError(f"no Python source under {library}; byte-lm is trained on it and tried with it")
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def files(library: Path) -> list[Path]:
    """The source files of a library, relative to it and sorted, without what `NOT_SOURCE` names."""
    names = sorted(path.relative_to(library) for path in library.rglob("*.py"))
    return [name for name in names if not NOT_SOURCE & set(name.parts[:-1])]


def part_of(name: Path) -> Literal["train", "held-out"]:
    """Which part a file belongs to, by its path relative to the library."""
    return "held-out" if hashlib.sha256(name.as_posix().encode()).digest()[0] < 26 else "train"


def windows(text: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n stretches of n_ctx + 1 bytes, uniformly over their starts: int64 [n, n_ctx + 1]."""
    length = CONFIG.n_ctx + 1
    starts = torch.randint(len(text) - length + 1, (n, 1), generator=generator)
    return text[starts + torch.arange(length)].long()


def build(seed: int) -> Transformer:
    """An untrained network; what writes to the residual stream starts smaller (GPT-2's scaling)."""
    module = Transformer(CONFIG)
    module.initialise(0.05, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("W_O", "W_out")):
                parameter.mul_(1 / math.sqrt(2 * CONFIG.n_layers))
    return module


def train(seed: int, progress: Progress | None) -> Network:
    """Train on next-byte cross-entropy by the shipped recipe (about 25 minutes on one CPU core)."""
    text, generator = corpus("train"), torch.Generator().manual_seed(seed)
    module = build(seed)

    def loss() -> Tensor:
        batch = windows(text, BATCH, generator)
        return F.cross_entropy(module(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    module.fuse(True)
    minimise(module, loss, RECIPE, progress)
    module.fuse(False)
    return Network("byte-lm", module, "categorical", "token", (CONFIG.n_ctx,), vocabulary=256)


def data(n: int, seed: int) -> Dataset:
    """Draw stretches of held-out files [n, 128], labelled with the byte that follows each byte."""
    drawn = windows(corpus("held-out"), n, torch.Generator().manual_seed(seed))
    scope = Scope(
        condition=f"{CONFIG.n_ctx} bytes of Python source",
        distribution="uniform over starts in held-out files of this Python's standard library",
    )
    return Dataset("byte-lm", drawn[:, :-1], drawn[:, 1:], "sequence", scope)


def measure(network: Network, dataset: Dataset) -> dict[str, float]:
    """Bits per byte: over all positions, and over the second half, which see at least 64 bytes."""
    bits = []
    for batch in stream(network, dataset, ()):
        assert batch.labels is not None
        nats = F.cross_entropy(batch.outputs.transpose(1, 2), batch.labels, reduction="none")
        bits.append(nats.double().cpu() / math.log(2))
    all_bits = torch.cat(bits)
    half = all_bits.shape[1] // 2
    return {"bits_per_byte": float(all_bits.mean()), "bits_per_byte_late": float(all_bits[:, half:].mean())}


ENTRIES = (
    Entry(
        name="byte-lm",
        about="4-layer byte-level language model of the source of Python's standard library",
        train=train,
        data=data,
        measure=measure,
        recipe={
            **dataclasses.asdict(RECIPE),
            "batch": BATCH,
            "n_ctx": CONFIG.n_ctx,
            "text": "*.py of the standard library of the Python that trains, without "
            + ", ".join(sorted(NOT_SOURCE)),
            "held_out_rule": "files whose path's SHA-256 begins with a byte below 26",
            "loss": "cross-entropy of the next byte",
        },
        card_data=2048,
    ),
)
