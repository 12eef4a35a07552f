"""Train the brake assistant of this example: python train.py

Inputs are the distance to what stands ahead (0 to 100 m) and the speed (0 to 40 m/s); the output is how hard
to brake, from 0 to 1. The truth to fit: the deceleration needed to stop in time, v² / 2s, over 8 m/s².
"""

import argparse
from pathlib import Path

import torch
from assay.models import Network, perceptron, save, scaling

LARGEST = torch.tensor([100.0, 40.0])


def truth(x: torch.Tensor) -> torch.Tensor:
    """How hard to brake [n, 1] at distances and speeds x [n, 2]."""
    distance, speed = x.unbind(-1)
    return (speed**2 / (2 * distance.clamp(min=0.5)) / 8).clamp(max=1).unsqueeze(-1)


def train(seed: int, steps: int) -> Network:
    """Fit the truth with a ReLU network of 2, 12 and 1 units, on points drawn uniformly."""
    torch.manual_seed(seed)
    network = perceptron([2, 12, 1], first=[scaling(1 / LARGEST)])
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    for _ in range(steps):
        x = torch.rand(512, 2) * LARGEST
        loss = (network(x) - truth(x)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    print(f"root mean square error {loss.sqrt():.3f}")
    return Network("brake", network.requires_grad_(False), "regression", "real", (2,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    save(train(arguments.seed, arguments.steps), Path(__file__).with_name("brake.safetensors"))
