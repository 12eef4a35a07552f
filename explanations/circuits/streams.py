"""Runs a transformer edge by edge: every reader of the residual stream gets a sum of its own.

The input of target t is Σ_s g[s, t] · write_s + fill_t + what reaches everyone; where a block normalises what
its attention writes, the sum over its heads, its fill and its bias are normalised first, for each target by
itself. With all gates 1 and no fill it is the network itself. The network's own modules compute everything
else, so that whatever an attention layer does between its queries, keys and values and its z (rotations,
caps) is done here as well.
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
    positions or 1, routes, targets, d] is added to what is read; ``change`` replaces what a source writes.
    ``constants`` [targets, d_head] are the queries, keys or values of those sides of heads that are ``told``.
    Of each read in turn ``reads`` holds what came on each route [data, positions, targets at once, d].
    """

    module: Transformer
    graph: Graph
    gates: Tensor | None = None
    fill: Tensor | None = None
    change: Write | None = None
    told: Tensor | None = None
    constants: Tensor | None = None
    writes: list[Tensor] = field(default_factory=list)
    reads: list[list[Tensor]] = field(default_factory=list)
    sides: list[Tensor] = field(default_factory=list)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits, as the network's readout gives them."""
        self.writes, self.reads, self.sides, self._done = [], [], [], 0
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
        x, routes = self._everyone[:, :, None], []
        for route, places in enumerate(self.graph.routes):
            mine = [place for place in places if place < heard]
            if mine:
                routes.append(self._came(route, mine, chosen))
                x = x + (self._normalised(route, routes[-1]) if route else routes[-1])
        self._done += count
        self.reads.append(routes)
        return x

    def _came(self, route: int, places: list[int], chosen: slice) -> Tensor:
        """What the ``chosen`` targets hear of some sources: [data, positions, targets, d]."""
        written = torch.stack([self.writes[place] for place in places], dim=2)
        if self.gates is None:
            x = written.sum(2, keepdim=True).expand(-1, -1, chosen.stop - chosen.start, -1)
        else:
            gates = self._here(self.gates, written)[..., places, chosen].to(written)
            x = torch.einsum("bpsd,bpst->bptd", written, gates.expand(*written.shape[:2], -1, -1))
        if self.fill is None:
            return x
        fill = self.fill[:, :, route, chosen]
        return x + (fill if fill.shape[1] == 1 else fill[:, : x.shape[1]]).to(x)

    def _normalised(self, route: int, x: Tensor) -> Tensor:
        """What a block lets through of the sum of its heads."""
        block = self.module.blocks[route - 1]
        assert isinstance(block, Block)
        y: Tensor = block.ln1_post(x if block.attn.b_O is None else x + block.attn.b_O)
        return y

    @staticmethod
    def _here(gates: Tensor, written: Tensor) -> Tensor:
        """Gates of the positions at hand."""
        return gates if gates.shape[-3] == 1 else gates[..., : written.shape[1], :, :]

    def _attend(self, block: Block, x: Tensor) -> None:
        attn, h = block.attn, self.graph.n_heads
        self.sides.append(self._sides(attn, block.ln1(x)))
        with ExitStack() as stack:
            for name, value in zip("qkv", torch.split(self.sides[-1], h, 2), strict=True):
                stack.enter_context(_replaced(getattr(attn, f"hook_{name}"), value))
            z = stack.enter_context(_seen(attn.hook_z))
            attn(x[:, :, 0])
        for head in range(h):
            self._write(z[0][:, :, head] @ attn.W_O[head])
        if attn.b_O is not None and not self.graph.norm_after:
            self._everyone = self._everyone + attn.b_O

    def _sides(self, attn: Attention, x: Tensor) -> Tensor:
        """Queries, keys and values of every head from streams of their own [data, positions, 3 heads, d]."""
        sides = []
        for side, mine in zip("QKV", torch.split(x, self.graph.n_heads, 2), strict=True):
            placed = mine if self._placed is None or side == "V" else mine + self._placed[:, :, None]
            sides.append(_project(attn, side, placed))
        projected = torch.cat(sides, dim=2)
        if self.told is None or self.constants is None:
            return projected
        first = self.graph.target_index[f"{self.graph.heads(len(self.sides))[0]}<q>"]
        here = slice(first, first + projected.shape[2])
        return torch.where(self.told[here, None], self.constants[here].to(projected), projected)

    def _mlp(self, block: Block, x: Tensor) -> None:
        wrote = block.mlp(block.ln2(x[:, :, 0]))
        self._write(block.ln2_post(wrote) if self.graph.norm_after else wrote)


def _project(attn: Attention, side: str, x: Tensor) -> Tensor:
    """Queries, keys or values of every head from its own stream [data, positions, heads, d]."""
    W, bias = (getattr(attn, f"{attn.shared if side != 'Q' else ''}{kind}_{side}") for kind in "Wb")
    if side != "Q" and attn.repeats > 1:
        W, bias = (None if y is None else y.repeat_interleave(attn.repeats, 0) for y in (W, bias))
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
