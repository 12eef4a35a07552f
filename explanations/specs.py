"""What a user writes for an explanation: ``KIND[:PATH][,key=value…]``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import ExplanationError


@dataclass(frozen=True)
class Spec:
    """A parsed explanation: its kind, an optional path, and options."""

    text: str
    kind: str
    path: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Parse the text; raises :class:`ExplanationError`.

        >>> Spec.parse("pca,k=8,name=top 8").options["k"]
        '8'
        """
        head, *pairs = _fields(text)
        kind, _, path = head.partition(":")
        if not kind:
            raise ExplanationError(f"explanation {text!r}: expected KIND[:PATH][,key=value…]")
        options = {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise ExplanationError(f"explanation {text!r}: {pair!r} is not key=value")
            options[key] = value
        return cls(text, kind, path or None, options)

    def each(self, knobs: Sequence[str]) -> list[Spec]:
        """A spec for every value of the knobs that hold several: ``pca,k=4:8`` gives k=4 and k=8."""
        several = [key for key in knobs if ":" in self.options.get(key, "")]
        choices = [[(key, value) for value in self.options[key].split(":")] for key in several]
        return [self._with(dict(chosen)) for chosen in itertools.product(*choices)]

    def _with(self, chosen: Mapping[str, str]) -> Spec:
        options = {**self.options, **chosen}
        head = _fields(self.text)[0]
        text = ",".join([head, *(f"{key}={value}" for key, value in options.items())])
        return Spec(text, self.kind, self.path, options)

    def only(self, *known: str) -> None:
        """Raise where an option is not among the known ones (``name`` always is)."""
        unknown = sorted(self.options.keys() - {*known, "name"})
        if unknown:
            allowed = ", ".join(("name", *known))
            raise ExplanationError(
                f"{self.text!r}: unknown option {', '.join(unknown)}; {self.kind} takes {allowed}"
            )

    def needs_path(self, what: str) -> str:
        """The path, or an error that says what it should name."""
        if self.path is None:
            raise ExplanationError(f"{self.text!r}: expected {self.kind}:PATH, where PATH is {what}")
        return self.path

    def integer(self, key: str) -> int | None:
        """An option as an integer."""
        number = self._number(key, int, "a whole number")
        return None if number is None else int(number)

    def number(self, key: str) -> float | None:
        """An option as a number."""
        return self._number(key, float, "a number")

    def _number(self, key: str, kind: Callable[[str], float], what: str) -> float | None:
        if key not in self.options:
            return None
        try:
            return kind(self.options[key])
        except ValueError as error:
            raise ExplanationError(f"{self.text!r}: {key}={self.options[key]!r} is not {what}") from error


def _fields(text: str) -> list[str]:
    """What commas divide, but for those inside brackets, which belong to a rule such as ``max(a, b)``."""
    if text.count("(") != text.count(")"):
        return text.split(",")
    fields, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            fields.append("")
        else:
            fields[-1] += letter
    return fields
