"""A rule as a mechanism: what is sent is the code word of the expression, and how far it is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import always
from assay.mdl import Parts, one_part
from assay.models import Network
from torch import Tensor

from .code import decode, encode
from .evaluation import evaluate
from .expressions import Expression
from .parser import parse

__all__ = ["Rule"]

LEAST_DOUBT = 2.0**-24


class Rule:
    """An expression of the inputs that says the output: a number, or which outcome a classifier gives.

    For a classifier the rule's ``doubt``, the probability that the model gives to other outcomes, is spread
    over them evenly; with ``certain`` there is none, and where the model disagrees at all the divergence is
    infinite, so that this datum is an exception: flagged, and told outright.
    """

    kind = "rule"
    donor = "zero"
    open_ended = False

    def __init__(
        self,
        network: Network,
        text: str,
        inputs: Tensor,
        outputs: Tensor,
        certain: bool = False,
        name: str | None = None,
    ) -> None:
        if len(network.in_shape) != 1:
            raise ExplanationError(
                f"rule: {network.name!r} reads shape {network.in_shape}, a rule reads a row of numbers"
            )
        self.network, self.text, self.name = network, text, name or text
        self.inputs, self.width = inputs.shape[1], int(outputs.shape[-1])
        self.certain = certain or network.output == "regression"
        self.rule = parse(text, self.inputs)
        self._rows = tuple(outputs.shape[1:-1])
        said = self._said(self.rule, inputs)
        self.doubt = 0.0 if self.certain else _doubt(said, outputs)

    def parts(self) -> Parts:
        """The code word as structure; the doubt in octaves."""
        word = torch.tensor(encode(self.rule, self.inputs))
        doubt = [] if self.certain else [one_part("doubt", torch.tensor([-math.log2(self.doubt)]), 0)]
        return Parts(0, (one_part("rule", word, 0), *doubt))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """There is nothing to choose from."""
        return always(self.network, x, 0)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """What the rule that arrived says: values, or log-probabilities of the outcomes."""
        said = self._said(decode(restored["rule"][0].tolist(), x.shape[1]), x)
        if self.network.output == "regression":
            return said.reshape(len(x), *self._rows, self.width)
        chosen = torch.nn.functional.one_hot(said, self.width).bool()
        if self.certain:
            return torch.where(chosen, 0.0, -math.inf).double()
        doubt = 2.0 ** -restored["doubt"][0].to(x.device).double().clamp_min(2.0**-20)
        others = torch.log(doubt / (self.width - 1))
        return torch.where(chosen, torch.log1p(-doubt), others)

    def _said(self, rule: Expression, x: Tensor) -> Tensor:
        """Values [n, numbers of one output], or outcomes [n, …] as integers; raises where they do not fit."""
        said = evaluate(rule, x)
        wanted = math.prod(self._rows) * (self.width if self.network.output == "regression" else 1)
        if said.shape[1] not in (1, wanted):
            raise ExplanationError(
                f"rule {self.text!r} says {said.shape[1]} numbers for each datum, expected 1 or {wanted}"
            )
        said = said.expand(-1, wanted)
        return said if self.network.output == "regression" else self._outcomes(said)

    def _outcomes(self, said: Tensor) -> Tensor:
        outside = (said != said.round()) | (said < 0) | (said >= self.width)
        if bool(outside.any()):
            value = float(said[outside][0])
            raise ExplanationError(
                f"rule {self.text!r} says {value:g}, expected the number of an outcome, 0 to {self.width - 1}"
            )
        return said.long().reshape(len(said), *self._rows)

    def recipe(self) -> dict[str, object]:
        """The text as it was written, and how far it is trusted."""
        return {"kind": self.kind, "rule": self.text, "doubt": self.doubt}


def _doubt(said: Tensor, outputs: Tensor) -> float:
    """The mean probability that the model gives to outcomes that the rule does not name."""
    chosen = outputs.double().softmax(-1).gather(-1, said[..., None])
    most = 1 - 1 / outputs.shape[-1]
    return min(max(float(1 - chosen.mean()), LEAST_DOUBT), most)
