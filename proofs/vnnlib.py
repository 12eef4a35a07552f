"""VNN-LIB 1.0 properties as claims.

A property describes the counterexamples: constants X_i and Y_i, and assertions that all hold of one. The
claim is that there is none. Simple bounds of X_i become the ranges; numbers keep their exact decimal value.
(https://www.vnnlib.org, the restricted SMT-LIB of the VNN competitions.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from .claims import Claim, claim
from .expressions import ExpressionError
from .faults import Fault, InputError
from .parser import exact_number

MAX_BYTES = 50_000_000
MAX_DEPTH = 200
_TOKEN = re.compile(r"\s*(?:;[^\n]*\s*)*([()]|[^\s();]+)")
_NAME = re.compile(r"([XY])_(\d{1,7})")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def read_property(path: str | Path, semantics: str = "float32") -> Claim:
    """Read a property about a network f; the claim's inputs are x0, x1, …

    Raises:
        InputError: with the line of the fault.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: more than {MAX_BYTES} bytes")
        return parse_property(path.read_text(encoding="utf-8"), path.name, semantics)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def parse_property(text: str, name: str, semantics: str = "float32") -> Claim:
    """Read the text of a property; see `read_property`."""
    reader = _Reader(name)
    for line, command in _commands(text, name):
        reader.command(line, command)
    return reader.claim(semantics)


def _commands(text: str, name: str) -> Iterator[tuple[int, list[object]]]:
    """Top-level lists with the line that each starts at; no recursion, so depth cannot hurt."""
    stack: list[list[object]] = []
    start, line, position, end = 1, 1, 0, len(re.sub(r"\s*(;[^\n]*\s*)*\Z", "", text))
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            break
        line += text.count("\n", position, match.start(1))
        position = match.end()
        if match[1] == "(":
            start = line if not stack else start
            stack.append([])
            if len(stack) > MAX_DEPTH:
                raise InputError([Fault(f"nested more than {MAX_DEPTH} deep", line, 1, name)])
        elif not stack:
            raise InputError([Fault(f"expected a command in parentheses, got {match[1]!r}", line, 1, name)])
        elif match[1] == ")":
            done = stack.pop()
            if not stack:
                yield start, done
            else:
                stack[-1].append(done)
        else:
            stack[-1].append(match[1])
    if stack:
        raise InputError([Fault("a parenthesis is not closed", start, 1, name)])


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.declared = {"X": 0, "Y": 0}
        self.low: dict[int, Fraction] = {}
        self.high: dict[int, Fraction] = {}
        self.parts: list[str] = []

    def fail(self, line: int, message: str) -> InputError:
        return InputError([Fault(message, line, 1, self.name)])

    def command(self, line: int, command: list[object]) -> None:
        if command[:1] == ["declare-const"] and len(command) == 3:
            found = _NAME.fullmatch(str(command[1]))
            if found is None or command[2] != "Real" or int(found[2]) != self.declared[found[1]]:
                raise self.fail(line, f"expected the next of X_i or Y_i, of sort Real, got {command[1:]}")
            self.declared[found[1]] += 1
        elif command[:1] == ["assert"] and len(command) == 2:
            if not self.bound(command[1]):
                self.parts.append(self.formula(line, command[1]))
        else:
            raise self.fail(line, f"expected declare-const or assert, got {str(command)[:60]}")

    def bound(self, tree: object) -> bool:
        """Take an assertion X_i ≤ c or X_i ≥ c as a bound; False for anything else."""
        if not isinstance(tree, list) or len(tree) != 3 or tree[0] not in ("<=", ">="):
            return False
        less, (left, right) = tree[0] == "<=", tree[1:]
        if isinstance(right, str) and right.startswith("X_"):
            less, left, right = not less, right, left
        found = _NAME.fullmatch(left) if isinstance(left, str) else None
        if found is None or found[1] != "X" or not isinstance(right, str) or not _NUMBER.fullmatch(right):
            return False
        value, i = _exact(right), int(found[2])
        if less:
            self.high[i] = min(value, self.high.get(i, value))
        else:
            self.low[i] = max(value, self.low.get(i, value))
        return True

    def formula(self, line: int, tree: object) -> str:
        """The text of a formula in the language of claims."""
        if isinstance(tree, str):
            return self.atom(line, tree)
        if not isinstance(tree, list) or not tree:
            raise self.fail(line, "an empty list is no formula")
        op, args = tree[0], [self.formula(line, arg) for arg in tree[1:]]
        if op in ("and", "or") and args:
            return f"({f' {op} '.join(args)})"
        if op in ("<=", ">=", "<", ">", "=", "+", "*") and len(args) >= 2 and (len(args) == 2 or op in "+*"):
            return (
                f"({f' {op} '.join(args)})".replace(" = ", " == ")
                if op == "="
                else f"({f' {op} '.join(args)})"
            )
        if op == "-" and args:
            return f"(-{args[0]})" if len(args) == 1 else f"({' - '.join(args)})"
        raise self.fail(line, f"unknown operator {op!r} on {len(args)} arguments")

    def atom(self, line: int, text: str) -> str:
        if _NUMBER.fullmatch(text):
            return str(_exact(text))
        found = _NAME.fullmatch(text)
        if found is None or int(found[2]) >= self.declared[found[1]]:
            raise self.fail(line, f"unknown name {text!r}")
        return f"x{found[2]}" if found[1] == "X" else f"f({self.inputs()})[{found[2]}]"

    def claim(self, semantics: str) -> Claim:
        """The claim that no input satisfies all assertions."""
        missing = [i for i in range(self.declared["X"]) if i not in self.low or i not in self.high]
        if missing or not self.declared["X"]:
            raise self.fail(1, f"inputs without bounds: {', '.join(f'X_{i}' for i in missing[:8]) or 'all'}")
        show = f"not ({' and '.join(self.parts)})" if self.parts else "1 < 0"
        domain = {f"x{i}": f"real {self.low[i]}..{self.high[i]}" for i in range(self.declared["X"])}
        return claim(show, domain, semantics=semantics, name=self.name)

    def inputs(self) -> str:
        """All inputs, as arguments of f."""
        return ", ".join(f"x{i}" for i in range(self.declared["X"]))


def _exact(text: str) -> Fraction:
    try:
        value = exact_number(text.lstrip("+-"))
    except ExpressionError as error:
        raise InputError(str(error)) from error
    return -value if text.startswith("-") else value
