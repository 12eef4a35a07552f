"""Recurrent layers of torch, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .faults import RefusalError
from .symbols import Handler, Tracer

State = tuple[Tensor, ...]
"""The hidden state [batch, hidden]; of an LSTM its cell, too."""
Step = Callable[[Tensor, State, list[Tensor]], State]


def _plain(activation: Callable[[Tensor], Tensor]) -> Step:
    """activation(W_ih x + b_ih + W_hh h + b_hh)."""

    def step(x: Tensor, state: State, weights: list[Tensor]) -> State:
        told, kept = _both(x, state[0], weights)
        return (activation(told + kept),)

    return step


def _both(x: Tensor, h: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What a step is told, and what it keeps."""
    told, kept = weights[::2], weights[1::2]  # matrix, and bias if there is one
    return functional.linear(x, *told), functional.linear(h, *kept)


def _lstm(x: Tensor, state: State, weights: list[Tensor]) -> State:
    """Hochreiter & Schmidhuber 1997, with torch's order of gates."""
    told, kept = _both(x, state[0], weights)
    enter, forget, new, leave = (told + kept).chunk(4, 1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru(x: Tensor, state: State, weights: list[Tensor]) -> State:
    """Cho et al. 2014, with torch's order of gates."""
    told, kept = (each.chunk(3, 1) for each in _both(x, state[0], weights))
    reset, update = ((told[k] + kept[k]).sigmoid() for k in (0, 1))
    new = (told[2] + reset * kept[2]).tanh()
    return (new + update * (state[0] - new),)


def _layers(step: Step, several: bool) -> Handler:
    """A layer after the other, each forward and, where it has two directions, backward."""

    def run(
        t: Tracer,
        x: Tensor,
        start: Any,
        parameters: list[Tensor],
        biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        if x.ndim != 3:
            raise RefusalError("a sequence that is no batch")
        x = x.transpose(0, 1) if batch_first else x
        weights = [t.symbol(t.ids(p)) for p in parameters]
        starts = [t.symbol(t.ids(s)) for s in (start if several else (start,))]
        each, last = 4 if biases else 2, []
        for layer in range(layers):
            ways = []
            for back in range(1 + bidirectional):
                k = layer * (1 + bidirectional) + back
                state: State = tuple(s[k] for s in starts)
                steps = []
                for now in reversed(x.unbind(0)) if back else x.unbind(0):
                    state = step(now, state, weights[each * k : each * (k + 1)])  # type: ignore[arg-type]
                    steps.append(state[0])
                ways.append(torch.stack(steps[::-1] if back else steps))
                last.append(state)
            x = torch.cat(ways, 2)
        finals = [torch.stack(states) for states in zip(*last, strict=True)]
        return (x.transpose(0, 1) if batch_first else x, *finals)

    return run


RECURRENT: dict[Any, Handler] = {
    torch.rnn_relu: _layers(_plain(torch.relu), False),
    torch.rnn_tanh: _layers(_plain(torch.tanh), False),
    torch.lstm: _layers(_lstm, True),
    torch.gru: _layers(_gru, False),
}
