"""Damaged, hostile and random claim files, ONNX and VNN-LIB files through their readers, in limited children.

    python benchmarks/proofs_fuzz.py [N]

A file is either read (claims are then bound to networks, networks lowered) or refused by an error that is
told to a person. Everything else counts: another exception, a child that dies, more than SLOW seconds of CPU
time, more memory than MEMORY beyond what is held, and a trace of the code that many of the files try to run.
Case k of a kind is the same on every machine. Writes benchmarks/results/proofs_fuzz.txt.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from assay.models import InputError as ModelError
from assay.models import Network
from assay.proofs import InputError, lower, read_onnx
from assay.proofs.claim_files import parse_file
from assay.proofs.networks import ClaimNetworks
from assay.proofs.vnnlib import parse_property
from torch import nn

RESULT = Path(__file__).parent / "results" / "proofs_fuzz.txt"
SLOW = 5
MEMORY = 2 << 30
BATCH = 500
CANARY = "assay_canary"

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


def onnx_seeds() -> list[bytes]:
    """Small networks of the operators that are read."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)

    def built(nodes: list[Any], shape: list[int], weights: dict[str, Any]) -> bytes:
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])]
        tensors = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
        model = helper.make_model(helper.make_graph(nodes, "n", inputs, outputs, tensors))
        data: bytes = model.SerializeToString()
        return data

    W, V = rng.normal(size=(2, 4)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    b, K = np.zeros(4, "float32"), rng.normal(size=(2, 1, 3, 3)).astype("float32")
    node = helper.make_node
    dense = [node("MatMul", ["x", "W"], ["a"]), node("Add", ["a", "b"], ["c"]), node("Relu", ["c"], ["d"])]
    return [
        built([*dense, node("Gemm", ["d", "V"], ["y"])], [1, 2], {"W": W, "b": b, "V": V}),
        built(
            [node("Conv", ["x", "K"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["c"]),
             node("Flatten", ["c"], ["d"]), node("Reshape", ["d", "s"], ["y"])],
            [1, 1, 4, 4], {"K": K, "s": np.array([1, -1])},
        ),
        built(
            [node("Sub", ["x", "m"], ["a"]), node("Concat", ["a", "x"], ["c"], axis=1),
             node("LeakyRelu", ["c"], ["d"], alpha=0.1), node("Softmax", ["d"], ["y"], axis=-1)],
            [1, 2], {"m": np.ones((1, 2), "float32")},
        ),
    ]  # fmt: skip


def onnx_file(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A network whose bytes, or whose fields, were changed."""
    import onnx

    data = rng.choice(seeds)
    if rng.random() < 0.5:
        model = onnx.load_from_string(data)
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            _changed(model.graph, rng)
        data = model.SerializeToString()
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.05 else changed)


def _changed(graph: Any, rng: random.Random) -> None:
    node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
    what = rng.randrange(7)
    if what == 0:
        node.op_type = rng.choice(
            ("Relu", "Conv", "Gemm", "MaxPool", "Loop", "Reshape", "Pow", "Div", "Nothing")
        )
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(("x", "y", "lost", "", node.output[0]))
    elif what == 2 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, 1, 2, -1, 10**6, 2**62))
    elif what == 3:
        tensor.data_type = rng.randrange(24)
    elif what == 4:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = rng.choice((0, 1, 3, -1, 10**7, 2**40))
    elif what == 5 and node.attribute:
        node.attribute[0].i, node.attribute[0].f = rng.choice((-1, 0, 2**62)), rng.choice((0.0, 1e300))
    else:
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(("/etc/passwd", "../../x", CANARY))
        tensor.data_location = 1


def networks() -> dict[str, Network]:
    """What claims are bound to."""
    torch.manual_seed(0)
    made = {}
    for name in ("f", "g"):
        module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        made[name] = Network(name, module, "regression", "real", (2,))
    return made


def _bound(claims: Any, given: dict[str, Network]) -> str:
    loaded = ClaimNetworks(
        None, {**given, **dict.fromkeys(("circuit", "other_model", "explanation", "unit"), given["g"])}
    )
    faults = [fault for claim in claims for fault in loaded.faults(claim)]
    return "does not fit" if faults else "read"


def tried(kind: str, k: int, given: dict[str, Network], seeds: list[bytes], folder: Path) -> str:
    """Read case k of a kind: what came of it; raises what should not come."""
    rng = random.Random(f"{kind} {k}")
    try:
        if kind == "claims":
            return _bound(parse_file(claim_file(rng), folder / "c.claims.toml").claims, given)
        if kind == "vnnlib":
            return _bound([parse_property(property_file(rng), "p.vnnlib")], given)
        (folder / "n.onnx").write_bytes(onnx_file(rng, seeds))
        network = read_onnx(folder / "n.onnx")
        lower(network.module, network.in_shape)
        return "read"
    except (InputError, ModelError) as error:
        return "refused" if len(str(error)) < 50_000 else "LONG error"


def _child(kind: str, first: int, count: int, pipe: Connection, seeds: list[bytes]) -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    torch.set_num_threads(1)
    given, start = networks(), 0.0

    def late(number: int, frame: FrameType | None) -> None:
        raise SystemExit("hang")

    signal.signal(signal.SIGPROF, late)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for k in range(first, first + count):
            start = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SLOW)
            try:
                told = tried(kind, k, given, seeds, Path(name))
            except SystemExit:
                told = "HANG"
            except BaseException as error:
                told = f"CRASH {type(error).__name__}: {str(error)[:120]}"
            signal.setitimer(signal.ITIMER_PROF, 0)
            spent = time.process_time() - start
            told = "HANG" if spent >= SLOW else told  # whatever took the signal for its own
            if any(path.name.startswith(CANARY) for path in Path(name).iterdir()):
                told = "RAN CODE"
            pipe.send((k, told, spent))
    pipe.close()


def run(
    kind: str, count: int, seeds: list[bytes], report: Callable[[str], None]
) -> tuple[Counter[str], float]:
    """Try `count` cases in children; how often each thing came of it, and the longest time."""
    found: Counter[str] = Counter()
    slowest, k = 0.0, 0
    context = multiprocessing.get_context("fork")
    while k < count:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(kind, k, min(BATCH, count - k), theirs, seeds))
        child.start()
        theirs.close()
        end = k + min(BATCH, count - k)
        while k < end:
            try:
                number, told, seconds = ours.recv()
            except EOFError:
                number, told, seconds = k, f"DIED with {child.exitcode}", 0.0
            found[told if told[0].islower() else told.split()[0]] += 1
            slowest, k = max(slowest, seconds), number + 1
            if not told[0].islower():
                report(f"{kind} {number}: {told}")
            if told.startswith("DIED"):
                break
        child.join()
    return found, slowest


def main(count: int) -> int:
    """Run a third of the cases through each reader."""
    seeds, lines, bad = onnx_seeds(), [], 0
    for kind in ("claims", "vnnlib", "onnx"):
        start = time.perf_counter()
        found, slowest = run(kind, count // 3 + (kind == "claims") * (count % 3), seeds, print)
        told = ", ".join(f"{n:,} {what}" for what, n in sorted(found.items()))
        spent = time.perf_counter() - start
        lines.append(
            f"{kind:8} {sum(found.values()):8,} files in {spent:6.0f} s: {told}; slowest {slowest:.2f} s"
        )
        bad += sum(n for what, n in found.items() if not what[0].islower())
        print(lines[-1], flush=True)
    lines.append(f"crashes, hangs, deaths, code run: {bad}")
    RESULT.write_text("\n".join(lines) + "\n")
    print(lines[-1])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
