"""Networks, the places inside them, the data they run on, and a zoo of small trained ones.

Names: a `Network` has *sites* (hook points) where activations are read and replaced; a `Dataset` is data with
a fingerprint, drawn from a `Scope`; `Activations` are what is found at a site.  `load` and `load_dataset`
turn what a user writes into them; `assay.models.zoo` holds the shipped networks and their recipes.
"""

from .activations import Activations, Batch, NotFinite, best_device, collect, micro_batch_size, stream
from .arrays import read_arrays
from .behaviour import ActivationsOnDemand, Behaviour
from .dataset import Dataset, Scope
from .dataset_files import load_dataset
from .errors import InputError
from .hooks import HookPoint
from .loading import load
from .network import Intervention, Network, UnknownSite
from .perceptron import perceptron, scaling
from .storage import UnreadableFile, save
from .toys import ResidualMLP, ResidualMLPConfig, Superposition, SuperpositionConfig
from .transformer import Transformer, TransformerConfig

__all__ = [
    "Activations",
    "ActivationsOnDemand",
    "Batch",
    "Behaviour",
    "Dataset",
    "HookPoint",
    "InputError",
    "Intervention",
    "Network",
    "NotFinite",
    "ResidualMLP",
    "ResidualMLPConfig",
    "Scope",
    "Superposition",
    "SuperpositionConfig",
    "Transformer",
    "TransformerConfig",
    "UnknownSite",
    "UnreadableFile",
    "best_device",
    "collect",
    "load",
    "load_dataset",
    "micro_batch_size",
    "perceptron",
    "read_arrays",
    "save",
    "scaling",
    "stream",
]
