"""A torch module as a graph of the few operations that exact arithmetic knows.

The module runs once on symbols in the place of numbers (see `symbols`); what it computes is written down, or
refused with its reason. All refusals are collected before failing. Values are vectors per datum, the
flattened (row-major) tensors.

Operations, as they also stand in certificates; `s` and `t` number earlier values, value 0 is the input:

    ["affine", [[s, map…], [t, map…]…], const]  Σ map(v) + const; const: a number, or "@tensor" (per channel)
    ["relu", s]                               max(v, 0)
    ["step", s, t]                            1 where v > w, else 0; compared without rounding
    ["product", s, t]                         component by component
    ["exp", s], and so "log", "erf", "sigmoid", "reciprocal", "sqrt"  component by component
    ["table", s, tensor]                      a tensor at each component, which says where on its first axis

where map… is one of

    "times", "1/2"                            every component by a number
    "scale", tensor, copies, [place…]         the components at these places by a tensor's entries, in order
                                              and so often
    "pick", [place…], "1/2"                   the component at each place, 0 for -1, by a number
    "matrix", weight, transposed, [place…]    W v, or Wᵀ v, of the components at these places (null: all in
                                              order); of more than two axes the last one is W's columns
    "convolution", weight, [channels, sizes…], [stride…], [dilation…], groups, swapped, [place…]
                                              of an image whose components lie at these places ("pick"; null:
                                              all in order); swapped: the weight is [depth, out, window…]
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from .arithmetic import ARITHMETIC, PLAIN
from .baking import computed_weights
from .choices import CHOICES
from .compounds import COMPOUNDS
from .convolutions import CONVOLUTIONS
from .faults import InputError, RefusalError
from .functions import FUNCTIONS, WHOLES
from .lengths import LENGTHS
from .linear_maps import MAPS, WHOLE_MAPS
from .logarithms import LOGARITHMS
from .moving import MOVES, SHAPES
from .norms import NORMS, WHOLE_NORMS
from .orders import ORDERS, WHOLE_ORDERS
from .placing import PLACES
from .pooling import POOLS, WHOLE_POOLS
from .recurrent import RECURRENT
from .resampling import RESAMPLING
from .softmax import ATTENTION, SOFTMAX
from .symbols import Tracer
from .tape import Ids, Operation, Tape, TooLargeError, Writer
from .truths import minded

_HANDLERS = {
    **MOVES, **PLACES, **ARITHMETIC, **MAPS, **CONVOLUTIONS, **FUNCTIONS, **LOGARITHMS, **SOFTMAX, **NORMS,
    **LENGTHS, **POOLS, **RESAMPLING, **COMPOUNDS, **ORDERS, **CHOICES,
}  # fmt: skip
_WHOLES = {
    **PLAIN, **WHOLE_MAPS, **SHAPES, **WHOLES, **ATTENTION, **WHOLE_NORMS, **WHOLE_POOLS, **WHOLE_ORDERS,
    **RECURRENT,
}  # fmt: skip


class UnsupportedError(InputError):
    """A network that uses what exact arithmetic does not know; `faults` names every place."""


T = TypeVar("T")


@dataclass(frozen=True)
class Graph:
    """A network in exact terms.

    Attributes:
        operations: see the head of this module; operation k makes value k + 1, the last one is the output.
        tensors: the tensors that operations name, as float64 (every stored value is exact in it).
        size: number of inputs, flattened.
        outputs: number of outputs, flattened.
        single: whether all tensors are float32, as the semantics "float32" demands.
        sites: cells at the outputs of modules, by path.
        maps: see `once`.
    """

    operations: tuple[Operation, ...]
    tensors: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
    size: int
    outputs: int
    single: bool
    tape: Tape = field(repr=False)
    sites: Mapping[str, Ids] = field(default_factory=dict, repr=False)
    maps: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is made of an operation wherever the network is called, made once."""
        if key not in self.maps:
            self.maps[key] = make()
        return cast(T, self.maps[key])

    def up_to(self, site: str) -> Graph:
        """The part of the network that ends at a module.

        Raises:
            InputError: there is no such module; the message lists those there are.
        """
        if site not in self.sites:
            raise InputError(f"no module {site!r}; there are {', '.join(self.sites)}")
        return replace(_written(self.tape, self.sites[site]), sites=self.sites)


def lower(
    module: nn.Module, in_shape: tuple[int, ...], *, tokens: bool = False, rounding: bool = False
) -> Graph:
    """Write `module`, reading data of shape `in_shape`, as a `Graph`.

    Args:
        tokens: whether the data are whole numbers that embeddings look up.
        rounding: whether the operations are to enclose what torch computes in float32; else they compute the
            same real numbers, in the form that bounds tightest.

    Raises:
        UnsupportedError: naming every operation that has no exact form, with the reason.
    """
    if faults := computed_weights(module):
        raise UnsupportedError(faults)
    tracer = Tracer(module, in_shape, tokens, rounding, minded(_HANDLERS), minded(_WHOLES))
    outputs = tracer.run()
    if tracer.faults:
        raise UnsupportedError(tracer.faults)
    try:
        return replace(_written(tracer.tape, outputs), sites=tracer.sites)
    except (RefusalError, TooLargeError) as error:
        raise UnsupportedError(str(error)) from error


def _written(tape: Tape, outputs: Ids) -> Graph:
    writer = Writer(tape, outputs)
    used = sorted(writer.used)
    single = all(tape.parameters[name].dtype == torch.float32 for name in used)
    tensors = {name: tape.stored(name) for name in used}
    return Graph(tuple(writer.operations), tensors, tape.size, len(outputs), single, tape)
