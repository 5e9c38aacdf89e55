"""Spikes that autograd keeps in bytes."""

import weakref
from contextlib import nullcontext

import pytest
import torch
from torch.nn.functional import conv2d

from snndense.models.layers import (
    SpikeConv,
    build_neuron,
    checkpoint_module,
    spike_storage,
)
from snndense.models.layers.spike_storage import spikes_in_bytes

NEURONS = [
    dict(type='snndense.LIF'),
    dict(type='snndense.IntegerLIF', levels=4),
    dict(type='snndense.IntegerLIF', levels=8, norm=3),
    dict(type='snndense.IntegerLIF', levels=64, norm=64),
]
each_neuron = pytest.mark.parametrize('neuron_cfg', NEURONS, ids=str)


def graph_of(neuron_cfg: dict, dtype: torch.dtype, in_bytes: bool) -> tuple:
    generator = torch.Generator().manual_seed(0)
    x = 6 * torch.randn(4, 3, 8, 8, generator=generator)
    x = x.to(dtype).requires_grad_()
    weight = torch.randn(5, 3, 3, 3, generator=generator).to(dtype).requires_grad_()
    neuron = build_neuron(neuron_cfg, 2 if neuron_cfg['type'].endswith('.LIF') else 1)
    spikes = neuron(x)
    if in_bytes:
        with spikes_in_bytes(spikes, neuron):
            out = conv2d(spikes, weight)
    else:
        out = conv2d(spikes, weight)
    return out, x, weight


@each_neuron
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_gradients_stay_the_same_to_the_last_bit(neuron_cfg, dtype):
    grads = []
    for in_bytes in (False, True):
        out, *leaves = graph_of(neuron_cfg, dtype, in_bytes)
        grads.append(torch.autograd.grad(out.square().sum(), leaves))
    for expected, grad in zip(*grads, strict=True):
        assert expected.count_nonzero() and torch.equal(grad, expected)


def fires_and_forgets(unit: SpikeConv, x: torch.Tensor) -> bool:
    """Whether the neuron's output is gone while the graph lives."""
    kept = []
    hook = unit.neuron.register_forward_hook(
        lambda module, inputs, out: kept.append(weakref.ref(out))
    )
    out = unit(x)
    hook.remove()
    assert out.requires_grad
    return kept[0]() is None


@each_neuron
def test_the_unit_does_not_keep_its_spikes(neuron_cfg):
    unit = SpikeConv(3, 4, 3, neuron_cfg=neuron_cfg)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    assert fires_and_forgets(unit, x)


def test_checkpointing_keeps_no_bytes_either(monkeypatch):
    unit = SpikeConv(3, 4, 3, neuron_cfg=NEURONS[0])
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    packed = []
    monkeypatch.setattr(
        spike_storage,
        'saved_tensors_hooks',
        lambda *hooks: packed.append(hooks) or nullcontext(),
    )
    checkpoint_module(unit, x).sum().backward()
    assert not packed
    unit(x)
    assert packed


def test_counts_beyond_a_byte_are_kept_whole():
    neuron = build_neuron(dict(type='snndense.IntegerLIF', levels=300), 1)
    spikes = neuron(torch.full((1, 1, 2, 2), 299.0, requires_grad=True))
    weight = torch.ones(1, 1, 1, 1, requires_grad=True)
    with spikes_in_bytes(spikes, neuron):
        out = conv2d(spikes, weight)
    out.sum().backward()
    assert weight.grad.item() == pytest.approx(4 * 299 / 300)
