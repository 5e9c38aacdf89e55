"""Binary neurons that need no gradient fire piece by piece on the CPU."""

import pytest
import torch

from snndense.models.layers import IF, LIF, PLIF, neurons

NEURONS = {
    'lif': (LIF, dict(tau=2.0)),
    'lif_other_tau': (LIF, dict(tau=1.7)),
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
    results = []
    for fire in (neuron, lambda z: neuron.integrate(z.unflatten(0, (4, 2)))[0]):
        neuron.zero_grad()
        z = x.clone().requires_grad_(True)
        spikes = fire(z)
        spikes.backward(torch.linspace(-1, 1, x.numel(), dtype=dtype).view_as(spikes))
        learned = [p.grad.clone() for p in neuron.parameters()]
        results.append((spikes.detach(), z.grad, learned))
    (spikes, grad, learned), (expected, expected_grad, expected_learned) = results
    assert spikes.dtype == dtype and 0 < spikes.float().mean() < 1
    assert torch.equal(spikes, expected.view_as(spikes))
    assert grad.count_nonzero() > 0
    torch.testing.assert_close(grad, expected_grad)
    torch.testing.assert_close(learned, expected_learned)
    with torch.no_grad():
        assert torch.equal(neuron(x), spikes)


def test_only_the_input_is_kept_for_the_backward_pass():
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x) or x, lambda x: x
    )
    x = torch.randn(4, 6, 9, 7, requires_grad=True)
    with hooks:
        LIF(time_steps=2)(x)
    assert [t.data_ptr() for t in kept] == [x.data_ptr()]


def test_channels_last_input_gives_the_same_spikes():
    x = torch.randn(4, 6, 9, 7)
    neuron = LIF(time_steps=2)
    with torch.no_grad():
        spikes = neuron(x.to(memory_format=torch.channels_last))
        assert torch.equal(spikes, neuron(x))
