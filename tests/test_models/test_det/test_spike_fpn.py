import pytest
import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import nn

from snndense.models.det import SpikeFPN

LIF = dict(type='snndense.LIF')
FORGETFUL = dict(type='snndense.IntegerLIF', levels=4, norm=1, tau=1.0)
CHANNELS, SIZES = [4, 6, 8, 8], [(16, 12), (8, 6), (4, 3), (4, 3)]


def maps(time_steps, batch=2, scale=2.0):
    generator = torch.Generator().manual_seed(1)
    return tuple(
        scale * torch.randn(time_steps * batch, c, *size, generator=generator)
        for c, size in zip(CHANNELS, SIZES, strict=True)
    )


def test_is_neuron_conv_top_down_neuron_conv(lif_reference):
    steps, batch = 3, 2
    torch.manual_seed(0)
    neck = SpikeFPN(CHANNELS, 5, 5, time_steps=steps, neuron_cfg=LIF)
    inputs = maps(steps, batch)

    def fire_then(conv, x_seq):  # (T, N, C, H, W)
        return torch.stack([conv(spikes) for spikes in lif_reference(x_seq)])

    laterals = [
        fire_then(module.conv, x.unflatten(0, (steps, batch)))
        for module, x in zip(neck.lateral_convs, inputs, strict=True)
    ]
    for i in (3, 2, 1):
        for t in range(steps):
            size = laterals[i - 1].shape[-2:]
            laterals[i - 1][t] += F.interpolate(laterals[i][t], size=size)
    expected = [
        fire_then(module.conv, x)
        for module, x in zip(neck.fpn_convs, laterals, strict=True)
    ]
    expected.append(expected[-1][..., ::2, ::2])  # kernel 1, stride 2

    outputs = neck(inputs)
    assert len(outputs) == 5
    for output, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, reference.flatten(0, 1))


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(add_extra_convs='on_input'),
        dict(add_extra_convs='on_lateral'),
        dict(add_extra_convs='on_output', norm_cfg=dict(type='BN')),
        dict(upsample_cfg=dict(mode='bilinear', align_corners=False)),
    ],
    ids=['on_input', 'on_lateral', 'on_output', 'bilinear'],
)
def test_steps_meet_in_neurons_only(kwargs):
    kwargs = dict(kwargs, start_level=1, num_outs=6)
    neck = SpikeFPN(CHANNELS, 5, **kwargs, time_steps=3, neuron_cfg=FORGETFUL).eval()
    one_step = SpikeFPN(CHANNELS, 5, **kwargs, neuron_cfg=FORGETFUL).eval()
    one_step.load_state_dict(neck.state_dict())
    inputs = maps(3)
    apart = [one_step(tuple(x[2 * t : 2 * t + 2] for x in inputs)) for t in range(3)]
    for output, *references in zip(neck(inputs), *apart, strict=True):
        torch.testing.assert_close(output, torch.cat(references))


def test_upsampling_by_a_factor():
    cfg = dict(mode='nearest', scale_factor=2)
    neck = SpikeFPN(CHANNELS[:3], 5, 3, time_steps=2, upsample_cfg=cfg)
    assert [x.shape for x in neck(maps(2)[:3])] == [(4, 5, *s) for s in SIZES[:3]]


@pytest.mark.parametrize('extra', [{}, dict(add_extra_convs=True, num_outs=6)])
def test_keys_and_initial_weights_are_stock(extra):
    kwargs = {'num_outs': 5, **extra}
    states = []
    for neck_class in (FPN, SpikeFPN):
        torch.manual_seed(0)
        neck = neck_class(CHANNELS, 5, **kwargs)
        neck.init_weights()
        states.append(neck.state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert all(value.any() for key, value in states[1].items() if 'weight' in key)


def test_same_neuron_in_training_and_evaluation_unless_asked_otherwise():
    published = dict(type='snndense.IntegerLIF', levels=1, train_levels=4, norm=1)
    inputs = maps(1, scale=3.0)
    neck = SpikeFPN(CHANNELS, 5, 5)
    mismatched = SpikeFPN(CHANNELS, 5, 5, neuron_cfg=published)
    mismatched.load_state_dict(neck.state_dict())
    trained = neck.train()(inputs)[0]
    assert torch.equal(trained, neck.eval()(inputs)[0])
    assert torch.equal(trained, mismatched.train()(inputs)[0])
    assert not torch.allclose(trained, mismatched.eval()(inputs)[0])


@pytest.mark.parametrize('source', ['on_input', 'on_lateral', 'on_output'])
def test_convolutions_read_whole_spike_counts(source):
    neck = SpikeFPN(CHANNELS, 5, 6, time_steps=2, add_extra_convs=source)
    neck.init_weights()
    seen = []
    for conv in neck.modules():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    neck(maps(2, scale=5.0))
    assert len(seen) == 10
    for spikes in seen:
        assert torch.equal(spikes, spikes.round())
        assert spikes.min() == 0 and 1 <= spikes.max() <= 4


@pytest.mark.parametrize(
    'kwargs', [dict(act_cfg=dict(type='ReLU')), dict(relu_before_extra_convs=True)]
)
def test_refuses_activations(kwargs):
    with pytest.raises(ValueError, match='neuron_cfg'):
        SpikeFPN(CHANNELS, 5, 5, **kwargs)


def test_says_which_channels_do_not_fit():
    neck = SpikeFPN([4, 6, 8, 16], 5, 5)
    with pytest.raises(ValueError, match=r'\[4, 6, 8, 16\].*\[4, 6, 8, 8\]'):
        neck(maps(1))
    with pytest.raises(ValueError, match='out_channels'):
        neck(maps(1)[:3])


def test_says_when_time_does_not_fit():
    neck = SpikeFPN(CHANNELS, 5, 5, time_steps=4)
    with pytest.raises(ValueError, match="out_mode='sequence'"):
        neck(maps(1))
