"""Which modules of a model are neurons, and what their outputs mean."""

from collections import Counter
from typing import NamedTuple

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
    time_steps: int | None


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
    steps = output.shape[0] if neuron.step_mode == 'm' else None
    return SpikeFormat(levels_of(neuron), 1, steps)


def levels_of(neuron: nn.Module) -> int:
    """Most spikes per step that a neuron emits in evaluation, D."""
    if isinstance(neuron, SpikingNeuron):
        return neuron.levels
    return int(getattr(neuron.surrogate_function, 'max_spike_count', 1))


def declared_steps(model: nn.Module) -> int | None:
    """T of a model: that of its backbone, else the most of any module.

    None if none of them tells, as with spikingjelly's neurons.
    """
    backbone = getattr(model, 'backbone', model)
    steps = getattr(backbone, 'time_steps', None)
    if isinstance(steps, int):
        return steps
    found = (getattr(module, 'time_steps', None) for module in model.modules())
    return max((steps for steps in found if isinstance(steps, int)), default=None)


class StepWatch:
    """Time steps of a model: as it tells them, else as its neurons show them.

    Args:
        model (nn.Module): The model that runs.
    """

    def __init__(self, model: nn.Module) -> None:
        self._declared = declared_steps(model)
        self._calls: Counter[nn.Module] = Counter()  # of single-step neurons, in a run
        self._most = 1  # steps of a multi-step neuron, or calls of a single-step one

    def start(self) -> None:
        """Begin a run of the model."""
        self._calls.clear()

    def see(self, neuron: nn.Module, form: SpikeFormat) -> None:
        """Take note of a call of a neuron."""
        if form.time_steps is None:
            self._calls[neuron] += 1
        self._most = max(self._most, form.time_steps or 1)

    def end(self) -> None:
        """End the run."""
        self._most = max(self._most, self.loops)

    @property
    def loops(self) -> int:
        """How often a loop over time has called most of the single-step neurons.

        T if the model tells it, also where the loop runs several times per image.
        """
        frequent = Counter(self._calls.values()).most_common()
        most = max((n for n, many in frequent if many == frequent[0][1]), default=0)
        is_repeated = self._declared and most and most % self._declared == 0
        return self._declared if is_repeated else most

    @property
    def time_steps(self) -> int:
        """T; 1 without neurons."""
        return self._declared or self._most
