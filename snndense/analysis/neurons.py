"""Which modules of a model are neurons, and what their outputs mean."""

from typing import NamedTuple, Optional

from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn

from snndense.models.layers import SpikingNeuron

NEURONS = (SpikingNeuron, BaseNode)


class SpikeFormat(NamedTuple):
    """How spikes are written in a neuron's output.

    Attributes:
        levels (int): Most spikes of one step, D.
        norm (float): Value = number of spikes / norm.
        time_steps (int, optional): T; None where the steps come one by one.
    """

    levels: int
    norm: float
    time_steps: Optional[int]


def find_neurons(model: nn.Module) -> dict[str, nn.Module]:
    """Neurons of a model by their names: ours, and spikingjelly's.

    Raises:
        ValueError: If there is none.
    """
    neurons = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, NEURONS)
    }
    if not neurons:
        raise ValueError(
            f'{type(model).__name__} has no spiking neuron: none of its modules is a '
            "snndense neuron or spikingjelly's BaseNode"
        )
    return neurons


def spike_format(neuron: nn.Module, output: Tensor) -> SpikeFormat:
    """Format of what ``neuron`` has just emitted."""
    if isinstance(neuron, SpikingNeuron):
        if (steps := neuron.virtual_steps) > 1:  # binary, see to_spike_driven
            return SpikeFormat(1, neuron.norm / steps, neuron.time_steps * steps)
        levels = neuron.levels
        if neuron.training:
            levels = getattr(neuron, 'train_levels', levels)
        return SpikeFormat(levels, neuron.norm, neuron.time_steps)
    levels = getattr(neuron.surrogate_function, 'max_spike_count', 1)
    steps = output.shape[0] if neuron.step_mode == 'm' else None
    return SpikeFormat(int(levels), 1, steps)


def time_steps_of(model: nn.Module) -> int:
    """T of a model: that of its backbone, else the most of any module; 1 without."""
    backbone = getattr(model, 'backbone', model)
    steps = getattr(backbone, 'time_steps', None)
    if isinstance(steps, int):
        return steps
    found = (getattr(module, 'time_steps', 1) for module in model.modules())
    return max((steps for steps in found if isinstance(steps, int)), default=1)


def levels_of(model: nn.Module) -> int:
    """Most spikes per step that any neuron in evaluation emits, D; 1 without."""
    neurons = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
    return max((neuron.levels for neuron in neurons), default=1)
