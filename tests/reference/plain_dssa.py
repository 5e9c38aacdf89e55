"""The attention of SpikingResformer as it is written: with its whole map.

It keeps the T maps of H*W x patches that the package computes in blocks. Tests
compare with it, and
``tools/analysis_tools/benchmark.py CONFIG --vs tests/reference/plain_dssa.py``
measures against it.
"""

from functools import partial

from torch import Tensor, nn

from snndense.models.backbones.spiking_resformer_attention import DSSA


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, neuron: nn.Module
) -> tuple[Tensor, Tensor]:
    """``neuron(k^T q)`` in one piece, as blocked_attention."""
    currents = k.mT @ q  # (T, G, Np, N)
    # spikingjelly's kernel, whatever shorter ways the package knows
    spikes, _ = neuron.integrate(currents)
    return v @ spikes, spikes.sum((0, 2, 3))


def patch(model: nn.Module) -> None:
    """Let every attention layer of ``model`` keep its whole map."""
    for module in model.modules():
        if isinstance(module, DSSA):
            module.attend = partial(plain_attention, neuron=module.attn_neuron)
