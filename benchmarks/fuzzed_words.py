"""Random claim files about networks that lie beside them: every kind of claim, lemmas, conditions, modules.

Most of them can be read, so that they are bound to their networks: see `proofs_fuzz.py`.
"""

from __future__ import annotations

import random
import re

from fuzzed_texts import BAD_DOMAINS, BAD_NUMBERS, DOMAINS, NUMBERS, TOML_BITS, damaged, pick, statement

NETWORKS = ("f", "g", "h")
"""Files that have to lie beside a claim file: `h` is `f` with its ReLUs permuted and rescaled."""

WHOLE = ("integer 0..3", "integer -9..9", "bit", "token 0..4", "integer {1, 2, 5}", "integer -3..0")
CALLS = ("f(x, y)", "g(x, y)", "h(x, y)", "p(x, y)", "f(y, x)", "f(f(x, y))")
PARTS = ('"0[0]"', '"0[2]"', '"1[1]"', '"0"', '"1"', '"2[0]"')
BAD_PARTS = ('"0[99]"', '"7[0]"', '"x"', "0", '"0[-1]"', '"0[1e9]"', '""', '"0[999999]"')
SPECS = ("g.safetensors", "h.safetensors", "f.safetensors", "f.safetensors#1", "g.safetensors#0")
BAD_SPECS = (
    "lost.safetensors",
    "f.safetensors#9",
    "#",
    "..",
    "zoo:",
    "python:os:system",
    "\\u0000",
    "f.safetensors#",
)


def share(rng: random.Random, value: float) -> bool:
    """True so often."""
    return rng.random() < value


def parts(rng: random.Random) -> str:
    """A list of units."""
    return f"[{', '.join(pick(rng, PARTS, BAD_PARTS) for _ in range(rng.choice((1, 1, 2, 3))))}]"


def circuit(rng: random.Random) -> str:
    """A circuit, by its parts or its file."""
    if share(rng, 0.2):
        return f'"{pick(rng, SPECS, BAD_SPECS)}"'
    told = [f"parts = {parts(rng)}" if share(rng, 0.8) else f'circuit = "{pick(rng, SPECS, BAD_SPECS)}"']
    told += [f"{key} = {pick(rng, NUMBERS, BAD_NUMBERS)}" for key in ("held", "epsilon") if share(rng, 0.3)]
    return f"{{ {', '.join(told)} }}"


def compared(rng: random.Random) -> str:
    """A statement about what networks answer."""
    left, right = rng.choice(CALLS), rng.choice(CALLS)
    n, order = pick(rng, NUMBERS, BAD_NUMBERS), rng.choice(("<", "<=", "==", "!=", ">=", ">"))
    return rng.choice(
        (
            f"argmax({left}) {order} argmax({right})", f"{left} {order} {right}", f"argmax({left}) == {n}",
            f"max({left}) - second_max({left}) {order} {n}", f"abs({left} - {right}) <= {n}",
            f"({left}[0] > {n}) == ({right}[1] > 0)", f"sum({left}) {order} min({right}, {n})",
            f"(x + {rng.randint(1, 5)} * y) % {pick(rng, ('2', '3', '7'), BAD_NUMBERS)} == {n}"
            f" => {left}[0] {order} {n}",
            f"not ({left}[{rng.choice((0, 1, 1, 7))}] {order} {n})", f"{left} * {n} {order} {right} + [1, 2]",
        )
    )  # fmt: skip


def said(rng: random.Random) -> str:
    """Any statement."""
    return compared(rng) if share(rng, 0.6) else statement(rng, rng.randint(0, 2))


def shown(rng: random.Random, inputs: tuple[str, ...]) -> str:
    """What a claim shows, by one of the kinds there are."""
    n, spec, one = pick(rng, NUMBERS, BAD_NUMBERS), pick(rng, SPECS, BAD_SPECS), said(rng)
    given = f'given = "{said(rng)}"\n' if share(rng, 0.3) else ""
    return given + rng.choice(
        (
            f'show = "{one}"', f'show = "{one}"', f'unique = "{one}"', f'equivalent = "{spec}"',
            f'within = {{ explanation = "{spec}", epsilon = {n} }}', f"sufficient = {circuit(rng)}",
            f"necessary = {circuit(rng)}",
            f'fires = {{ unit = {pick(rng, PARTS, BAD_PARTS)}, exactly_when = "{one}" }}',
            f'monotone = {{ output = {rng.choice((0, 1, 1, 9))}, in = "{rng.choice((*inputs, *inputs, "z"))}"'
            f"{rng.choice(('', ', falling = true', ', falling = 1'))} }}",
            f'accuracy = {{ correct = "{one}", at_least = {n} }}',
        )
    )  # fmt: skip


def lemma(rng: random.Random, names: tuple[str, ...]) -> str:
    """A lemma, of a kind that there is."""
    a, b = rng.choice(names), rng.choice(names)
    return "[[claim.lemma]]\n" + rng.choice(
        (
            f'change_of_variables = {{ d = "{a} - {b}" }}', 'matching = "auto"', f'boolean = ["{a}"]',
            f'change_of_variables = {{ s = "{a} + {b}", d = "{rng.choice((a, "2 * " + a, "f(x, y)[0]"))}" }}',
            f'boolean = ["{a}", "{b}"]', 'matching = "none"', "boolean = 3", 'lost = "auto"',
        )
    )  # fmt: skip


def words_file(rng: random.Random) -> str:
    """A claim file of one or two claims, some of them damaged."""
    model = pick(rng, ("f.safetensors",), (*BAD_SPECS, *SPECS))
    lines = [f'model = "{model}"', f'semantics = "{rng.choice(("real", "float32"))}"']
    lines += ['models = { g = "g.safetensors", h = "h.safetensors", p = "f.safetensors#1" }']
    for k in range(rng.choice((1, 1, 2))):
        pool = WHOLE if share(rng, 0.5) else DOMAINS
        first, second = (pick(rng, pool, BAD_DOMAINS) for _ in range(2))
        vector = share(rng, 0.3)
        names = ("x",) if vector else ("x", "y")
        scope = f'"x[0..1]" = "{first}"' if vector else f'x = "{first}", y = "{second}"'
        body = shown(rng, ("x[0]", "x[1]") if vector else names)
        body += "".join(f"\n{lemma(rng, names)}" for _ in range(rng.choice((0, 0, 0, 1, 2))))
        if vector:
            body = re.sub(r"\b([xy])\b(?!\[|_)", lambda found: f"x[{'xy'.index(found[1])}]", body)
        lines += ["[[claim]]", f'name = "claim {k}"', f"for = {{ {scope} }}", body]
    text = "\n".join(lines)
    return text if share(rng, 0.8) else damaged(text, rng, TOML_BITS)
