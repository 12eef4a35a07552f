"""The stand-alone checker: runs alone, accepts what the prover made, and nothing that was tampered with."""

import ast
import copy
import io
import json
import math
import operator
import random
import subprocess
import sys
import tokenize
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from assay.proofs import Lemma, check, claim, verify
from assay.proofs.certificates import CHECKER, sealed

from tests.proofs.agreement import Function

KINK = "abs(max(f(x, y)[0], x) - f(x, y)[0] - max(x - f(x, y)[0], 0)) <= 1/1000"
CLAIMS = {
    "grid": ({"x": "integer -6..6", "y": "integer -6..6"}, "x + 2*y <= 5", "f(x, y)[0] <= {}", "real"),
    "single": ({"x": "integer -6..6", "y": "integer -6..6"}, None, "f(x, y)[0] <= {}", "float32"),
    "line": ({"x": "integer -6..6", "y": "integer -6..6"}, "x == y", "abs(f(x, y)[0]) <= {}", "real"),
    "listed": ({"x": "integer -2..2", "y": "integer -2..2"}, "x <= y", "f(x, y)[0] <= {top}", "float32"),
    "argmax": ({"x": "real -6..6", "y": "real -6..6"}, None, "argmax(f(x, y)[0], {} + 9, x) != 0", "real"),
    "kink": ({"x": "real -6..6", "y": "real -6..6"}, None, KINK, "real"),
    "lemma": ({"x": "integer -6..6", "y": "integer -6..6"}, None, "abs(f(x, y)[0]) <= {} + 2", "real"),
    "twins": ({"x": "real -6..6", "y": "real -6..6"}, None, "abs(f(x, y) - g(x, y)) <= 1/1000", "float32"),
    "gadget": ({"x": "real 0..1", "y": "bit"}, "x - max(2*x - 1, 0) == 0", "f(x, y)[0] <= {}", "real"),
    "jump": ({"x": "real -6..6", "y": "real -6..6"}, None, "h(x, y)[0] <= 7.5", "float32"),
    "refuted": ({"x": "integer -6..6", "y": "integer -6..6"}, None, "f(x, y)[0] > {}", "real"),
}


LEMMAS = {
    "lemma": Lemma("change_of_variables", {"d": "x - y", "s": "x + y"}),
    "twins": Lemma("matching", {"matching": "auto"}),
    "gadget": Lemma("boolean", {"boolean": "x, y"}),
}
RULES = ('["cut",', '["case",', '{"points":[', '"slopes":[[', '"sum":[[', '"cuts":[[')
TABLES = ('"definitions":[[', '"substitution":[[', '"twins":[[', '"verdict":"refuted"')


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A certificate of each kind, with its weights beside it, and the network."""
    folder = tmp_path_factory.mktemp("certificates")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = torch.nn.Sequential(
            torch.nn.Linear(2, 5),
            torch.nn.ReLU(),
            torch.nn.Linear(5, 4),
            torch.nn.ReLU(),
            torch.nn.Linear(4, 1),
        )
    from assay.models import Network

    network = Network("n", module, "regression", "integer", (2,))
    turned = copy.deepcopy(module)
    with torch.no_grad():
        turned[0].weight.copy_(module[0].weight.flip(0) * 2)
        turned[0].bias.copy_(module[0].bias.flip(0) * 2)
        turned[2].weight.copy_(module[2].weight.flip(1) / 2)
    other = Network("turned", turned, "regression", "integer", (2,))
    gated = Function(lambda x: torch.sign(x[:, :1]) + x[:, 1:] * (x[:, 1:] > 0.5))
    jumping = Network("gated", gated, "regression", "real", (2,))
    values = network(torch.cartesian_prod(torch.arange(-6, 7), torch.arange(-6, 7)))
    small = network(torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3)))
    bound, top = f"{float(values.abs().max()) + 1e-3:.4f}", f"{float(small.max()) + 1e-4:.5f}"
    paths = {}
    for name, (variables, given, show, semantics) in CLAIMS.items():
        show = show.format(bound, top=top)
        lemmas = (LEMMAS[name],) if name in LEMMAS else ()
        asked = claim(show, variables, given=given, semantics=semantics, name=name, lemmas=lemmas)
        (outcome,) = verify([asked], networks={"f": network, "g": other, "h": jumping}, certificates=folder)
        assert outcome.status == ("refuted" if name == "refuted" else "proved"), outcome
        written = sorted(folder.glob(f"{name}-*.json"), key=lambda path: path.stat().st_mtime)
        paths[name] = written[0]  # that with lemmas comes first
    return folder, paths, network


class Held:
    """A certificate that is in no file."""

    def __init__(self, content):
        self.text = json.dumps(content)

    def read_text(self, encoding):
        return self.text

    def with_name(self, name):
        return Path("nowhere", name)


def accepted(content, weights):
    try:
        check.check(Held(content), weights)
    except Exception:  # whatever goes wrong, it is not accepted
        return False
    return True


def places(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield from places(inner, (*path, key))
    if path:
        yield path


def mutations(content, rng, count):
    """Single changes anywhere: numbers nudged, texts edited, entries dropped, doubled or swapped."""
    spots = list(places(content))
    for _ in range(count):
        changed = _mutated(content, rng.choice(spots), rng)
        if changed != content:
            yield changed


def _mutated(value, way, rng):
    if not way:
        return _changed(value, rng)
    inside = copy.copy(value)
    inside[way[0]] = _mutated(value[way[0]], way[1:], rng)
    return inside


def _changed(value, rng):
    if isinstance(value, bool) or value is None:
        return rng.choice([True, False, None, 0, ""])
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 7, -value])
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return rng.choice(
            [value[:at] + rng.choice("0123456789-/<>=+*xyf() ") + value[at + 1 :], value[1:], ""]
        )
    if isinstance(value, list):
        return rng.choice([value[1:], value[:-1], value + value[-1:], value[::-1], []])
    return {key: value[key] for key in list(value)[1:]}


def test_it_needs_the_standard_library_only():
    tree = ast.parse(CHECKER.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def test_it_can_be_read_in_one_sitting():
    """Lines of code, without documentation, comments and blank ones."""
    source = CHECKER.read_text()
    told = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            told.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    idle = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in idle]
    code = {line for t in tokens if t.string for line in range(t.start[0], t.end[0] + 1)} - told
    assert len(code) <= 627


def test_it_runs_alone(made, tmp_path):
    folder, paths, network = made
    alone = tmp_path / "check.py"
    alone.write_text(CHECKER.read_text())
    weights = folder.glob("*.safetensors")
    moved = [tmp_path / path.name for path in paths.values()]
    for path, target in zip(paths.values(), moved, strict=True):
        target.write_text(path.read_text())
    command = [sys.executable, "-I", str(alone), *map(str, moved)]
    done = subprocess.run(
        [*command, "--weights", *map(str, weights)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("accepted") == len(moved)
    without = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert without.returncode == 1
    assert network.digest in without.stdout


def test_every_mutation_is_rejected(made):
    folder, paths, _ = made
    weights = dict(map(check.read_weights, folder.glob("*.safetensors")))
    rng = random.Random(0)
    rejected = 0
    text = "".join(path.read_text() for path in paths.values())
    assert [rule for rule in (*RULES, *TABLES) if rule not in text] == []
    for path in paths.values():
        content = json.loads(path.read_text())
        assert accepted(content, weights)
        for changed in mutations(content, rng, 1200):
            assert not accepted(changed, weights), changed
            rejected += 1
    assert rejected >= 10_000


def test_no_resealed_mutation_makes_a_false_claim_accepted(made):
    """A forger recomputes the seal. What is still accepted must be true, by brute force over the grid."""
    folder, paths, network = made
    weights = dict(map(check.read_weights, folder.glob("*.safetensors")))
    rng = random.Random(1)
    still = 0
    for name in ("grid", "single", "line", "listed", "lemma", "refuted"):
        for changed in mutations(json.loads(paths[name].read_text()), rng, 150):
            resealed = sealed(changed)
            if accepted(resealed, weights):
                still += 1
                assert true_of(resealed, network), resealed
    assert still > 0


def true_of(content, network):
    """Brute force, in plain Python, over the whole numbers of the claim's ranges."""
    ranges = {name: range(int(lo), int(hi) + 1) for name, _, lo, hi, _ in content["claim"]["for"]}
    (x_name, xs), (y_name, ys) = ranges.items()
    grid = [(x, y) for x in xs for y in ys]
    if (content["networks"]["f"]["inputs"], content["networks"]["f"]["operations"]) != (2, ORIGINAL):
        return True  # another list of operations is another network, which the checker prints
    wide = [(x, y) for x in range(-90, 91) for y in range(-90, 91)]
    outputs = dict(zip(wide, network(torch.tensor(wide)).double().flatten().tolist(), strict=True))
    given, show = content["claim"]["given"], content["claim"]["show"]
    truths = []
    for x, y in grid:
        values = {x_name: [Fraction(x)], y_name: [Fraction(y)]}
        in_scope = all(value_of(part, values, outputs) for part in given)
        truths.append(not in_scope or value_of(show, values, outputs))
    return all(truths) if content["verdict"] == "proved" else not all(truths)


def value_of(node, values, outputs):
    """What a tree means where variables and the network have these values; numbers are lists of one."""
    if isinstance(node, str):
        return values.get(node) or [Fraction(node)]
    word, *rest = node
    if word == "[]":
        return [value_of(rest[0], values, outputs)[rest[1]]]
    inner = [value_of(part, values, outputs) for part in rest]
    if word in ("and", "or", "not"):
        return {"and": all, "or": any, "not": lambda parts: not parts[0]}[word](inner)
    numbers = [number for part in inner for number in part]
    if word == "f":
        return [Fraction(outputs[tuple(numbers)])]
    if word in ("<", "<=", "=="):
        return {"<": operator.lt, "<=": operator.le, "==": operator.eq}[word](*numbers)
    return [{"+": sum, "*": math.prod, "max": max, "abs": lambda parts: abs(parts[0])}[word](numbers)]


ORIGINAL = [
    ["affine", [[0, None, "@0.weight", [[5, 1, 2, 0], [2, 0, 1, 1]]]], "@0.bias"],
    ["relu", 1],
    ["affine", [[2, None, "@2.weight", [[4, 1, 5, 0], [5, 0, 1, 1]]]], "@2.bias"],
    ["relu", 3],
    ["affine", [[4, None, "@4.weight", [[1, 1, 4, 0], [4, 0, 1, 1]]]], "@4.bias"],
]


def test_statements_are_no_vectors(made):
    folder, paths, _ = made
    weights = dict(map(check.read_weights, folder.glob("*.safetensors")))
    content = json.loads(paths["grid"].read_text())
    both = ["and", content["claim"]["show"], ["<=", "x", "6"]]
    content["claim"]["show"] = ["==", ["[]", both, 1], ["[]", ["and", ["<=", "x", "6"], ["<=", "y", "6"]], 0]]
    (folder / "indexed.json").write_text(json.dumps(sealed(content)))
    with pytest.raises(ValueError, match=r"language|not a number"):
        check.check(folder / "indexed.json", weights)


def test_other_weights_are_rejected_even_where_the_claim_still_holds(made):
    folder, paths, network = made
    for index in range(20):
        original = folder / f"{network.digest}.safetensors"
        data = bytearray(original.read_bytes())
        data[-1 - 4 * index] ^= 1
        other = Path(folder / "other.bin")
        other.write_bytes(data)
        digest, tensors = check.read_weights(other)
        with pytest.raises(ValueError, match="digest"):
            check.check(copied(paths["grid"], folder), {digest: tensors})


def copied(path, folder):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    target = elsewhere / path.name
    target.write_text(path.read_text())
    return target


def test_a_digest_is_the_models_own(made):
    folder, _, network = made
    path = folder / f"{network.digest}.safetensors"
    assert check.read_weights(path)[0] == network.digest
