"""The student: a small fixed network that the receiver trains as outputs arrive (see ``assay.mdl.student``).

A language model's outputs are predicted from the last tokens at each position, all else from the whole datum.
"""

from __future__ import annotations

import torch
from assay.mdl import Rows
from assay.models import Network
from assay.models.zoo.training import one_thread
from torch import Tensor, nn

CONTEXT, EMBEDDING, HIDDEN = 4, 16, 256
BATCH, EPOCHS, FEWEST_STEPS = 64, 3, 12
LEARNING_RATE = 2e-3


class Student:
    """An MLP that learns online; its last layer starts at zero, so it begins by knowing nothing.

    It is trained on one thread of the CPU: the same software on a like machine trains the same student, and
    reads what another has sent.
    """

    kind = "student"
    donor = "zero"
    open_ended = False

    def __init__(self, network: Network, inputs: Tensor, outputs: Rows, seed: int = 0) -> None:
        self.name, self.seed = "prequential student", seed
        self.categorical, self.tokens = network.output == "categorical", network.input == "token"
        self.by_position = self.tokens and len(outputs.shape) == 3
        self._width = int(outputs.shape[-1])
        self._vocabulary = network.vocabulary or 0
        self._size = CONTEXT if self.by_position else int(inputs[0].numel())
        flat = inputs.flatten(1).cpu().double() if not self.tokens else torch.zeros(1, 1)
        with one_thread():
            self._centre, self._spread = flat.mean(0), flat.std(0, correction=0).clamp_min(1e-6)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._net = self._fresh()
        self._optimiser = torch.optim.Adam(self._net.parameters(), lr=LEARNING_RATE)
        self._order = torch.Generator().manual_seed(self.seed)
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._mean, self._scale = torch.zeros(self._width), torch.ones(self._width)

    def _fresh(self) -> nn.Sequential:
        embedding: list[nn.Module] = []
        size = self._size
        if self.tokens:  # one more token stands for "before the beginning"
            embedding, size = [nn.Embedding(self._vocabulary + 1, EMBEDDING), nn.Flatten()], size * EMBEDDING
        last = nn.Linear(HIDDEN, self._width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(*embedding, nn.Linear(size, HIDDEN), nn.GELU(), last)

    def _rows(self, x: Tensor) -> Tensor:
        """What the student reads: [rows, context] tokens, or [rows, d] numbers."""
        if self.by_position:
            padded = nn.functional.pad(x, (CONTEXT - 1, 0), value=self._vocabulary)
            return padded.unfold(1, CONTEXT, 1).flatten(0, 1)
        if self.tokens:
            return x.flatten(1)
        return ((x.flatten(1).double() - self._centre) / self._spread).float()

    @one_thread()
    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Logits, or values, of every datum (and position)."""
        out = self._net(self._rows(x.cpu()))
        if not self.categorical:
            out = out.double() * self._scale + self._mean
        shape = (len(x), x.shape[1], self._width) if self.by_position else (len(x), self._width)
        predicted: Tensor = out.reshape(shape)
        return predicted

    @one_thread()
    def learn(self, x: Tensor, y: Tensor) -> None:
        """Some passes over as much as came, drawn from everything seen so far."""
        rows = self._rows(x.cpu())
        given = y.cpu()
        given = given.reshape(len(rows)) if self.categorical else given.reshape(len(rows), -1).double()
        self._seen.append((rows, given))
        every, outputs = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen = [(every, outputs)]
        if not self.categorical:
            self._mean = outputs.mean(0)
            self._scale = outputs.std(0, correction=0).clamp_min(1e-6)
        with torch.enable_grad():
            for _ in range(max(FEWEST_STEPS, EPOCHS * len(rows) // BATCH)):
                self._step(every, outputs)

    def _step(self, rows: Tensor, outputs: Tensor) -> None:
        chosen = torch.randint(len(rows), (min(BATCH, len(rows)),), generator=self._order)
        out = self._net(rows[chosen])
        if self.categorical:
            loss = nn.functional.cross_entropy(out, outputs[chosen])
        else:
            wanted = (outputs[chosen] - self._mean) / self._scale
            loss = (out - wanted.to(out)).square().mean()
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        self._optimiser.step()

    def recipe(self) -> dict[str, object]:
        """The architecture and how it learns."""
        shape: dict[str, object] = {"hidden": HIDDEN, "batch": BATCH, "epochs": EPOCHS, "lr": LEARNING_RATE}
        if self.tokens:
            shape |= {"context": self._size, "embedding": EMBEDDING}
        return {"kind": self.kind, "seed": self.seed, **shape}
