"""Binary neurons that need no gradient fire piece by piece on the CPU."""

import pytest
import torch

from snndense.models.layers import IF, LIF, PLIF, neurons

NEURONS = {
    'lif': (LIF, dict(tau=1.7)),
    'lif_input_not_decayed': (LIF, dict(tau=3.0, decay_input=False)),
    'plif': (PLIF, dict(init_tau=3.0)),
    'plif_input_not_decayed': (PLIF, dict(decay_input=False)),
    'if': (IF, {}),
}


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64, torch.bfloat16))
@pytest.mark.parametrize('v_reset', (0.0, None, -0.3))
@pytest.mark.parametrize('name', NEURONS)
def test_equal_to_the_kernel_that_keeps_a_graph(name, v_reset, dtype, monkeypatch):
    monkeypatch.setattr(neurons, 'CPU_CHUNK', 50)  # several pieces, the last one short
    neuron_class, kwargs = NEURONS[name]
    neuron = neuron_class(time_steps=4, v_threshold=0.7, v_reset=v_reset, **kwargs)
    x = torch.randn(8, 3, 9, 7).mul_(2).to(dtype)
    if dtype == torch.float64:
        neuron.double()
    learning = neuron(x.clone().requires_grad_(True))
    with torch.no_grad():
        spikes = neuron(x)
    assert learning.requires_grad and not spikes.requires_grad
    assert spikes.dtype == dtype and 0 < spikes.float().mean() < 1
    assert torch.equal(spikes, learning)


def test_channels_last_input_gives_the_same_spikes():
    x = torch.randn(4, 6, 9, 7)
    neuron = LIF(time_steps=2)
    with torch.no_grad():
        spikes = neuron(x.to(memory_format=torch.channels_last))
        assert torch.equal(spikes, neuron(x))
