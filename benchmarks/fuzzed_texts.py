"""Random claim files and VNN-LIB files, many of them damaged: what `proofs_fuzz.py` has read.

Each function draws from a generator of random numbers alone, so that a case is the same on every machine.
"""

from __future__ import annotations

import random

CANARY = "assay_canary"
"""What the code that many of the files try to run would leave behind."""

RUNS = (f"__import__('os').system('touch {CANARY}')", f'eval(\'open("{CANARY}", "w")\')', "lambda: 0")
NUMBERS = ("0", "1", "2", "0.1", "1e-6", "1_0")
BAD_NUMBERS = ("-1", "1/3", "9**9**9**9", "1e400", "1e999999999", "9" * 500, "0x1", "nan", '"1/0"')
NUMERIC = ("x", "y", "x", "y", "f(x, y)[0]", "f(x, y)[1]", "g(y, x)[0]", "f(f(x, y))[0]", "g(f(x, y))[1]")
BAD_NAMES = ("x[0]", "f(x)", "f(x, y)", "f(x, y)[9]", "z", "True", "é", "x" * 3000)
INFIX = ("+", "-", "+", "-", "+", "-", "+", "-", "- 2 *", "*", "/", "% 3 +", "**")
COMPARE = ("<", "<=", "==", "!=", ">", ">=")
CONNECT = ("and", "or", "=>", "==", "and", "or", "and", "or", "!=", ",")
CALLS = ("min", "max", "second_max", "sum", "max", "min", "max", "-", "abs", "f", "argmax", "eval")
DOMAINS = ("bit", "integer 0..3", "integer -9..9", "real 0..1", "real -1e-3..1/3", "integer {1, 2, 5}")
BAD_DOMAINS = (
    "real 1..0",
    "integer 0..0.5",
    "integer 0..1e300",
    "real {}",
    "integer 0..",
    "complex 0..1",
    "",
)
KINDS = (
    'show = "{s}"', "show = '''{s}'''", 'show = "{s}"', 'given = "{s}"\nshow = "{s}"', 'unique = "{s}"',
    'within = {{ explanation = "g", epsilon = {n} }}', 'equivalent = "g"', 'necessary = "g"',
    'sufficient = {{ parts = ["0[0]", "1[2]"], held = {n} }}', 'equivalent = "{s}"',
    'fires = {{ unit = "0[{n}]", exactly_when = "{s}" }}', 'monotone = {{ output = {n}, in = "x" }}',
    'accuracy = {{ correct = "{s}", at_least = {n} }}', "show = {n}",
)  # fmt: skip
TOML_BITS = (
    '"',
    "'",
    '"""',
    "[",
    "]",
    "{",
    "}",
    "=",
    "[[claim]]",
    "[claim.for]",
    "\\",
    "\n",
    "#",
    "\x00",
    "é",
    ".",
)
LISP_BITS = (
    "(",
    ")",
    "[",
    "]",
    "[0]",
    "[0,1]",
    '"',
    ";",
    "\n",
    "<2.0>",
    "X",
    "Y_0",
    "X_0",
    "assert",
    "and",
    "or",
    "-",
)


def pick(rng: random.Random, good: tuple[str, ...], bad: tuple[str, ...]) -> str:
    """One of the good ones, seldom one of the others."""
    return rng.choice(bad if rng.random() < 0.02 else good)


def value(rng: random.Random, depth: int) -> str:
    """A random text that is nearly a number in the language of claims, and often is."""
    which = rng.random()
    if depth <= 0 or which < 0.2:
        return (
            pick(rng, NUMERIC, (*BAD_NAMES, *RUNS)) if rng.random() < 0.7 else pick(rng, NUMBERS, BAD_NUMBERS)
        )
    if which < 0.6:
        left, right = value(rng, depth - 1), value(rng, depth - 1 if which < 0.3 else 0)
        return f"({left} {rng.choice(INFIX)} {right})"
    if which < 0.99:
        inner = ", ".join(value(rng, depth - 1) for _ in range(rng.choice((1, 2, 2, 2, 3, 2))))
        return f"{rng.choice(CALLS)}({inner})"
    return rng.choice(("abs(", "(", "not ", "-", "f(")) * rng.choice((3, 60, 2000)) + "x"


def statement(rng: random.Random, depth: int) -> str:
    """A random text that is nearly a statement."""
    if depth <= 0 or rng.random() < 0.4:
        return f"{value(rng, rng.randint(0, 3))} {rng.choice(COMPARE)} {value(rng, rng.randint(0, 2))}"
    if rng.random() < 0.2:
        return f"not ({statement(rng, depth - 1)})"
    return f"({statement(rng, depth - 1)}) {rng.choice(CONNECT)} ({statement(rng, depth - 1)})"


def claim_file(rng: random.Random) -> str:
    """A claim file of a few claims, half of the time damaged in a few places."""
    lines = ['model = "f"\n[models]\ng = "g"']
    for _ in range(rng.randint(1, 3)):
        names = ("x", "y") if rng.random() < 0.95 else rng.sample(("x", '"x[0..2]"', '"x[0..99999]"', "f"), 2)
        scope = ", ".join(f'{name} = "{pick(rng, DOMAINS, BAD_DOMAINS)}"' for name in names)
        told = {"s": statement(rng, rng.randint(0, 3)), "n": pick(rng, NUMBERS, BAD_NUMBERS)}
        lines += ["[[claim]]", f"for = {{ {scope} }}", rng.choice(KINDS).format(**told)]
        if rng.random() < 0.1:
            lines += ["[[claim.lemma]]", f'change_of_variables = {{ d = "{value(rng, 2)}" }}']
    text = "\n".join(lines)
    return text if rng.random() < 0.5 else damaged(text, rng, TOML_BITS)


def property_file(rng: random.Random) -> str:
    """A VNN-LIB file of either version, half of the time damaged in a few places."""
    if rng.random() < 0.5:
        names, outputs = ["X_0", "X_1"], ["Y_0", "Y_1"]
        head = [f"(declare-const {n} Real)" for n in (*names, *outputs)]
    else:
        shape = pick(rng, ("[2]", "[1,2]", "[ 2, 1 ]"), ("[]", "[99999999]", "[1 2]", "[0]"))
        element = pick(rng, ("Real", "float32"), ("int8",))
        tensors = f"(declare-input X {element} {shape}) (declare-output Y {element} [2])"
        head = ["(vnnlib-version <2.0>)", f"(declare-network f {tensors})"]
        names = [{"[2]": f"X[{i}]", "[ 2, 1 ]": f"X[{i},0]"}.get(shape, f"X[0,{i}]") for i in (0, 1)]
        outputs = ["Y[0]", "Y[1]"]
        if rng.random() < 0.3:
            head.append(f"(declare-network g (equal-to f) {tensors.replace('X', 'A').replace('Y', 'B')})")
            names += [name.replace("X", "A") for name in names]
            outputs += ["B[0]"]
    bounds = [f"(assert ({op} {n} {v}))" for n in names for op, v in (("<=", "1"), (">=", "-1e-1"))]
    asserts = [
        f"(assert {formula(rng, names + outputs, rng.randint(0, 4))})" for _ in range(rng.randint(1, 4))
    ]
    text = "\n".join([*head, *bounds, *asserts])
    return text if rng.random() < 0.5 else damaged(text, rng, LISP_BITS)


def formula(rng: random.Random, names: list[str], depth: int) -> str:
    """A random formula."""
    if rng.random() < 0.002:
        return "(and " * 5000
    if depth <= 0 or rng.random() < 0.3:
        return f"({rng.choice((*COMPARE[:2], '>=', '=', '=='))} {term(rng, names, 2)} {term(rng, names, 1)})"
    inner = " ".join(formula(rng, names, depth - 1) for _ in range(rng.choice((1, 2, 2, 3))))
    return f"({rng.choice(('and', 'or'))} {inner})"


def term(rng: random.Random, names: list[str], depth: int) -> str:
    """A random term."""
    if depth <= 0 or rng.random() < 0.3:
        return (
            rng.choice(names) if rng.random() < 0.7 else pick(rng, NUMBERS, (*BAD_NUMBERS, "Z", "X[7]", "()"))
        )
    op = pick(rng, ("+", "-", "*"), ("ite", "/", "max"))
    return f"({op} {' '.join(term(rng, names, depth - 1) for _ in range(rng.randint(1, 3)))})"


def damaged(text: str, rng: random.Random, bits: tuple[str, ...]) -> str:
    """Some stretches removed, repeated or replaced."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 5, 20))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.randrange(12))
        middle = rng.choice(
            ("", text[start:end] * 2, rng.choice(bits), rng.choice(bits) * rng.choice((2, 9000)))
        )
        text = text[:start] + middle + text[end:]
    return text
