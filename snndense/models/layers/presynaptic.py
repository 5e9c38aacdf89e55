"""A neuron in front of a stock layer, without touching the layer's keys."""

from torch import nn

from .neurons import SpikingNeuron


def _fire(module: nn.Module, inputs: tuple) -> tuple:
    return (module.presynaptic_neuron(inputs[0]), *inputs[1:])


def fire_before(module: nn.Module, neuron: SpikingNeuron) -> nn.Module:
    """Let ``neuron`` fire on the input of ``module``; returns ``module``.

    The neuron becomes the submodule ``presynaptic_neuron`` and runs as a forward
    pre-hook, so a stock layer (``Conv2d``, ``Linear``, ``ConvModule``) keeps its
    class, its place and its state-dict keys, and the ``forward`` of a stock neck
    or head around it needs no change.
    """
    module.presynaptic_neuron = neuron
    module.register_forward_pre_hook(_fire)
    return module
