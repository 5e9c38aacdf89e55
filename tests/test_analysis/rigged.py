"""Neurons that emit what a test says."""

import torch
from torch import Tensor, nn

from snndense.models.layers import SpikingNeuron


class Rigged(SpikingNeuron):
    """Emits its input: what is measured is what a test says."""

    def __init__(self, levels: int = 1, norm: float = 1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.levels, self.norm = levels, norm

    def fire(self, x_seq: Tensor) -> Tensor:
        return x_seq


class Folding(nn.Module):
    """Gives a neuron samples with their steps, ``(N, T, ...)``."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x.transpose(0, 1).flatten(0, 1))


def spikes(*shape: int, levels: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, levels + 1, shape, generator=generator).float()
