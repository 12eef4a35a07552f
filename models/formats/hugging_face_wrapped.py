"""Hugging Face models that our transformer cannot express, run by ``transformers`` itself.

Every module of the model is a site under its own path.  The residual stream has TransformerLens' names as
well: ``blocks.3.hook_resid_pre`` and ``blocks.3.hook_resid_post``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.models.hooks import HookPoint
from assay.models.network import Network
from assay.models.storage import UnreadableFile
from torch import Tensor, nn

from .hugging_face_configs import Unsupported

__all__ = ["CausalLM", "read_wrapped"]

INCIDENTAL = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}


class Tap(HookPoint):
    """A hook point that a module's hidden state is passed through, on the way in or out."""

    def on_input(self, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """As a forward pre-hook: the hidden state is the first argument."""
        return (self(args[0]), *args[1:])

    def on_output(self, _module: nn.Module, _args: object, output: Any) -> Any:
        """As a forward hook: the hidden state is the output, or the first of several."""
        return (self(output[0]), *output[1:]) if isinstance(output, tuple) else self(output)


class Stream(nn.Module):
    """The hook points of one layer's residual stream."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.hook_resid_pre, self.hook_resid_post = Tap(), Tap()
        # bound methods follow their tap when the network is copied, closures would not
        layer.register_forward_pre_hook(self.hook_resid_pre.on_input)
        layer.register_forward_hook(self.hook_resid_post.on_output)


class CausalLM(nn.Module):
    """Tokens [b, p] to logits [b, p, vocabulary], through a model of ``transformers``."""

    def __init__(self, model: nn.Module, layers: nn.ModuleList) -> None:
        super().__init__()
        self.model, self.beside_weights = model, _settings(model)
        self.blocks = nn.ModuleList(Stream(layer) for layer in layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run the model without its cache."""
        logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits


def _settings(model: nn.Module) -> str:
    """The configuration, without where it lay and what wrote it."""
    config: Any = model.config
    settings = {name: value for name, value in config.to_dict().items() if name not in INCIDENTAL}
    return json.dumps(settings, sort_keys=True, default=str)


def read_wrapped(folder: Path, unsupported: Unsupported) -> Network:
    """Load a folder with ``transformers``, without its code and without the network.

    Raises `UnreadableFile` with the reasons why it was not read directly.
    """
    reasons = "; ".join(unsupported.fields)
    try:
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise UnreadableFile(
            folder, f"not supported directly: {reasons}; transformers would run it (pip install assay-nn[hf])"
        ) from error
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",
        ).float()
    except Exception as error:  # transformers, its models and its readers all have their own
        raise UnreadableFile(
            folder, f"not supported directly: {reasons}; transformers says: {str(error)[:300]}"
        ) from error
    text: Any = model.config.get_text_config()
    module = CausalLM(model, _layers(folder, model, int(text.num_hidden_layers)))
    context, vocabulary = int(getattr(text, "max_position_embeddings", 1024)), int(text.vocab_size)
    made = Network(folder.resolve().name, module, "categorical", "token", (context,), vocabulary)
    tokenizer = folder / "tokenizer.json"
    return replace(made, tokenizer=tokenizer if tokenizer.is_file() else None)


def _layers(folder: Path, model: nn.Module, count: int) -> nn.ModuleList:
    found = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not found:
        raise UnreadableFile(folder, f"has no list of {count} layers, expected a plain decoder")
    return found[0]
