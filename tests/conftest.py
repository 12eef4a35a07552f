"""One thread per test process: several of them share the cores."""

import torch

torch.set_num_threads(1)
