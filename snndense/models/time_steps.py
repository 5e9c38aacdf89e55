"""Time steps and levels of a built model: binary execution, another T, another D.

Everything here changes how a model is executed, in place, and none of its parameters:
weights load before or after, and the state dict stays the same. It works on backbones,
necks, heads and on whole detectors, segmentors and classifiers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.model import BaseDataPreprocessor
from torch import nn

from snndense.utils.tables import listed

from .backbones import SpikingBackbone
from .layers import IntegerLIF, SpikingNeuron, hold, hold_unless_spikes

#: Modules that do not commute with the mean over virtual steps, for they are no linear
#: maps: outside a backbone they get what has accumulated.
NONLINEAR = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softmax,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.InstanceNorm2d,
)
MAX_POOLS = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
NONLINEAR_NAMES = ('CARAFE', 'CARAFEPack')  # of mmcv; its kernels depend on the input


@dataclass(frozen=True)
class Steps:
    """How a model is executed.

    Attributes:
        time_steps (int): T.
        levels (int): D, the most spikes that a neuron emits at one step.
        spike_driven (bool): Whether these D are binary steps of their own.
    """

    time_steps: int
    levels: int
    spike_driven: bool = False

    def __str__(self) -> str:
        if self.levels == 1:
            return f'T = {self.time_steps}, binary'
        spikes = 'binary steps' if self.spike_driven else 'levels'
        return f'T = {self.time_steps}, D = {self.levels} {spikes}'


class HoldInput:
    """Forward pre-hook: a layer that is not linear reads the accumulated input."""

    def __init__(self, virtual_steps: int) -> None:
        self.virtual_steps = virtual_steps

    def __call__(self, module: nn.Module, inputs: tuple) -> tuple:
        accumulate = hold_unless_spikes if isinstance(module, MAX_POOLS) else hold
        return (accumulate(inputs[0], self.virtual_steps), *inputs[1:])


def get_steps(model: nn.Module) -> Steps:
    """T, D and execution of a model.

    Raises:
        ValueError: If there are no spiking neurons in it.
    """
    neurons = _neurons(model)
    virtual_steps = neurons[0].virtual_steps
    return Steps(
        time_steps=_base_steps(model) // virtual_steps,
        levels=max(neuron.levels for neuron in neurons),
        spike_driven=virtual_steps > 1,
    )


def set_steps(
    model: nn.Module,
    *,
    time_steps: int | None = None,
    levels: int | None = None,
    spike_driven: bool = False,
) -> Steps:
    """Execute a model with another T, another D, or as binary steps.

    Args:
        model (nn.Module): A model with spiking neurons, changed in place.
        time_steps (int, optional): See :func:`set_time_steps`. None leaves T.
        levels (int, optional): See :func:`set_levels`. None leaves D.
        spike_driven (bool): See :func:`to_spike_driven`. Defaults to False, integers.

    Returns:
        Steps: What the model does now.

    Raises:
        ValueError: As the three functions do; the model is then unchanged, except
            that it runs on integers.
    """
    to_integer(model)
    before = get_steps(model)
    try:
        if time_steps is not None:
            set_time_steps(model, time_steps)
        if levels is not None:
            set_levels(model, levels)
        if spike_driven:
            to_spike_driven(model)
    except ValueError:
        set_time_steps(model, before.time_steps)
        if any(isinstance(neuron, IntegerLIF) for neuron in _neurons(model)):
            set_levels(model, before.levels)
        raise
    return get_steps(model)


def to_spike_driven(model: nn.Module) -> nn.Module:
    """Let every neuron emit binary spikes, over T x D steps, with equal outputs.

    A count n becomes n spikes at D virtual steps, D being the largest number of levels
    in the model, and every layer runs at each of them; see
    :mod:`snndense.models.layers.virtual_steps`. Outputs equal those of integer
    execution up to rounding: in float32 a membrane that lies on the border between two
    counts may fall to the other side. A model of binary neurons stays as it is. For
    evaluation only: memory and time grow by the factor D.

    Args:
        model (nn.Module): A model with spiking neurons, changed in place.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If there are no spiking neurons in it, spiking heads read the mean
            over time, or a backbone has layers that are not linear.
    """
    to_integer(model)
    virtual_steps = max(neuron.levels for neuron in _neurons(model))
    if virtual_steps == 1:
        return model
    inside, outside = _folded_modules(model)
    if any(isinstance(module, SpikingNeuron) for module in _unfolded_modules(model)):
        raise ValueError(
            'neurons of neck or heads read the mean of the backbone over time and not '
            "its steps: give the backbone out_mode='sequence'"
        )
    _refuse_nonlinear_backbones(model)
    for module in outside:
        if _is_nonlinear(module) or isinstance(module, MAX_POOLS):
            module.register_forward_pre_hook(HoldInput(virtual_steps))
    for module in (*inside, *outside):
        if hasattr(module, 'virtual_steps'):
            module.virtual_steps = virtual_steps
        if hasattr(module, 'time_steps') and not isinstance(module, SpikingNeuron):
            module.time_steps *= virtual_steps
    return model


def to_integer(model: nn.Module) -> nn.Module:
    """Undo :func:`to_spike_driven`.

    Args:
        model (nn.Module): A model, changed in place.

    Returns:
        nn.Module: The same model.
    """
    virtual_steps = max(getattr(m, 'virtual_steps', 1) for m in model.modules())
    if virtual_steps == 1:
        return model
    inside, outside = _folded_modules(model)
    for module in (*inside, *outside):
        if hasattr(module, 'virtual_steps'):
            module.virtual_steps = 1
        if hasattr(module, 'time_steps') and not isinstance(module, SpikingNeuron):
            module.time_steps //= virtual_steps
        hooks = module._forward_pre_hooks
        for key in [k for k, hook in hooks.items() if isinstance(hook, HoldInput)]:
            del hooks[key]
    return model


def set_time_steps(model: nn.Module, time_steps: int) -> nn.Module:
    """Run a model with another number T of time steps.

    Images are repeated T times; event frames have the steps that they were recorded
    with, and others are refused.

    Args:
        model (nn.Module): A model that runs on integers, changed in place.
        time_steps (int): T.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If T is below 1, a neuron is defined for one step only, or the model
            is spike driven.
    """
    if not isinstance(time_steps, int) or time_steps < 1:
        raise ValueError(f'expected time_steps >= 1, but got {time_steps=}')
    _refuse_spike_driven(model)
    base = _base_steps(model)
    inside, outside = _folded_modules(model)
    modules = [m for m in (*inside, *outside) if hasattr(m, 'time_steps')]
    for module in modules:
        if isinstance(module, IntegerLIF):
            module.check_rounding(module.time_steps // base * time_steps)
    for module in modules:
        # a neuron that two features pass one after the other has twice the steps
        module.time_steps = module.time_steps // base * time_steps
    return model


def set_levels(model: nn.Module, levels: int) -> nn.Module:
    """Let integer neurons emit up to D spikes per step.

    The divisor of the counts stays the one that the weights were trained with, so that
    counts which both settings allow mean the same. Neurons that were built with fewer
    levels than the model's largest number (published necks that evaluate with one) keep
    theirs.

    Args:
        model (nn.Module): A model that runs on integers, changed in place.
        levels (int): D.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If D is below 1, there are no integer neurons, or the model is spike
            driven.
    """
    if not isinstance(levels, int) or levels < 1:
        raise ValueError(f'expected levels >= 1, but got {levels=}')
    _refuse_spike_driven(model)
    neurons = [n for n in _neurons(model) if isinstance(n, IntegerLIF)]
    if not neurons:
        raise ValueError(
            'levels belong to integer neurons (IntegerLIF), of which this model has '
            'none; change its time steps instead'
        )
    largest = max(neuron.built_levels for neuron in neurons)
    for neuron in neurons:
        if neuron.built_levels == largest:
            neuron.levels = levels
    return model


def _neurons(model: nn.Module) -> list[SpikingNeuron]:
    neurons = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
    if not neurons:
        raise ValueError(
            f'expected a model with spiking neurons, but {type(model).__name__} has '
            'none of them'
        )
    return neurons


def _backbones(model: nn.Module) -> list[SpikingBackbone]:
    return [m for m in model.modules() if isinstance(m, SpikingBackbone)]


def _base_steps(model: nn.Module) -> int:
    """T of the backbone, or of a neck or head alone; virtual steps counted."""
    backbones = _backbones(model)
    if backbones:
        return backbones[0].time_steps
    return min(n.time_steps * n.virtual_steps for n in _neurons(model))


def _others(model: nn.Module) -> Iterator[nn.Module]:
    """Modules that belong to no backbone and prepare no data."""
    skipped = {
        id(module)
        for part in model.modules()
        if isinstance(part, (SpikingBackbone, BaseDataPreprocessor))
        for module in part.modules()
    }
    return (module for module in model.modules() if id(module) not in skipped)


def _hands_over_steps(model: nn.Module) -> bool:
    return all(backbone.out_mode == 'sequence' for backbone in _backbones(model))


def _folded_modules(model: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """Modules on tensors with time in the first axis: of backbones, and behind them."""
    inside = [m for backbone in _backbones(model) for m in backbone.modules()]
    return inside, list(_others(model)) if _hands_over_steps(model) else []


def _unfolded_modules(model: nn.Module) -> list[nn.Module]:
    """Modules behind a backbone that read its mean over time."""
    return [] if _hands_over_steps(model) else list(_others(model))


def _is_nonlinear(module: nn.Module) -> bool:
    return isinstance(module, NONLINEAR) or type(module).__name__ in NONLINEAR_NAMES


def _refuse_nonlinear_backbones(model: nn.Module) -> None:
    for backbone in _backbones(model):
        found = [name for name, m in backbone.named_modules() if _is_nonlinear(m)]
        if found:
            raise ValueError(
                f'{type(backbone).__name__} has layers that are not linear and would '
                f'have to wait for all virtual steps: {listed(found)}. Replace '
                'them by neurons, or see docs/time_steps.md'
            )


def _refuse_spike_driven(model: nn.Module) -> None:
    if any(getattr(m, 'virtual_steps', 1) > 1 for m in model.modules()):
        raise ValueError(
            'the model is spike driven: change T and D of integers, to_integer(model), '
            'or all at once with set_steps'
        )
