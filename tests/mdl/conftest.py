import pytest
import torch
from assay.mdl import (
    Code,
    Dictionary,
    GridTarget,
    MechanismProblem,
    Parts,
    PartTensor,
    SiteProblem,
    one_part,
    score_mechanism,
    score_site,
)
from assay.mdl.report import ExplanationRecord, Report, ScopeRecord, environment, make_report


class Neurons:
    kind = name = "neurons"
    open_ended = False

    def __init__(self, width: int) -> None:
        self.width = width

    def dictionary(self) -> Dictionary:
        return Dictionary(None, torch.zeros(self.width))

    def code(self, x: torch.Tensor) -> Code:
        return Code.dense(x)

    def recipe(self) -> dict[str, object]:
        return {}


class Table:
    """y = x W, one part for each input coordinate, active where it is not zero."""

    kind = "components"
    donor = "zero"
    open_ended = False

    def __init__(self, W: torch.Tensor, name: str = "rows of W") -> None:
        self.W, self.name = W, name

    def parts(self) -> Parts:
        owner = torch.arange(len(self.W))
        rest = one_part("bias", torch.zeros(self.W.shape[1]), len(self.W))
        return Parts(len(self.W), (PartTensor("W", self.W, owner), rest))

    def active(self, restored, x: torch.Tensor) -> torch.Tensor:
        return (x != 0)[:, None]

    def predict(self, restored, x: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        return (x * active[:, 0]) @ restored["W"] + restored["bias"][0]

    def recipe(self) -> dict[str, object]:
        return {"rows": len(self.W)}


def sparse_inputs(n: int, width: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, width, generator=g, dtype=torch.float64)
    return x * (torch.rand(n, width, generator=g) < 0.15)


@pytest.fixture
def table() -> Table:
    W = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Table(W)


@pytest.fixture
def problem(table) -> MechanismProblem:
    x = sparse_inputs(300, 8, 1)
    return MechanismProblem(x, x @ table.W, GridTarget(0.05))


def scope(**changed) -> ScopeRecord:
    about = {
        "model": "table", "model_digest": "m", "dataset": "drawn", "data_fingerprint": "d", "condition": "",
        "distribution": "", "setting": "mechanism", "site": None, "target": "outputs", "delta": 0.05,
        "donor": "zero", "receiver_knows": "the inputs; nothing of the network", "data": 300, "rows": 300,
        "unit": "sample",
    }  # fmt: skip
    return ScopeRecord(**(about | changed))


def reported(score, name: str = "rows of W", **changed) -> Report:
    record = ExplanationRecord(kind="components", name=name, digest="e", recipe={"rows": 8})
    return make_report(
        score, scope(**changed), record, environment("cpu", 0, "assay score"), {"decodes": True}
    )


@pytest.fixture
def report(table, problem) -> Report:
    return reported(score_mechanism(table, problem))


@pytest.fixture
def site_score():
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(3))
    return score_site(Neurons(5), SiteProblem(x, GridTarget(0.1), 0.1))
