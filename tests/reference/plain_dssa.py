"""SpikingResformer as it is written: whole attention maps, neurons in one piece.

It scales the T maps of H*W x patches, which the package computes in blocks, as the
formula has it, fires every neuron in one piece and keeps spikes as they are for the
backward pass. Neurons are spikingjelly's kernel in training, and in evaluation the loop
over the steps that the published code runs there.
Tests compare with it, and
``tools/analysis_tools/benchmark.py CONFIG --vs tests/reference/plain_dssa.py``
measures against it.
"""

from functools import partial

import torch
from torch import Tensor, nn

from snndense.models.backbones.spiking_resformer_attention import DSSA
from snndense.models.layers import IF, LIF, PLIF, SpikeConv


def fire(x_seq: Tensor, neuron: nn.Module) -> Tensor:
    """Spikes of a sequence ``(T, ...)``, without the package's shorter ways."""
    if torch.is_grad_enabled() or not isinstance(neuron, LIF):
        return neuron.integrate(x_seq)[0]
    spikes = torch.zeros_like(x_seq)
    v = torch.zeros_like(x_seq[0])
    for t, x in enumerate(x_seq):
        v = v + (x - v) / neuron.tau
        spike = (v >= neuron.v_threshold).to(x)
        v = neuron.v_reset * spike + (1.0 - spike) * v
        spikes[t] = spike
    return spikes


def plain_attention(x: Tensor, dssa: DSSA) -> Tensor:
    """``SN(scale2 * V SN(scale1 * K^T q))``, then the projection."""
    spikes = dssa.neuron(x)
    keys_values = dssa.norm(dssa._embed_patches(spikes))
    q = dssa._split_heads(spikes)  # (T, G, d, N)
    k, v = dssa._split_heads(keys_values).chunk(2, 2)  # (T, G, d, Np)
    num_patches, num_tokens = k.shape[3], dssa.num_tokens or k.shape[3]
    places = q.numel() // dssa.num_heads
    if dssa.training:
        dssa._update(dssa.query_rate, q.sum((0, 2, 3)), places)
    attn = dssa._scale(k.mT @ q, dssa.query_rate, dssa.head_dim)  # (T, G, Np, N)
    attn = fire(attn, dssa.attn_neuron)
    if dssa.training:
        places = places // dssa.head_dim * num_patches
        dssa._update(dssa.attn_rate, attn.sum((0, 2, 3)), places)
    y = dssa._scale(v @ attn, dssa.attn_rate, num_tokens)
    return dssa.proj(y.reshape(x.shape))


def plain_unit(x: Tensor, unit: SpikeConv) -> Tensor:
    return unit.norm(unit.conv(unit.neuron(x)))


def patch(model: nn.Module) -> None:
    """Let every attention layer of ``model`` keep its whole map."""
    for module in model.modules():
        if isinstance(module, DSSA):
            module.forward = partial(plain_attention, dssa=module)
        elif isinstance(module, (IF, LIF, PLIF)):
            module.fire = partial(fire, neuron=module)
        elif isinstance(module, SpikeConv) and module.neuron is not None:
            module.forward = partial(plain_unit, unit=module)
