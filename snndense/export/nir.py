"""NIR graphs of what NIR can express, through spikingjelly's exchange.

The Neuromorphic Intermediate Representation (https://arxiv.org/abs/2311.14641) knows
linear and convolutional layers, sums, average pooling and binary neurons with a hard
reset, one time step at a time. It knows no products of signals, so no attention, no
integer neurons, no grouped convolutions and no max pooling. What cannot be expressed is
refused by name.
"""

from collections import OrderedDict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import torch
from spikingjelly.activation_based import neuron as jelly
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from snndense.models.backbones import SpikingBackbone
from snndense.models.layers import (
    IF,
    LIF,
    PLIF,
    DropPath,
    IntegerLIF,
    SpikeConv,
    SpikingNeuron,
)
from snndense.utils.files import complete_file
from snndense.utils.tables import bullets

from .onnx import require

DT = 1e-4
TOLERANCE = 1e-4
MOST_LISTED = 8  # refused layers in a message
ADDITIONS = ('add', 'iadd', 'add_')
EXPRESSIBLE = (
    nn.Conv2d,
    nn.Linear,
    nn.AvgPool2d,
    nn.Flatten,
    jelly.LIFNode,
    jelly.ParametricLIFNode,
    jelly.IFNode,
)


class Pass(nn.Module):
    """Nothing, in a form that the tracer looks through."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class SingleStep(nn.Module):
    """One time step of a backbone, up to its only tap; neurons keep their membranes.

    Args:
        backbone (SpikingBackbone): Backbone of one tap; a copy of it is converted.

    Raises:
        ValueError: Naming the layers that NIR cannot express.
    """

    def __init__(self, backbone: SpikingBackbone) -> None:
        super().__init__()
        if len(backbone.out_indices) != 1:
            raise ValueError(
                'a NIR graph has one output, but the backbone has '
                f'out_indices={backbone.out_indices}; choose one of them'
            )
        self.backbone = deepcopy(backbone).eval()
        refused = dict(_refuse_neurons(self.backbone))
        convert_layers(self.backbone)
        refused.update(_refuse_layers(self.backbone))
        raise_refused(refused)
        # an image or a frame as it is: time is what happens between calls
        self.backbone.encode = lambda inputs, stem: stem(inputs)

    def forward(self, input: Tensor) -> Tensor:
        *_, x = self.backbone.forward_stages(input)
        return x


def export_nir(
    backbone: SpikingBackbone,
    example: Tensor,
    path: str | Path,
    *,
    dt: float = DT,
    tolerance: float = TOLERANCE,
) -> float:
    """Write a backbone up to one of its taps as a NIR graph (HDF5).

    The graph is read back, run for T steps and compared before the file appears.

    Args:
        backbone (SpikingBackbone): Backbone of one tap, with ``out_mode='sequence'``.
        example (Tensor): An image ``(N, C, H, W)`` of the size to export.
        path (str | Path): The file; complete or absent.
        dt (float): Seconds of a time step. Defaults to 1e-4, as elsewhere in NIR.
        tolerance (float): Largest mean deviation of the graph, as a fraction of the
            mean output. Defaults to 1e-4.

    Returns:
        float: Largest deviation of the graph from the backbone.

    Raises:
        ImportError: If nir or nirtorch is missing.
        ValueError: Naming the layers that NIR cannot express, or if the graph computes
            something else.
    """
    require('nir', 'nirtorch')
    import nir
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    step = SingleStep(backbone)
    with torch.no_grad():
        expected = backbone.eval()(example)[0]
        _refuse_functions(step)
        graph = export_to_nir(step, example, dt=dt)
    with complete_file(path) as temporary:
        nir.write(str(temporary), graph)
        found = run_nir(temporary, example, backbone.time_steps, dt=dt)
        deviation = (found - expected).abs()
        if not deviation.mean() <= tolerance * expected.abs().mean():
            raise ValueError(
                'the NIR graph and torch disagree, and nothing was written: '
                f'{deviation.mean():.1e} in the mean, {deviation.max():.1e} at most, '
                f'of {expected.abs().mean():.1e}'
            )
    return deviation.max().item()


@torch.no_grad()
def run_nir(
    path: str | Path, image: Tensor, time_steps: int, *, dt: float = DT
) -> Tensor:
    """Read a NIR graph, show it an image for some steps; ``(T*N, ...)``."""
    import nir
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    model, state, outputs = import_from_nir(nir.read(str(path)), dt=dt), None, []
    for _ in range(time_steps):
        # edges that meet are added; at the output that is left to us
        *addends, state = model(image, state)
        outputs.append(sum(addends))
    return torch.cat(outputs)


def convert_layers(model: nn.Module) -> None:
    """Put in place what NIR knows: spikingjelly's neurons, norms folded, no dropout."""
    for name, child in list(model.named_children()):
        if isinstance(child, SpikingNeuron):
            setattr(model, name, convert_neuron(child))
        elif isinstance(child, SpikeConv):
            layers = OrderedDict(conv=fuse_conv_bn_eval(child.conv, child.norm))
            if child.neuron is not None:
                layers = OrderedDict(neuron=convert_neuron(child.neuron), **layers)
            setattr(model, name, nn.Sequential(layers))
        elif isinstance(child, (nn.Identity, nn.Dropout, DropPath)):
            setattr(model, name, Pass())
        else:
            convert_layers(child)


def convert_neuron(neuron: SpikingNeuron) -> nn.Module:
    """The same neuron of spikingjelly, one step at a time; others stay as they are."""
    shared = dict(v_threshold=neuron.v_threshold, step_mode='s')
    if isinstance(neuron, (LIF, PLIF, IF)):
        shared['v_reset'] = neuron.v_reset
    if isinstance(neuron, LIF):
        return jelly.LIFNode(neuron.tau, neuron.decay_input, **shared)
    if isinstance(neuron, PLIF):
        node = jelly.ParametricLIFNode(decay_input=neuron.decay_input, **shared)
        node.w.data = neuron.w.data.clone()
        return node
    return jelly.IFNode(**shared) if isinstance(neuron, IF) else neuron


def raise_refused(refused: dict[str, str]) -> None:
    """Raise ValueError if there are layers that NIR cannot express."""
    if not refused:
        return
    layers = [f'{name}: {reason}' for name, reason in refused.items()]
    raise ValueError(
        f'NIR cannot express these layers:\n{bullets(layers, MOST_LISTED)}'
    )


def _refuse_neurons(model: nn.Module) -> Iterator[tuple[str, str]]:
    for name, module in model.named_modules():
        if isinstance(module, IntegerLIF):
            yield name, 'integer neuron; NIR has binary ones'
        elif (
            isinstance(module, SpikingNeuron) and getattr(module, 'v_reset', 0) is None
        ):
            yield name, 'neuron with a soft reset; NIR resets to a value'


def _refuse_layers(model: nn.Module) -> Iterator[tuple[str, str]]:
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        kind = type(module).__name__
        if isinstance(module, SpikingBackbone) or name.startswith(inside):
            continue
        if hasattr(module, 'virtual_steps') and not isinstance(module, SpikingNeuron):
            inside += (f'{name}.',)  # its layers need no mention
            yield name, f'{kind} multiplies or compares signals'
        elif isinstance(module, nn.Conv2d) and module.groups > 1:
            yield name, f'convolution of {module.groups} groups'
        elif isinstance(module, nn.ParameterDict) and len(module):
            yield name, 'factors on signals'
        elif (
            not isinstance(module, (*EXPRESSIBLE, SpikingNeuron, nn.ParameterDict))
            and type(module).__module__.startswith('torch.nn.')
            and not list(module.children())
            and not isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.Sequential))
        ):
            yield name, f'{kind} is no linear layer and no neuron'


def _refuse_functions(step: SingleStep) -> None:
    """Refuse operations between layers, other than additions."""
    from nirtorch.torch_tracer import NIRTorchTracer

    refused = {}
    for node in NIRTorchTracer(EXPRESSIBLE).trace(step).nodes:
        if node.op not in ('call_function', 'call_method'):
            continue
        target = node.target if isinstance(node.target, str) else node.target.__name__
        if target not in ADDITIONS:
            place = _place(node)
            refused.setdefault(place, f'operation {target!r}; NIR has sums only')
    raise_refused(refused)


def _place(node: fx.Node) -> str:
    stack = list(node.meta.get('nn_module_stack', {}).values())
    name = stack[-1][0] if stack else 'the backbone itself'
    return str(name).removeprefix('backbone.')
