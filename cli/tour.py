"""The tables of the tour, each scored by its plan; on a CPU in two processes at a time."""

from __future__ import annotations

import multiprocessing
import queue
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from .display import Progress

if TYPE_CHECKING:
    from assay.mdl.compare import Comparison
    from assay.mdl.report import Report

TOUR = "demo.toml"
WORKERS = 2
Plan = dict[str, Any]
"""A table of ``demo.toml``."""


@dataclass(frozen=True)
class Table:
    """One table of the tour: its reports, side by side, and what is said about them."""

    plan: Plan
    reports: list[Report]

    @cached_property
    def compared(self) -> Comparison:
        """The reports side by side."""
        from assay.mdl.compare import comparison

        return comparison(self.reports, self.plan["baseline"])

    @cached_property
    def findings(self) -> list[str]:
        """Break-even sizes in words, the one the table is about first."""
        from .breakeven import overtaking, sentences, shortest

        first = [overtaking(self.compared, *self.plan["overtakes"])] if "overtakes" in self.plan else []
        return [*first, shortest(self.compared), *sentences(self.compared, self.plan["baseline"])]


def read_tour() -> list[Plan]:
    """The plans of the tables, in order."""
    text = resources.files(__package__).joinpath(TOUR).read_text(encoding="utf-8")
    plans: list[Plan] = tomllib.loads(text)["table"]
    return plans


def tables(plans: Sequence[Plan], device: str, progress: Progress | None) -> Iterator[Table]:
    """Score every plan; tables come in order, each as soon as it is there."""
    from assay.models import best_device

    if len(plans) == 1 or best_device(device).type != "cpu":
        yield from (Table(plan, reports(plan, device, progress)) for plan in plans)
        return
    context = multiprocessing.get_context("spawn")
    said: Any = context.Queue()
    with ProcessPoolExecutor(WORKERS, context, _begin, (said,)) as pool:
        for plan, future in [(plan, pool.submit(_reports, plan, device)) for plan in plans]:
            while not future.done():
                _pass_on(said, progress)
            yield Table(plan, future.result())


def reports(plan: Plan, device: str, progress: Progress | None) -> list[Report]:
    """Score everything that a plan names."""
    from assay.explanations.weighing import Question, gather, weigh
    from assay.models import best_device, load, load_dataset

    network = load(plan["model"]).to(best_device(device))
    dataset = load_dataset("zoo", network, plan["limit"])
    question = Question(
        plan["setting"], plan["target"], plan.get("site"), plan.get("delta"), plan["part_bits"]
    )
    evidence = gather(question, network, dataset)
    return weigh(evidence, plan["explain"], "assay demo", progress)


_said: Any = None
"""Where a worker tells how far it is."""


def _begin(said: Any) -> None:
    """Make a process a worker: one thread, so that two of them share two cores."""
    import torch

    global _said
    _said = said
    torch.set_num_threads(1)


def _reports(plan: Plan, device: str) -> list[Report]:
    return reports(plan, device, lambda *news: _said.put(news))


def _pass_on(said: Any, progress: Progress | None) -> None:
    """Wait a moment for news of a worker, and tell them."""
    try:
        news = said.get(timeout=0.1)
    except queue.Empty:
        return
    if progress is not None:
        progress(*news)
