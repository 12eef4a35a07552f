"""Runs a transformer edge by edge: every reader of the residual stream gets a sum of its own.

The input of target t is Σ_s g[s, t] · write_s + fill_t + what reaches everyone. With all gates 1 and no fill
it is the network itself. The network's own modules compute everything else, so that whatever an attention
layer does between its queries, keys and values and its z (rotations, caps) is done here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from assay.models import Transformer
from assay.models.transformer import Attention, Block
from torch import Tensor

from .graph import Graph

Write = Callable[[int, Tensor], Tensor]
"""What is done to what a source (by its place) writes [data, positions, d]."""


@dataclass
class Streams:
    """One run over ``tokens`` [data, positions]; ``writes`` and ``reads`` hold what passed by.

    ``gates`` [(data,) positions or 1, sources, targets] multiply what is written; ``fill`` [data or 1,
    positions or 1, targets, d] is added to what is read; ``change`` replaces what a source writes.
    """

    module: Transformer
    graph: Graph
    gates: Tensor | None = None
    fill: Tensor | None = None
    change: Write | None = None
    writes: list[Tensor] = field(default_factory=list)
    reads: list[Tensor] = field(default_factory=list)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits, as the network's readout gives them."""
        self.writes, self.reads, self._done = [], [], 0
        self._start(tokens)
        for block in self.module.blocks:
            assert isinstance(block, Block)
            if self.graph.parallel:
                heads, mlp = self._read(3 * self.graph.n_heads), self._read(1)
                self._attend(block, heads)
                self._mlp(block, mlp)
                continue
            self._attend(block, self._read(3 * self.graph.n_heads))
            if self.graph.mlps:
                self._mlp(block, self._read(1))
        last = self._read(1)[:, :, 0]
        logits: Tensor = self.module.unembed(self.module.ln_final(last))
        return logits if self.module.config.readout == "all" else logits[:, -1]

    def _start(self, tokens: Tensor) -> None:
        token, kind = self.module.embed(tokens), self.module.config.positions
        self._everyone, self._placed = torch.zeros_like(token), None
        position = None if kind == "rotary" else self.module.pos_embed(tokens)
        if position is None or kind == "shortformer":
            self._placed = position
            self._write(token)
        elif self.graph.start == "stream":
            self._write(token + position)
        else:
            self._write(token)
            if self.graph.start == "split":
                self._write(position)
            else:
                self._everyone = position

    def _write(self, value: Tensor) -> None:
        place = len(self.writes)
        self.writes.append(value if self.change is None else self.change(place, value))

    def _read(self, count: int) -> Tensor:
        """What the next ``count`` targets read: [data, positions, count, d]."""
        chosen = slice(self._done, self._done + count)
        heard = self.graph.heard(self.graph.targets[self._done])
        written = torch.stack(self.writes[:heard], dim=2)
        if self.gates is None:
            x = written.sum(2, keepdim=True).expand(-1, -1, count, -1)
        else:
            gates = self._here(self.gates, written)[..., :heard, chosen].to(written)
            x = torch.einsum("bpsd,bpst->bptd", written, gates.expand(*written.shape[:2], -1, -1))
        x = x + self._everyone[:, :, None]
        if self.fill is not None:
            fill = self.fill[:, :, chosen]
            x = x + (fill if fill.shape[1] == 1 else fill[:, : x.shape[1]]).to(x)
        self._done += count
        self.reads.append(x)
        return x

    @staticmethod
    def _here(gates: Tensor, written: Tensor) -> Tensor:
        """Gates of the positions at hand."""
        return gates if gates.shape[-3] == 1 else gates[..., : written.shape[1], :, :]

    def _attend(self, block: Block, x: Tensor) -> None:
        attn, h = block.attn, self.graph.n_heads
        x = block.ln1(x)
        sides = []
        for i, side in enumerate("QKV"):
            mine = x[:, :, i * h : (i + 1) * h]
            if self._placed is not None and side != "V":
                mine = mine + self._placed[:, :, None]
            sides.append(_project(attn, side, mine))
        with ExitStack() as stack:
            for name, value in zip("qkv", sides, strict=True):
                stack.enter_context(_replaced(getattr(attn, f"hook_{name}"), value))
            z = stack.enter_context(_seen(attn.hook_z))
            attn(x[:, :, 0])
        for head in range(h):
            self._write(z[0][:, :, head] @ attn.W_O[head])
        if attn.b_O is not None:
            self._everyone = self._everyone + attn.b_O

    def _mlp(self, block: Block, x: Tensor) -> None:
        self._write(block.mlp(block.ln2(x[:, :, 0])))


def _project(attn: Attention, side: str, x: Tensor) -> Tensor:
    """Queries, keys or values of every head from its own stream [data, positions, heads, d]."""
    W, bias = (getattr(attn, f"{attn.shared if side != 'Q' else ''}{kind}_{side}") for kind in "Wb")
    y = torch.einsum("bphd,hde->bphe", x, W)
    return y if bias is None else y + bias


@contextmanager
def _replaced(hook: torch.nn.Module, value: Tensor) -> Iterator[None]:
    handle = hook.register_forward_hook(lambda *_: value)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _seen(hook: torch.nn.Module) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []
    handle = hook.register_forward_hook(lambda _module, _inputs, value: seen.append(value))
    try:
        yield seen
    finally:
        handle.remove()


def transformer_of(module: torch.nn.Module) -> Transformer:
    """The module as a transformer, checked."""
    assert isinstance(module, Transformer)
    return module


@torch.no_grad()
def written(module: torch.nn.Module, graph: Graph, tokens: Tensor) -> Tensor:
    """What every source writes on the whole network: [data, positions, sources, d]."""
    streams = Streams(transformer_of(module), graph)
    streams(tokens)
    return torch.stack(streams.writes, dim=2)
