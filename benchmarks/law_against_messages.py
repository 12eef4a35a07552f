"""The law L(N) against messages that are really encoded: random subsets of N data, parts at first use.

For each zoo model and explanation, subsets of N = 1, 10, 100 and all n data are encoded with the codes
that the law names at that N. Prints the mean ideal length, its standard error, the mean of the real ANS
stream, and L(N).

Run: python benchmarks/law_against_messages.py
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from assay.explanations import build
from assay.explanations.subject import Subject
from assay.mdl import GridTarget, Law, MechanismProblem, Parts, score_mechanism
from assay.mdl import wire as on
from assay.mdl.grid import quantise
from assay.mdl.keyed import keyed, linear_sharings
from assay.mdl.parts import Grid, PartWay, SentParts, send_parts
from assay.mdl.support import support_costs
from assay.mdl.tally import Ints, Usage
from assay.mdl.transmit import stream, stream_code
from assay.mdl.transmit_parts import Told, tensor_told
from assay.mdl.transmit_support import support
from assay.mdl.wire import Sender
from assay.models import load, zoo

CASES = (
    ("tms-5-2", "components,from=truth", 0.05, 8),
    ("tms-40-10", "components,from=truth", 0.05, 8),
    ("tms-40-10", "components,from=svd", 0.05, 8),
    ("resid-mlp", "neurons", 0.1, 6),
)
SIZES = {1: 400, 10: 200, 100: 60}


def main() -> None:
    torch.set_num_threads(1)
    for name, text, delta, precision in CASES:
        compare(name, text, delta, precision, n=400)


def compare(name: str, text: str, delta: float, precision: int, n: int) -> None:
    network = load(f"zoo:{name}")
    data = zoo.data(name, n, 1)
    outputs = network(data.inputs)
    explanation = build(text, Subject("mechanism", network, data, outputs=outputs))
    problem = MechanismProblem(data.inputs, outputs, GridTarget(delta))
    law = plain(score_mechanism(explanation, problem, precision).law)
    parts = explanation.parts()
    sent = send_parts(parts, precision)
    active = explanation.active(sent.restored, data.inputs)
    wanted = quantise(outputs, delta)
    residual = (wanted - quantise(explanation.predict(sent.restored, data.inputs, active), delta)).numpy()
    used = active[:, 0].numpy().astype(np.int64)
    print(f"{name}: {explanation.name}, delta {delta}, {precision}-bit parts, n = {n}")
    rng = np.random.default_rng(0)
    for N in (*SIZES, n):
        subsets = [rng.choice(n, N, replace=False) for _ in range(SIZES.get(N, 1))]
        lengths = [encode(law, parts, sent, used[s], residual[s], residual) for s in subsets]
        report(N, law(N), np.array(lengths))


def plain(law: Law) -> Law:
    """Without the codes that look at other parts or at fractions, which this script does not write out."""
    simple = {
        line: tuple(r for r in ways if "dependent" not in r.name and "by fraction" not in r.name)
        for line, ways in law.rates.items()
    }
    return replace(law, rates=simple)


def report(N: int, law: float, lengths: np.ndarray) -> None:
    ideal, real = lengths.mean(0)
    error = lengths[:, 0].std(ddof=1) / math.sqrt(len(lengths)) if len(lengths) > 1 else 0.0
    off = (ideal - law) / error if error else ideal - law
    unit = "standard errors" if error else "bits"
    print(
        f"  N = {N:4d}: L(N) {law:11.1f}   mean of {len(lengths):3d} messages {ideal:11.1f} ± {error:6.1f}"
        f"   off by {off:+.2f} {unit}   ANS stream {real:11.0f}"
    )


def encode(
    law: Law, parts: Parts, sent: SentParts, active: Ints, residual: Ints, every: Ints
) -> tuple[float, float]:
    """Ideal and real length of a message about some data, with the codes that the law names."""
    point, sender = law.at(len(active)), Sender()
    on.natural(sender, np.array([sent.precision]), 1)
    if point.codes["support"] == "frequencies":
        frequencies(sender, law, active)
    else:
        costs = {cost.name: cost for cost in support_costs(Usage.of(active))}
        support(sender, active, costs[point.codes["support"]], *active.shape)
    used, before = np.append(active.any(0), True), list[Grid]()
    for i, way in enumerate(cheapest(law, len(active))):
        told = Told(way, sent.grids[i])
        before.append(tensor_told(sender, parts, i, sent.precision, used, told, before))
    correction(sender, law, point.codes["residual"], residual, every)
    return sender.bits, 32.0 * len(sender.words())


def frequencies(sender: Sender, law: Law, active: Ints) -> None:
    """The counts of all n data once, then these data at those frequencies."""
    sender.uniform(np.array([0]), 8, 1)  # which code of the support
    on.natural(sender, np.array([law.n]), 1)
    on.natural(sender, law.usage + 1, law.usage.size)
    open_parts = np.nonzero((law.usage > 0) & (law.usage < law.n))[0]
    p = law.usage[open_parts] / law.n
    sender.bernoulli(active[:, open_parts].ravel(), np.tile(p, len(active)))


def cheapest(law: Law, N: int) -> Iterator[PartWay]:
    from assay.mdl.law import used

    probability = np.append(used(law.n, law.usage, N), 1.0)
    for ways in law.parts:
        yield min(ways, key=lambda way: way.total(probability))


def correction(sender: Sender, law: Law, label: str, residual: Ints, every: Ints) -> None:
    """The residual under the shared codes that the law was built from, fitted to all data."""
    width = every.shape[1]
    tally = keyed(np.tile(np.arange(width), len(every)), every.ravel())
    rate = min(law.rates["residual"], key=lambda r: r.at(len(residual)))
    ways = [w for w in linear_sharings(tally, width) if w.label == label]
    way = min(ways, key=lambda w: abs(w.header - rate.header))
    keys = np.tile(np.arange(width), len(residual))
    sender.uniform(np.array([0]), 8, 1)  # how codes are shared
    if way.name == "classes":
        from assay.mdl.streams import shortest
        from assay.mdl.tally import Histogram

        code = stream_code(sender, shortest(Histogram.of(way.code_of)))
        stream(sender, way.code_of, width, code)
    codes = [stream_code(sender, code) for code in way.codes]
    for g, code in enumerate(codes):
        symbols = residual.ravel()[way.code_of[keys] == g]
        stream(sender, symbols, len(symbols), code)


if __name__ == "__main__":
    main()
