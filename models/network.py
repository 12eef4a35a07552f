"""Networks with named sites, read and changed through plain torch hooks."""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .errors import InputError

__all__ = ["Intervention", "Network", "UnknownSite", "tensor_bytes"]

Output = Literal["regression", "categorical"]
Input = Literal["real", "integer", "token", "bit"]

Intervention = Callable[[Tensor], Tensor]
"""What is done to the activation at a site: [b, …] to [b, …]."""


class UnknownSite(InputError):
    """The network has no module of that name; the message lists near ones."""

    def __init__(self, network: str, site: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(site, known, n=4, cutoff=0.5) or list(known[:8])
        super().__init__(f"network {network!r} has no site {site!r}; near names: {', '.join(near) or 'none'}")
        self.site = site


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network: a torch module, and what goes in and comes out.

    ``input`` says what the numbers are: reals, integers, tokens (0 … ``vocabulary`` - 1) or bits.
    ``in_shape`` is the shape of one datum; for tokens it is the longest sequence.  ``output`` is
    "categorical" (logits along the last axis) or "regression".  ``tokenizer`` is the tokenizer.json that
    makes tokens of a text, where there is one.  The module is put into eval mode and its parameters stop
    asking for gradients; nothing here changes a weight, so `digest` identifies the network for good.
    """

    name: str
    module: nn.Module
    output: Output
    input: Input
    in_shape: tuple[int, ...]
    vocabulary: int | None = None
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        for field, value, known in (("output", self.output, Output), ("input", self.input, Input)):
            if value not in get_args(known):
                wanted = ", ".join(get_args(known))
                raise InputError(f"network {self.name!r}: {field} is {value!r}, expected one of {wanted}")
        if self.input == "token" and not self.vocabulary:
            raise InputError(f"network {self.name!r} reads tokens, so it needs the size of its vocabulary")
        self.module.eval().requires_grad_(False)

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 (hex) over the sorted (name, dtype, shape, bytes) of the state dict, on any device.

        Certificates name networks by it, beside their operations.
        """
        return self._hashed("")

    @cached_property
    def digest(self) -> str:
        """The same, after what a module says in ``beside_weights`` of what its weights do not show."""
        return self._hashed(str(getattr(self.module, "beside_weights", "")))

    def _hashed(self, first: str) -> str:
        sha = hashlib.sha256(first.encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            sha.update(tensor_bytes(tensor))
        return sha.hexdigest()

    @property
    def device(self) -> torch.device:
        """Where the parameters are (the CPU if there are none)."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The parameters' floating-point type."""
        return next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)

    def sites(self) -> tuple[str, ...]:
        """Name every module of the network whose output can be read: hook points, and plain module paths."""
        containers = (nn.ModuleList, nn.ModuleDict)
        return tuple(n for n, m in self.module.named_modules() if n and not isinstance(m, containers))

    def parameters(self) -> dict[str, Tensor]:
        """All weights by name: parameters, tied ones once, and the real buffers that the state dict holds.

        Such buffers were learned, too (the running statistics of a BatchNorm layer). Those that no file of
        weights holds, and counters and masks among the others, belong to the architecture.
        """
        stored = self.module.state_dict(keep_vars=True)
        buffers = self.module.named_buffers()
        learned = {n: b for n, b in buffers if n in stored and b.is_floating_point()}
        return dict(self.module.named_parameters()) | learned

    def __call__(self, x: Tensor) -> Tensor:
        """Answer for a batch [b, *in_shape]: logits or values [b, …]."""
        answer = self.module(self._prepared(x))
        if not isinstance(answer, Tensor):
            raise InputError(
                f"network {self.name!r} answers with a {type(answer).__name__}, expected a tensor"
            )
        return answer

    def run(
        self, x: Tensor, capture: Sequence[str] = (), patches: Mapping[str, Intervention] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Answer for a batch and give the activations at the sites ``capture`` as well.

        ``patches`` are applied on the way; a site that is both is captured as patched.  Gradients flow
        through whatever asks for them.
        """
        captured: dict[str, Tensor] = {}
        with ExitStack() as stack:
            for site, change in (patches or {}).items():
                stack.enter_context(self._hooked(site, change))
            for site in capture:
                stack.enter_context(self._hooked(site, _keep(captured, site)))
            outputs = self(x)
        if silent := [site for site in capture if site not in captured]:
            raise InputError(f"network {self.name!r} never passes through site(s) {', '.join(silent)}")
        return outputs, captured

    def patched(self, x: Tensor, patches: Mapping[str, Intervention]) -> Tensor:
        """Answer for a batch with the activation at each given site replaced by what its function returns."""
        return self.run(x, patches=patches)[0]

    def with_weights(self, weights: Mapping[str, Tensor]) -> Network:
        """Copy the network and give some parameters or buffers new values, of the same shapes."""
        module = copy.deepcopy(self.module)
        state = module.state_dict()
        for name, value in weights.items():
            if name not in state:
                raise UnknownSite(self.name, name, sorted(state))
            if state[name].shape != value.shape:
                raise InputError(
                    f"weight {name!r} of {self.name!r}: got shape {tuple(value.shape)}, "
                    f"expected {tuple(state[name].shape)}"
                )
            state[name].copy_(value.detach())
        return replace(self, module=module)

    def substitute(self, modules: Mapping[str, nn.Module]) -> Network:
        """Copy the network with the modules at the given paths swapped for others."""
        module = copy.deepcopy(self.module)
        for path, new in modules.items():
            self._module(path)
            module.set_submodule(path, new)
        return replace(self, module=module)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Network:
        """Give the network on a device and in a floating-point type; itself where nothing changes."""
        device, dtype = torch.empty(0, device=device or self.device).device, dtype or self.dtype
        if device == self.device and dtype == self.dtype:
            return self
        return replace(self, module=copy.deepcopy(self.module).to(device=device, dtype=dtype))

    def check(self, inputs: Tensor) -> None:
        """Raise `InputError` unless ``inputs`` [n, …] are data for this network: shape, finite, in range."""
        self._check_shape(inputs)
        if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
            first = (~inputs.isfinite()).nonzero()[0].tolist()
            raise InputError(f"inputs of {self.name!r} are not finite, first at index {first}")
        if self.input == "real" or inputs.numel() == 0:
            return
        if inputs.is_floating_point() and not bool((inputs == inputs.round()).all()):
            raise InputError(f"inputs of {self.name!r} have to be whole numbers ({self.input})")
        low, high = int(inputs.min()), int(inputs.max())
        top = {"bit": 1, "token": (self.vocabulary or 0) - 1}.get(self.input)
        if top is not None and (low < 0 or high > top):
            raise InputError(
                f"inputs of {self.name!r} lie in {low}..{high}, expected {self.input}s in 0..{top}"
            )

    def _check_shape(self, x: Tensor) -> None:
        got, want = tuple(x.shape[1:]), self.in_shape
        shorter = self.input == "token" and len(got) == len(want) == 1 and 0 < got[0] <= want[0]
        if x.ndim == 0 or (got != want and not shorter):
            raise InputError(
                f"network {self.name!r} got an input of shape {tuple(x.shape)}, "
                f"expected [n, {', '.join(map(str, want))}]"
            )

    def _prepared(self, x: Tensor) -> Tensor:
        self._check_shape(x)
        return x.to(self.device, torch.long if self.input == "token" else self.dtype)

    def _module(self, site: str) -> nn.Module:
        if site not in (known := self.sites()):
            raise UnknownSite(self.name, site, known)
        return self.module.get_submodule(site)

    @contextmanager
    def _hooked(self, site: str, change: Intervention) -> Iterator[None]:
        def hook(_module: nn.Module, _inputs: object, activation: object) -> Tensor:
            if not isinstance(activation, Tensor):
                raise InputError(f"site {site!r} gives a {type(activation).__name__}, expected a tensor")
            return change(activation)

        handle = self._module(site).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


def _keep(captured: dict[str, Tensor], site: str) -> Intervention:
    def keep(activation: Tensor) -> Tensor:
        captured[site] = activation
        return activation

    return keep


def tensor_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor as raw bytes, row by row, little-endian on every machine we run on."""
    flat = tensor.detach().cpu().reshape(-1)
    whole = flat.clone(memory_format=torch.contiguous_format)  # one element may have a stride of 0
    return whole.view(torch.uint8).numpy().tobytes()
