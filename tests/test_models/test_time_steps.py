"""Integer against binary execution of every backbone, neck and head; other T and D."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from snndense.models.backbones import SpikingBackbone
from snndense.models.layers import (
    IntegerLIF,
    SpikingNeuron,
    gather_steps,
    hold,
    hold_unless_spikes,
    spread_spikes,
)
from snndense.models.time_steps import (
    get_steps,
    set_levels,
    set_steps,
    set_time_steps,
    to_integer,
    to_spike_driven,
)
from snndense.registry import MODELS

from .tiny_backbones import CASES, TINY, assert_equal, build, each_case, pictures

D = 4
INTEGER = dict(type='IntegerLIF', levels=D)
# an integer at two steps leaks its membrane; norms other than D occur in heads
NEURONS = {
    'integer': dict(neuron_cfg=INTEGER, time_steps=1),
    'integer_t2': dict(neuron_cfg=INTEGER, time_steps=2),
    'count': dict(neuron_cfg=dict(INTEGER, norm=1, v_threshold=2.0), time_steps=1),
    'own': dict(),
}


def watch_spikes(model: nn.Module) -> list:
    """What every neuron emits from now on."""
    seen = []
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(lambda m, args, y: seen.append((m, y)))
    return seen


def assert_binary(seen: list, virtual_steps: int = D) -> None:
    assert seen
    for neuron, spikes in seen:
        values = {0.0, virtual_steps / neuron.norm}
        assert set(spikes.unique().tolist()) <= values


def lively(module: nn.Module) -> nn.Module:
    """Weights, biases and statistics that are no identity and let neurons fire."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() < 2:
            parameter.data.normal_(std=2)  # biases too large to be counted twice
        else:
            parameter.data.normal_(std=(2 / parameter[0].numel()) ** 0.5)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 1.5)
    return module.double().eval()


def as_virtual(x: torch.Tensor) -> torch.Tensor:
    """Currents of D virtual steps whose mean is x: no step is like another."""
    noise = torch.randn(D, *x.shape, dtype=x.dtype)
    return (x + noise - noise.mean(0)).flatten(0, 1)


@pytest.mark.parametrize('neurons', NEURONS)
@each_case
def test_backbone_is_the_same_in_binary(case, neurons):
    model = build(case, **NEURONS[neurons]).double().eval()
    x = pictures(33, 40).double()
    keys = set(model.state_dict())
    with torch.no_grad():
        expected = model(x)
        seen = watch_spikes(to_spike_driven(model))
        outputs = model(x)
    steps = get_steps(model)
    virtual_steps = steps.levels if steps.spike_driven else 1
    assert_binary(seen, virtual_steps)
    assert model.time_steps == steps.time_steps * virtual_steps
    assert set(model.state_dict()) == keys
    for y, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-9)
        assert wanted.abs().max() > 0.1
    with torch.no_grad():
        assert_equal(to_integer(model)(x), expected)


@pytest.mark.parametrize('name', TINY)
def test_backbone_of_event_frames(name):
    case = (name, next(iter(TINY[name])))
    cfg = dict(neuron_cfg=INTEGER, time_steps=2, out_mode='sequence')
    model = build(case, **cfg).double().eval()
    frames = torch.stack([pictures(33, 40), pictures(33, 40).flip(3)], 1).double()
    with torch.no_grad():
        expected = model(frames)
        outputs = to_spike_driven(model)(frames)
    for y, wanted in zip(outputs, expected, strict=True):
        assert len(y) == D * len(wanted)
        torch.testing.assert_close(gather_steps(y, D), wanted, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match='3 steps.*time_steps=2'):
        model(frames[:, :1].repeat(1, 3, 1, 1, 1))


def maps(*shapes: tuple, time_steps: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(time_steps * 2, *s, dtype=torch.float64) * 2 for s in shapes]


BOX = dict(in_channels=8, num_classes=3, roi_feat_size=4, fc_out_channels=16)
ANCHORS = dict(type='mmdet.AnchorGenerator', scales=[8], ratios=[1.0], strides=[4])
PYRAMID = ((8, 16, 20), (16, 8, 10), (24, 4, 5))
ROIS = ((8, 4, 4),)
SEG_HEAD = dict(in_channels=[8] * 3, in_index=[0, 1, 2], num_classes=5, channels=8)
# registered name -> variant -> toolbox, arguments, shapes of the maps it reads
HEADS = {
    'SpikeFPN': {
        'plain': ('mmdet', dict(in_channels=[8, 16, 24], num_outs=4), PYRAMID),
        'convs': (
            'mmdet',
            dict(in_channels=[8, 16, 24], num_outs=5, add_extra_convs='on_input'),
            PYRAMID,
        ),
    },
    'SpikeRPNHead': {
        'one': ('mmdet', dict(feat_channels=8), PYRAMID[:1]),
        'relu': ('mmdet', dict(feat_channels=8, num_convs=2), PYRAMID[:1]),
    },
    'SpikeRetinaHead': {
        'apart': ('mmdet', dict(stacked_convs=1), PYRAMID[:1]),
        'share': ('mmdet', dict(stacked_convs=2, share_last_neuron=True), PYRAMID[:1]),
    },
    'SpikeConvFCBBoxHead': {
        'all': (
            'mmdet',
            dict(BOX, num_shared_convs=1, num_cls_fcs=1, num_reg_convs=1),
            ROIS,
        ),
        'pool': ('mmdet', dict(BOX, num_shared_convs=1, with_avg_pool=True), ROIS),
    },
    'SharedSpike2FCBBoxHead': {'plain': ('mmdet', BOX, ROIS)},
    'SharedSpike4Conv1FCBBoxHead': {'plain': ('mmdet', BOX, ROIS)},
    'SpikeFCNMaskHead': {
        'deconv': ('mmdet', dict(num_convs=2), ROIS),
        'bilinear': (
            'mmdet',
            dict(num_convs=1, upsample_cfg=dict(type='bilinear', scale_factor=2)),
            ROIS,
        ),
    },
    'SpikeSegFPN': {
        'plain': ('mmseg', dict(in_channels=[8, 16, 24], num_outs=3), PYRAMID),
    },
    'SpikeFPNHead': {
        'plain': (
            'mmseg',
            dict(SEG_HEAD, feature_strides=[4, 8, 16]),
            ((8, 16, 20), (8, 8, 10), (8, 4, 5)),
        ),
    },
    'SpikeSimpleFeaturePyramid': {
        'plain': ('mmengine', dict(in_channels=[16], num_outs=5), ((16, 6, 7),)),
    },
    'SpikeLinearClsHead': {
        'spikes': ('mmpretrain', dict(in_channels=8, num_classes=5), ((8,),)),
        'membranes': (
            'mmpretrain',
            dict(
                in_channels=8, num_classes=5, with_kd_head=True, fc_reads_membranes=True
            ),
            ((8,),),
        ),
    },
}
WIDTHS = {
    'SpikeFPN': dict(out_channels=8),
    'SpikeSegFPN': dict(out_channels=8),
    'SpikeSimpleFeaturePyramid': dict(out_channels=8),
    'SpikeRPNHead': dict(in_channels=8, anchor_generator=ANCHORS),
    'SpikeRetinaHead': dict(
        in_channels=8, feat_channels=8, num_classes=3, anchor_generator=ANCHORS
    ),
    'SpikeFCNMaskHead': dict(in_channels=8, conv_out_channels=8, num_classes=3),
}
HEAD_CASES = [(name, variant) for name in HEADS for variant in HEADS[name]]
NOT_NEURONS = {'SpikeSingleRoIExtractor'}


def build_head(name: str, variant: str, **cfg) -> tuple[nn.Module, list]:
    host, arguments, shapes = HEADS[name][variant]
    pytest.importorskip(host)
    arguments = {'time_steps': 2, **arguments, **WIDTHS.get(name, {}), **cfg}
    head = lively(MODELS.build(dict(arguments, type=f'snndense.{name}')))
    return head, maps(*shapes, time_steps=arguments['time_steps'])


def run(head: nn.Module, inputs: list) -> list[torch.Tensor]:
    forward = getattr(head, 'forward_single', head)
    single = hasattr(head, 'forward_single') or hasattr(head, 'forward_sequence')
    single = single or type(head).__name__ == 'SpikeFCNMaskHead'
    with torch.no_grad():
        outputs = forward(inputs[0] if single else tuple(inputs))
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def test_every_spiking_neck_and_head_is_compared():
    names = {
        name
        for name, module in MODELS.module_dict.items()
        if 'Spike' in name and not issubclass(module, (SpikingBackbone, SpikingNeuron))
    }
    assert names - NOT_NEURONS <= set(HEADS), 'add it to HEADS'


@pytest.mark.parametrize('neurons', ['default', 'rates', 'lif'])
@pytest.mark.parametrize('case', HEAD_CASES, ids='-'.join)
def test_head_is_the_same_in_binary(case, neurons):
    neuron_cfg = {
        'default': dict(type='snndense.IntegerLIF', levels=D, norm=1),
        'rates': dict(type='snndense.IntegerLIF', levels=D),
        # beside others with levels, a binary neuron fires once in D virtual steps
        'lif': dict(type='snndense.LIF'),
    }[neurons]
    head, inputs = build_head(*case, neuron_cfg=neuron_cfg)
    model = head
    if neurons == 'lif':
        model = nn.ModuleList([head, IntegerLIF(levels=D, time_steps=2)])
    expected = run(head, inputs)
    assert max(y.abs().max() for y in expected) > 0.1
    to_spike_driven(model)
    seen = watch_spikes(head)
    outputs = run(head, [as_virtual(x) for x in inputs])
    assert_binary(seen)
    for y, wanted in zip(outputs, expected, strict=True):
        if len(y) > len(wanted):  # necks hand over virtual steps
            y = gather_steps(y, D)
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-9)
    for y, wanted in zip(
        run(to_integer(model) and head, inputs), expected, strict=True
    ):
        assert torch.equal(y, wanted)


def test_a_bias_is_added_once():
    conv = nn.Conv2d(1, 1, 1).double()
    neuron = IntegerLIF(levels=D)
    nn.init.constant_(conv.bias, 10)
    layers = nn.Sequential(neuron, conv).eval()
    x = torch.linspace(-1, 5, 20).double().view(1, 1, 4, 5)
    with torch.no_grad():
        expected = layers(x)
        to_spike_driven(layers)
        steps = layers(x.repeat(D, 1, 1, 1))
    # as a chip adds up: spikes times weights at every step, the bias at the end
    spikes = neuron(x.repeat(D, 1, 1, 1)).unflatten(0, (D, 1))
    summed = sum(nn.functional.conv2d(s, conv.weight) for s in spikes) / D + conv.bias
    torch.testing.assert_close(gather_steps(steps, D), expected)
    torch.testing.assert_close(summed, expected)


def test_counts_fill_the_virtual_steps_from_the_first_on():
    counts = torch.tensor([0.0, 1.0, 3.0, 4.0])
    spikes = spread_spikes(counts / 2, 2, D).view(D, 4)
    assert (spikes > 0).sum(0).tolist() == [0, 1, 3, 4]
    assert spikes[0].tolist() == [0, 2, 2, 2] and spikes[3].tolist() == [0, 0, 0, 2]
    assert torch.equal(hold(spikes, D), (counts / 2).repeat(D, 1))
    assert torch.equal(hold_unless_spikes(spikes, D), spikes)
    two = spikes + spikes.flip(1)
    assert torch.equal(hold_unless_spikes(two, D), hold(two, D))
    with pytest.raises(ValueError, match='not a multiple of virtual_steps=4'):
        hold(torch.zeros(6, 1), D)


def test_more_time_steps_are_repeated_pictures():
    cfg = dict(neuron_cfg=dict(type='IntegerLIF', tau=1.0))
    once, thrice = build(CASES[0], **cfg), build(CASES[0], **cfg, time_steps=3)
    assert set_time_steps(once, 3) is once
    thrice.load_state_dict(once.state_dict())
    once.eval(), thrice.eval()
    with torch.no_grad():
        assert_equal(once(pictures()), thrice(pictures()))
    assert get_steps(once).time_steps == 3
    lif = build(('SpikingResformer', 'ti')).eval()
    four = build(('SpikingResformer', 'ti'), time_steps=4).eval()
    four.load_state_dict(lif.state_dict())
    with torch.no_grad():
        assert_equal(set_time_steps(lif, 4)(pictures()), four(pictures()))


def test_other_levels_keep_the_meaning_of_a_count():
    neuron = IntegerLIF(levels=4).eval()
    x = torch.tensor([-1.0, 1.2, 3.6, 7.4])
    assert (set_levels(neuron, 8)(x) * 4).tolist() == [0, 1, 4, 7]
    assert (set_levels(neuron, 2)(x) * 4).tolist() == [0, 1, 2, 2]
    # a published neck evaluates with one level, whatever the others do
    pair = nn.ModuleList([IntegerLIF(levels=4), IntegerLIF(levels=1, train_levels=4)])
    for levels in (1, 8, 4):
        set_levels(pair, levels)
        assert [n.levels for n in pair] == [levels, 1]


def test_all_at_once_and_back():
    model = build(('MetaSDT', 'srb')).double().eval()
    x = pictures(33, 40).double()
    with torch.no_grad():
        before = model(x)
        steps = set_steps(model, time_steps=2, levels=8, spike_driven=True)
        binary = model(x)
        assert str(steps) == 'T = 2, D = 8 binary steps' and model.time_steps == 16
        steps = set_steps(model, time_steps=2, levels=8)
        assert str(steps) == 'T = 2, D = 8 levels' and model.time_steps == 2
        for y, wanted in zip(binary, model(x), strict=True):
            torch.testing.assert_close(y, wanted, rtol=0, atol=1e-9)
        assert set_steps(model, time_steps=1, levels=4) == get_steps(model)
        assert_equal(model(x), before)
    lif = set_steps(build(('Spikformer', 'dvs')), spike_driven=True)
    assert str(lif) == 'T = 2, binary'


def test_what_cannot_be_done_is_refused_and_changes_nothing():
    model = build(('MetaSDT', 'srb')).eval()
    for wrong, message in (
        (dict(time_steps=0), 'time_steps >= 1'),
        (dict(levels=0), 'levels >= 1'),
        (dict(time_steps=2, levels=1.5), 'levels >= 1'),
    ):
        with pytest.raises(ValueError, match=message):
            set_steps(model, **wrong)
        assert str(get_steps(model)) == 'T = 1, D = 4 levels'
    one_level = set_levels(deepcopy(model), 1)
    one_level.rectifier = nn.ReLU()
    with pytest.raises(ValueError, match='not linear'):
        set_steps(one_level, levels=4, spike_driven=True)
    assert str(get_steps(one_level)) == 'T = 1, binary'
    with pytest.raises(ValueError, match='none of them'):
        to_spike_driven(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match='time steps instead'):
        set_levels(build(('Spikformer', 'dvs')), 8)
    half_up = IntegerLIF(rounding='half_up')
    with pytest.raises(ValueError, match='set tau=1'):
        set_time_steps(half_up, 2)
    binary = to_spike_driven(deepcopy(model))
    for change in (set_time_steps, set_levels):
        with pytest.raises(ValueError, match='is spike driven'):
            change(binary, 2)
    with pytest.raises(ValueError, match='only evaluates'):
        binary.train()(pictures(33, 40))
    model.stages[1].blocks[0].extra = nn.GELU()
    with pytest.raises(ValueError, match='stages.1.blocks.0.extra'):
        to_spike_driven(model)


def test_heads_that_read_the_mean_are_left_alone_or_refused():
    backbone = build(('MetaSDT', 'srb'), time_steps=2)
    stock = nn.ModuleDict(dict(backbone=backbone, head=nn.Conv2d(8, 1, 1)))
    assert to_spike_driven(stock).backbone.time_steps == 2 * D
    to_integer(stock)
    spiking = nn.ModuleDict(dict(backbone=backbone, neuron=IntegerLIF()))
    with pytest.raises(ValueError, match="out_mode='sequence'"):
        to_spike_driven(spiking)
    assert backbone.time_steps == 2
