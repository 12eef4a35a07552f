"""Running a torch module on symbols: tensors that hold ids of cells (see `tape`) in the place of numbers.

torch breaks what a module does down to its elementary operations and hands each of them over. Two data are
run at once, to see that each stays by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from .faults import Fault, RefusalError
from .tape import SECOND, Ids, Tape, TooLargeError

Handler = Callable[..., Any]

_TURNED = (
    "squeeze_",
    "unsqueeze_",
    "t_",
    "transpose_",
    "swapdims_",
    "swapaxes_",
    "as_strided_",
    "resize_",
    "set_",
)


class Symbol(Tensor):
    """A tensor of `ids` [the tensor's shape] that a `tracer` computes with."""

    ids: Tensor
    tracer: Tracer

    @staticmethod
    def __new__(cls, ids: Tensor, dtype: torch.dtype, tracer: Tracer) -> Symbol:
        """Wrap ids, with their shape and strides."""
        made: Any = Tensor._make_wrapper_subclass(
            cls, ids.shape, strides=ids.stride(), dtype=dtype, device=torch.device("cpu")
        )
        made.ids, made.tracer = ids, tracer
        return cast(Symbol, made)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What torch would break down too early is taken whole; everything else goes on."""
        tracer = _tracer(args, kwargs)
        args, kwargs = tree_map(tracer.seen, (args, kwargs or {}))
        if func in tracer.wholes:
            return tracer.attempt(tracer.wholes[func], func, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """One elementary operation."""
        return _tracer(args, kwargs).operation(func, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Symbol({tuple(self.shape)})"


def _tracer(args: Any, kwargs: Any) -> Tracer:
    return next(leaf.tracer for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Symbol))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees to it that tensors into which symbols were written are symbols from then on."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(self.tracer.seen, (args, kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags and func.overloadpacket not in self.tracer.handlers:
            self.tracer.fault(f"{func.overloadpacket.__name__}: random numbers are drawn")
        if any(isinstance(leaf, Symbol) for leaf in tree_flatten((args, kwargs))[0]):
            return tree_map(self.tracer.seen, self.tracer.operation(func, args, kwargs))
        return func(*args, **kwargs)


class _Calls(TorchFunctionMode):
    """The same where torch is called, before it breaks down what is done."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = (
            tree_map(self.tracer.seen, (args, kwargs or {})) if self.tracer.written else (args, kwargs)
        )
        return func(*args, **(kwargs or {}))


class Tracer:
    """Runs a module on symbols and records what it computes.

    Attributes:
        handlers: what is done for each elementary operation of torch; called with the tracer first.
        wholes: the same for functions that torch would break down.
        rounding: whether the record is to enclose what torch computes in float32.
    """

    def __init__(
        self,
        module: nn.Module,
        in_shape: tuple[int, ...],
        tokens: bool,
        rounding: bool,
        handlers: Mapping[Any, Handler],
        wholes: Mapping[Any, Handler],
    ) -> None:
        stored = module.state_dict(keep_vars=True)
        parameters = {name: t.detach() for name, t in stored.items() if t.is_floating_point()}
        self.module, self.in_shape, self.rounding = module, in_shape, rounding
        self.handlers, self.wholes = handlers, wholes
        self.dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
        self.input_dtype = torch.long if tokens else self.dtype
        self.tape = Tape(int(np.prod(in_shape, dtype=np.int64)), parameters)
        self.storages = {t.untyped_storage().data_ptr(): name for name, t in parameters.items() if t.numel()}
        self.written: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # storage: whole, ids, what it held
        self.faults: list[Fault] = []
        self.sites: dict[str, Ids] = {}
        self.path = [""]

    def run(self) -> Ids:
        """Run the module; the ids of its output, flattened, for the first datum."""
        first = np.arange(self.tape.size).reshape(1, *self.in_shape)
        x = self.symbol(np.concatenate([first, first + SECOND]), self.input_dtype)
        try:
            with torch.no_grad(), self.watched(), self.swapped(), _plain_attention(), self.followed():
                result = self.seen(self.module(x))
        except TooLargeError as error:
            self.fault(str(error))
            return np.zeros(1, dtype=np.int64)
        except Exception as error:  # the module's own code runs here: anything may come
            if not self.faults:
                self.fault(f"the network does not run on inputs of shape {self.in_shape}: {error}")
            return np.zeros(1, dtype=np.int64)
        if not isinstance(result, Symbol) or result.ids.ndim < 1 or not self.separate(result):
            self.fault("the output is not one tensor computed from the input, datum by datum")
            return np.zeros(1, dtype=np.int64)
        if not result.ids[0].numel():
            self.fault(f"the output has no numbers, but the shape {tuple(result.ids.shape[1:])}")
            return np.zeros(1, dtype=np.int64)
        if not self.faults and not self.steady():
            self.fault("torch gives a datum another answer alone than in a batch")
        return result.ids[0].numpy().ravel()

    def steady(self) -> bool:
        """Whether the size of a batch makes no difference, as far as torch can run some data here."""
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        x = torch.randn(3, *self.in_shape, generator=torch.Generator().manual_seed(0))
        data = (x if self.input_dtype.is_floating_point else x * 0).to(device, self.input_dtype)
        try:
            with torch.no_grad():
                many = self.module(data)
        except Exception:  # whatever the module's own code raises on this machine
            return True
        try:
            with torch.no_grad():
                alone = self.module(data[:1])
        except Exception:  # some norms refuse a single number
            return False
        wide = 1e-3 * float(many.abs().nan_to_num(0, 0, 0).max()) if many.is_floating_point() else 0.0
        return many[:1].shape == alone.shape and torch.allclose(
            many[:1].double(), alone.double(), 1e-3, wide, equal_nan=True
        )

    def separate(self, result: Symbol) -> bool:
        """Whether the result's first axis holds the data, each of them computed from itself."""
        ids = result.ids.numpy()
        first, datum = self.tape.of(ids)
        return len(ids) == 2 and bool(
            (first[0] == first[1]).all() and (datum[0] != 2).all() and (datum[1] != 1).all()
        )

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Symbols in the place of the module's tensors."""
        kept: list[tuple[dict[str, Any], str, Any]] = []
        for name, tensor in self.tape.parameters.items():
            path, _, last = name.rpartition(".")
            owner = self.module.get_submodule(path)
            held: dict[str, Any] = owner._parameters if last in owner._parameters else owner._buffers
            kept.append((held, last, held[last]))
            held[last] = self.symbol(self.tape.entries(name), tensor.dtype)
        try:
            yield
        finally:
            for held, last, tensor in kept:
                held[last] = tensor

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow what is written into tensors of numbers; they get back what they held."""
        try:
            with _Calls(self), _Operations(self):
                yield
        finally:
            for whole, _, held in self.written.values():
                whole.copy_(held)

    def seen(self, leaf: Any) -> Any:
        """A tensor into which symbols were written as a symbol."""
        if not self.written or not isinstance(leaf, Tensor) or isinstance(leaf, Symbol):
            return leaf
        whole, ids, _ = self.written.get(leaf.untyped_storage().data_ptr(), (None, None, None))
        if whole is None or ids is None or not leaf.numel():
            return leaf
        if leaf.dtype != whole.dtype:
            raise RuntimeError(f"{whole.dtype} that depend on the input are read as {leaf.dtype}")
        return self.symbol(ids.as_strided(leaf.shape, leaf.stride(), leaf.storage_offset()), leaf.dtype)

    def adopted(self, target: Tensor) -> Symbol:
        """A tensor of numbers as a symbol, since symbols are written into it; as numbers it is spoilt."""
        storage = target.untyped_storage()
        if storage.data_ptr() in self.storages:
            raise RefusalError("it writes into a tensor of the network")
        whole = torch.empty(0, dtype=target.dtype, device=target.device).set_(storage)
        ids = torch.as_tensor(self.tape.constant_ids(whole))
        self.written[storage.data_ptr()] = whole, ids, whole.clone()
        whole.fill_(torch.nan if whole.is_floating_point() else 1)
        return cast(Symbol, self.seen(target))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Follow which module runs, and keep what each gives."""
        handles = []
        for path, module in self.module.named_modules():
            if path:
                handles.append(module.register_forward_pre_hook(partial(self.entered, path)))
                handles.append(module.register_forward_hook(partial(self.left, path)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def entered(self, path: str, module: nn.Module, args: Any) -> None:
        """A module starts."""
        self.path.append(path)

    def left(self, path: str, module: nn.Module, args: Any, result: Any) -> None:
        """A module ends."""
        self.path.pop()
        result = self.seen(result)
        if isinstance(result, Symbol) and result.ids.ndim and self.separate(result):
            self.sites[path] = result.ids[0].numpy().ravel().copy()

    def fault(self, message: str) -> None:
        """Something that has no exact form."""
        found = Fault(message, where=self.path[-1] or "network")
        if found not in self.faults:
            self.faults.append(found)

    def operation(self, func: Any, args: Any, kwargs: Any) -> Any:
        """One of torch's operations: computed with numbers where it has no cells, or by its handler."""
        symbols = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Symbol)]
        packet, name = func.overloadpacket, func.overloadpacket.__name__
        changes = name.endswith("_") and not name.startswith("_") and packet not in self.handlers
        if changes:
            return self.attempt(lambda t, *a, **k: t.in_place(name, a, k), func, args, kwargs)
        handler, copies = self.handlers.get(packet), not func._schema.is_mutable and not func.is_view
        if copies and all(bool((s.ids < 0).all()) for s in symbols):
            return func(*tree_map(self.number, args), **tree_map(self.number, kwargs))
        return self.attempt(handler, func, args, kwargs)

    def attempt(self, handler: Handler | None, func: Any, args: Any, kwargs: Any) -> Any:
        """What a handler gives; a refusal is noted, and the computation goes on with something."""
        try:
            if handler is None:
                raise RefusalError("has no exact form here")
            return handler(self, *args, **kwargs)
        except RefusalError as refusal:
            name = getattr(getattr(func, "overloadpacket", func), "__name__", str(func))
            self.fault(f"{name}: {refusal}")
            return self.anything(func, args, kwargs)

    def anything(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Zeros in the shape of the result."""

        def shaped(leaf: Any) -> Any:
            return (
                torch.empty(leaf.shape, dtype=leaf.dtype, device="meta") if isinstance(leaf, Tensor) else leaf
            )

        try:
            result = func(*tree_map(shaped, args), **tree_map(shaped, kwargs))
        except Exception as error:  # torch raises whatever the arguments do not fit
            raise RuntimeError("it gives numbers, not tensors, that depend on the input") from error

        def zeros(leaf: Any) -> Any:
            return (
                self.symbol(np.full(tuple(leaf.shape), -1), leaf.dtype) if isinstance(leaf, Tensor) else leaf
            )

        return tree_map(zeros, result)

    def in_place(self, name: str, args: Any, kwargs: Any) -> Any:
        """What changes its first argument: the same without that, written over it."""
        if name in _TURNED:
            raise RefusalError("the shape of a tensor is changed in place")
        target = args[0] if isinstance(args[0], Symbol) else self.adopted(args[0])
        if name in ("copy_", "fill_", "zero_"):
            new = args[1] if len(args) > 1 else 0.0
        else:
            new = getattr(torch.ops.aten, name[:-1])(target, *args[1:], **kwargs)
        target.ids.copy_(torch.as_tensor(self.ids(self.fitting(new, target.dtype))))
        return args[0]

    def fitting(self, new: Any, dtype: torch.dtype) -> Any:
        """What is written into a tensor of a type; numbers are rounded to it."""
        if not isinstance(new, Tensor):
            return torch.tensor(new, dtype=dtype)
        if not isinstance(new, Symbol) and new.untyped_storage().data_ptr() not in self.storages:
            return new.to(dtype)
        if not torch.can_cast(new.dtype, dtype) or (
            new.dtype.is_floating_point and new.dtype.itemsize > dtype.itemsize
        ):
            raise RefusalError(f"{new.dtype} is written into {dtype}")
        return new

    def scalar(self, value: float) -> Fraction:
        """A number as torch uses it: rounded to the network's type."""
        return Fraction(float(torch.tensor(value, dtype=self.dtype)))

    def number(self, leaf: Any) -> Any:
        """A symbol of constants as an ordinary tensor."""
        if not isinstance(leaf, Symbol):
            return leaf
        return torch.as_tensor(self.tape.values(leaf.ids.numpy())).to(leaf.dtype)

    def ids(self, value: Any) -> Ids:
        """The ids of a symbol, of the network's own tensors or parts of them, or of numbers."""
        if isinstance(value, Symbol):
            return np.asarray(value.ids.numpy())
        if not isinstance(value, Tensor):
            value = torch.tensor(value, dtype=self.dtype)
        elif (
            name := self.storages.get(value.untyped_storage().data_ptr() if value.numel() else 0)
        ) is not None:
            whole = self.tape.parameters[name]
            numbers = torch.empty(whole.untyped_storage().nbytes() // whole.element_size(), dtype=torch.long)
            numbers.as_strided(whole.shape, whole.stride(), whole.storage_offset()).copy_(
                torch.as_tensor(self.tape.entries(name))
            )
            return np.asarray(numbers.as_strided(value.shape, value.stride(), value.storage_offset()).numpy())
        return self.tape.constant_ids(value)

    def symbol(self, ids: Any, dtype: torch.dtype | None = None) -> Symbol:
        """A symbol of given ids; of an array it has its own, since symbols may be written into."""
        return Symbol(
            torch.as_tensor(np.array(ids, order="C") if isinstance(ids, np.ndarray) else ids),
            dtype or self.dtype,
            self,
        )


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without torch's fused encoder layers."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
