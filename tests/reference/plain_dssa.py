"""SpikingResformer as it is written: whole attention maps, neurons in one piece.

It keeps the T maps of H*W x patches that the package computes in blocks, fires every
neuron by a single call of spikingjelly's kernel and keeps spikes as they are for the
backward pass, as the published code does.
Tests compare with it, and
``tools/analysis_tools/benchmark.py CONFIG --vs tests/reference/plain_dssa.py``
measures against it.
"""

from functools import partial

from torch import Tensor, nn

from snndense.models.backbones.spiking_resformer_attention import DSSA
from snndense.models.layers import IF, LIF, PLIF, SpikeConv


def fire(x_seq: Tensor, neuron: nn.Module) -> Tensor:
    """Spikes of a sequence ``(T, ...)``, without the package's shorter ways."""
    return neuron.integrate(x_seq)[0]


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, neuron: nn.Module
) -> tuple[Tensor, Tensor]:
    """``neuron(k^T q)`` in one piece, as blocked_attention."""
    spikes = fire(k.mT @ q, neuron)  # (T, G, Np, N)
    return v @ spikes, spikes.sum((0, 2, 3))


def plain_unit(x: Tensor, unit: SpikeConv) -> Tensor:
    return unit.norm(unit.conv(unit.neuron(x)))


def patch(model: nn.Module) -> None:
    """Let every attention layer of ``model`` keep its whole map."""
    for module in model.modules():
        if isinstance(module, DSSA):
            module.attend = partial(plain_attention, neuron=module.attn_neuron)
        elif isinstance(module, (IF, LIF, PLIF)):
            module.fire = partial(fire, neuron=module)
        elif isinstance(module, SpikeConv) and module.neuron is not None:
            module.forward = partial(plain_unit, unit=module)
