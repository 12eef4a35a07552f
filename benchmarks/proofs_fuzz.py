"""Damaged, hostile and random claim files, ONNX and VNN-LIB files through their readers, in limited children.

    python benchmarks/proofs_fuzz.py [N] [KIND …]

A file is either read (claims are then bound to networks, networks lowered) or refused by an error that is
told to a person. Everything else counts: an exact form that is not what torch computes, another exception,
a child that dies, more than SLOW seconds of CPU time, more memory than MEMORY beyond what is held, and a
trace of the code that many of the files try to run.
The last kind is also verified, in a short time: it has to come to a verdict.

Case k of a kind is the same on every machine. Writes benchmarks/results/proofs_fuzz.txt.
"""

from __future__ import annotations

import copy
import math
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import torch
from assay.models import InputError as ModelError
from assay.models import Network, save
from assay.proofs import Asked, InputError, UnsupportedError, claim, lower, read_onnx, verify_all
from assay.proofs.claim_files import parse_file
from assay.proofs.claims import Claim
from assay.proofs.networks import ClaimNetworks
from assay.proofs.program import UNDEFINED
from assay.proofs.replay import exact_answers
from assay.proofs.vnnlib import parse_property
from fuzzed_networks import onnx_file, onnx_seeds
from fuzzed_operators import operator_file
from fuzzed_texts import CANARY, claim_file, property_file
from fuzzed_words import words_file
from torch import nn

RESULT = Path(__file__).parent / "results" / "proofs_fuzz.txt"
SLOW = 5
MEMORY = 2 << 30
BATCH = 500
BUDGET = 0.3
SHARES = {"claims": 20, "vnnlib": 20, "onnx": 20, "words": 20, "operators": 20, "verdicts": 1}
"""Of each kind so many files."""


def networks() -> dict[str, Network]:
    """What claims are bound to."""
    torch.manual_seed(0)
    made = {}
    for name in ("f", "g"):
        module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        made[name] = Network(name, module, "regression", "real", (2,))
    made["h"] = _permuted(made["f"])
    return made


def _permuted(network: Network) -> Network:
    """The same network with its ReLUs in another order and on another scale."""
    first, _, last = network.module
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    order, scale = torch.tensor([2, 0, 1]), torch.tensor([2.0, 0.5, 4.0])
    with torch.no_grad():
        module[0].weight.copy_(first.weight[order] * scale[:, None])
        module[0].bias.copy_(first.bias[order] * scale)
        module[2].weight.copy_(last.weight[:, order] / scale)
        module[2].bias.copy_(last.bias)
    return Network("h", module, "regression", "real", (2,))


def _bound(claims: Iterable[Claim], given: dict[str, Network]) -> str:
    loaded = ClaimNetworks(None, given)
    faults = [fault for claim in claims for fault in loaded.faults(claim)]
    return "does not fit" if faults else "read"


def _called(given: dict[str, Network]) -> dict[str, Network]:
    """The networks by all names that claims have for them."""
    return {**given, **dict.fromkeys(("circuit", "other_model", "explanation", "unit"), given["g"])}


def _read(data: bytes, folder: Path) -> Network:
    (folder / "n.onnx").write_bytes(data)
    return read_onnx(folder / "n.onnx")


def about(network: Network, rng: random.Random) -> Claim:
    """A claim about a network's first answer."""
    size = math.prod(network.in_shape)
    domain = f"token 0..{(network.vocabulary or 1) - 1}" if network.input == "token" else "real -1..1/2"
    show = rng.choice(("f(x)[0] <= 1", "argmax(f(x)) == 0", "f(x)[0] >= -1/3", "max(f(x)) < sum(f(x)) + 1"))
    return claim(show, {f"x[0..{size - 1}]": domain}, semantics=rng.choice(("real", "float32")))


def _as_torch(network: Network) -> bool:
    """Whether a small network's exact form gives what torch gives at a few points, where both are defined."""
    tokens, shape = network.input == "token", network.in_shape
    module = copy.deepcopy(network.module).double()
    held = [float(p.double().abs().max()) for p in module.parameters() if p.numel()]
    if math.prod(shape) > 64 or not all(n < 1e4 for n in held):
        return True
    try:
        graph = lower(network.module, shape, tokens=tokens)
    except UnsupportedError:
        return True
    answer, strange = exact_answers({"f": graph}), list[bool]()
    for layer in module.modules():  # what is made of what is no number need not be the same
        layer.register_forward_hook(lambda _, xs, y: strange.append(not bool(y.double().isfinite().all())))
    for seed in range(3 if graph.outputs <= 64 else 0):
        x = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        x = x.abs().long() % (network.vocabulary or 1) if tokens else x
        try:
            with torch.no_grad():
                told = module(x).double().flatten()
        except RuntimeError:  # of types that do not go together, now that all else is of float64
            return True
        if any(strange):
            return True
        found = [_float(v) for v in answer("f", [Fraction(v) for v in x.flatten().tolist()])]
        exact = torch.tensor(found, dtype=torch.float64)
        defined = exact.isfinite()
        single = network(x).double().flatten()  # a cast to float32 is none in float64
        near = torch.isclose(told, exact, 1e-5, 1e-5) | torch.isclose(single, exact, 1e-3, 1e-3)
        if not near[defined].all():
            return False
    return True


def _float(value: Fraction) -> float:
    return math.nan if abs(value) >= UNDEFINED else float(value)


def _beside(given: dict[str, Network], folder: Path) -> None:
    """The networks as files."""
    for name, network in given.items():
        if not (folder / f"{name}.safetensors").exists():
            save(network, folder / f"{name}.safetensors")


def _bound_beside(text: str, given: dict[str, Network], folder: Path) -> str:
    """Bind the claims of a file to the networks that it names, and place the faults in it."""
    _beside(given, folder)
    file = parse_file(text, folder / "c.claims.toml")
    loaded = ClaimNetworks(folder, {})
    faults = [fault for made in file.claims for fault in file.located(made, loaded.faults(made))]
    return "does not fit" if faults else "read"


def _verified(rng: random.Random, given: dict[str, Network], folder: Path) -> str:
    """Have something verified for a short time: a random network, or a claim file."""
    if rng.random() < 0.5:
        network = _read(operator_file(rng, damage=0.2), folder)
        asked = Asked([about(network, rng)], {"f": network})
    else:
        _beside(given, folder)
        asked = Asked(parse_file(words_file(rng), folder / "c.claims.toml"))
    (outcomes,) = verify_all([asked], budget_s=BUDGET, memory=MEMORY // 4)
    return "told" if all(outcome.to_dict() for outcome in outcomes) else "NOTHING told"


def tried(kind: str, k: int, given: dict[str, Network], seeds: list[bytes], folder: Path) -> str:
    """Read case k of a kind: what came of it; raises what should not come."""
    rng = random.Random(f"{kind} {k}")
    try:
        match kind:
            case "claims":
                return _bound(parse_file(claim_file(rng), folder / "c.claims.toml").claims, _called(given))
            case "vnnlib":
                return _bound([parse_property(property_file(rng), "p.vnnlib")], _called(given))
            case "onnx":
                network = _read(onnx_file(rng, seeds), folder)
                lower(network.module, network.in_shape)
                return "read"
            case "operators":
                network = _read(operator_file(rng), folder)
                told = _bound([about(network, rng)], {"f": network})
                return told if told != "read" or _as_torch(network) else "OTHER than torch"
            case "words":
                return _bound_beside(words_file(rng), given, folder)
            case "verdicts":
                return _verified(rng, given, folder)
        raise KeyError(kind)
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


def main(count: int, kinds: Sequence[str]) -> int:
    """Run each reader's share of the cases."""
    seeds, lines, bad = onnx_seeds(), [], 0
    total = sum(SHARES[kind] for kind in kinds)
    for kind in kinds:
        start = time.perf_counter()
        found, slowest = run(kind, max(1, round(count * SHARES[kind] / total)), seeds, print)
        told = ", ".join(f"{n:,} {what}" for what, n in sorted(found.items()))
        spent = time.perf_counter() - start
        lines.append(
            f"{kind:9} {sum(found.values()):8,} files in {spent:6.0f} s: {told}; slowest {slowest:.2f} s"
        )
        bad += sum(n for what, n in found.items() if not what[0].islower())
        print(lines[-1], flush=True)
    lines.append(f"crashes, hangs, deaths, code run: {bad}")
    if list(kinds) == list(SHARES):
        RESULT.write_text("\n".join(lines) + "\n")
    print(lines[-1])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, sys.argv[2:] or list(SHARES)))
