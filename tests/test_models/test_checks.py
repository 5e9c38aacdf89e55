"""Parts that work on other time steps than the backbone are found in every toolbox."""

import pytest
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from snndense.models.checks import check_time_steps

from .tiny_backbones import TINY

STEPS = 2
WIDTH = 16
SPIKES = dict(neuron_cfg=dict(type='snndense.LIF'), time_steps=STEPS)


def backbone(out_mode: str, **cfg) -> dict:
    cfg = dict(TINY['Spikformer']['imagenet'], time_steps=STEPS, **cfg)
    return dict(type='snndense.Spikformer', out_mode=out_mode, **cfg)


def classifier(out_mode: str, spiking: bool) -> nn.Module:
    pytest.importorskip('mmpretrain')
    head = dict(type='LinearClsHead', num_classes=10, in_channels=WIDTH)
    if spiking:
        head.update(SPIKES, type='snndense.SpikeLinearClsHead')
    init_default_scope('mmpretrain')
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=backbone(out_mode, out_indices=(3,)),
            neck=dict(type='GlobalAveragePooling'),
            head=head,
        )
    )


def segmentor(out_mode: str, spiking: bool) -> nn.Module:
    pytest.importorskip('mmseg')
    head = dict(
        type='FPNHead',
        in_channels=[WIDTH],
        in_index=[0],
        feature_strides=[16],
        channels=8,
        num_classes=5,
    )
    neck = dict(type='FPN', in_channels=[WIDTH], out_channels=WIDTH, num_outs=1)
    if spiking:
        head.update(SPIKES, type='snndense.SpikeFPNHead')
        neck.update(SPIKES, type='snndense.SpikeSegFPN')
    init_default_scope('mmseg')
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=backbone(out_mode, out_indices=(3,)),
            neck=neck,
            decode_head=head,
            auxiliary_head=[dict(head)],
        )
    )


@pytest.mark.parametrize('build', [classifier, segmentor])
def test_steps_fit_or_the_parts_are_named(build):
    check_time_steps(build('sequence', spiking=True))
    check_time_steps(build('mean', spiking=False))
    parts = r'neck .*: 2.*decode_head .*: 2.*auxiliary_head\[0\] .*: 2'
    with pytest.raises(
        ValueError, match=parts if build is segmentor else r'head .*: 2'
    ):
        check_time_steps(build('mean', spiking=True))
    parts = r'decode_head .*: 1.*auxiliary_head\[0\] .*: 1'
    with pytest.raises(
        ValueError, match=parts if build is segmentor else r'head .*: 1'
    ):
        check_time_steps(build('sequence', spiking=False))


def test_backbones_of_other_packages_are_left_alone():
    check_time_steps(nn.ModuleDict(dict(head=nn.Linear(1, 1))))
