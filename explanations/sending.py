"""``encode``: the real bitstream of one explanation of a site."""

from __future__ import annotations

from assay.mdl import DoesNotDecode, Score, score_site
from assay.mdl.audit import bitstream
from assay.mdl.bitstream import decode
from assay.mdl.grid import quantise

from .errors import ExplanationError
from .registry import build
from .weighing import Evidence, Progress, site_problem


def send(evidence: Evidence, spec: str, progress: Progress | None = None) -> tuple[bytes, Score]:
    """Bytes from which the activations come back on their grid, and the score whose length they have.

    Raises :class:`ExplanationError` unless the question is about activations at a site, and
    ``DoesNotDecode`` where what is received is not what was sent.
    """
    question = evidence.question
    if (question.setting, question.target) != ("site", "activations"):
        raise ExplanationError("only activations at a site are written: use --setting site")
    explanation, problem = build(spec, evidence.subject()), site_problem(evidence)
    named = None if progress is None else lambda done, total: progress(explanation.name, done, total)
    score = score_site(explanation, problem, question.precision, progress=named)
    data = bitstream(explanation, problem, score)
    if not decode(data).target().equal(quantise(problem.x, problem.delta).cpu()):
        raise DoesNotDecode(f"{explanation.name}: the bitstream restores something else")
    return data, score
