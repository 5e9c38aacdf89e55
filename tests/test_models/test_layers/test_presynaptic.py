"""A neuron in front of a stock layer."""

import pickle
from copy import deepcopy

import torch
from torch import nn

from snndense.models.layers import LIF, PLIF, IntegerLIF, fire_before


def test_layer_reads_spikes_and_keeps_its_place():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    keys = list(conv.state_dict())
    layer = fire_before(conv, LIF(time_steps=2))
    assert layer is conv and list(layer.state_dict()) == keys
    x = torch.randn(4, 3, 8, 8) * 3
    spikes = LIF(time_steps=2)(x)
    assert 0 < spikes.mean() < 1
    assert torch.equal(layer(x), nn.functional.conv2d(spikes, conv.weight, conv.bias))


def test_neuron_belongs_to_the_layer():
    layer = fire_before(nn.Linear(3, 4), PLIF())
    assert 'presynaptic_neuron.w' in layer.state_dict()
    layer = fire_before(nn.Linear(3, 4), IntegerLIF(levels=1, train_levels=4, norm=1))
    x = torch.full((1, 3), 3.0)
    assert not torch.equal(layer.train()(x), layer.eval()(x))  # follows its mode


def test_copies_fire_with_their_own_neuron():
    layer = fire_before(nn.Linear(3, 4), IntegerLIF(levels=4))
    x = torch.full((1, 3), 0.6)
    before = layer(x)
    for copied in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x), before)
        copied.presynaptic_neuron.v_threshold = 9.0
        assert not torch.equal(copied(x), before)
        assert torch.equal(layer(x), before)
