"""Segmentation neck and head: published key lists, time, training."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from snndense.checkpoints.seg_heads import SEGMENTOR
from snndense.models.layers import unfold_time

MANIFESTS = Path(__file__).parents[2] / 'data/manifests'


def segmentor(channels=(4, 8, 16, 16), *, time_steps=1, neuron='IntegerLIF', **cfg):
    width, classes = cfg.pop('width', 8), cfg.pop('num_classes', 5)
    unit = dict(time_steps=time_steps, neuron_cfg=dict(type=f'snndense.{neuron}'))
    backbone = dict(
        type='snndense.MetaSDT',
        arch='s',
        embed_dims=(channels[1], channels[2], 16, channels[3]),
        num_heads=4,
        out_indices=(0, 1, 2, 4),
        out_mode='sequence',
        **unit,
    )
    backbone.update(cfg)
    return MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(64, 96)),
            backbone=backbone,
            neck=dict(
                type='snndense.SpikeSegFPN',
                in_channels=list(channels),
                out_channels=width,
                num_outs=4,
                **unit,
            ),
            decode_head=dict(
                type='snndense.SpikeFPNHead',
                in_channels=[width] * 4,
                in_index=[0, 1, 2, 3],
                feature_strides=[2, 4, 8, 16],
                channels=width,
                num_classes=classes,
                **unit,
            ),
            test_cfg=dict(mode='whole'),
        )
    )


PUBLISHED = {
    'manifest_seg_qfpn_sterf_srb_t': dict(arch='s', mixer='srb', width=128),
    'manifest_seg_qfpn_sterf_srb_b_heads': dict(arch='l', mixer='srb', width=256),
    'manifest_seg_qfpn_sdt3_19m': dict(
        arch='l', layer_scale_init_value=1e-6, width=128
    ),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_key_list_of_published_segmentor(name):
    manifest = json.loads((MANIFESTS / f'{name}.json').read_text())
    cfg = dict(PUBLISHED[name])
    channels = (16, 32, 64, 192) if cfg['arch'] == 's' else (32, 64, 128, 360)
    with torch.device('meta'):
        model = segmentor(
            channels,
            num_classes=150,
            embed_dims=None,  # those of the arch
            num_heads=8,
            **cfg,
        )
    published = {k: torch.empty(s, device='meta') for k, s, _ in manifest['state_dict']}
    converted = {k: v.shape for k, v in SEGMENTOR.convert(published).items()}
    ours = {k: v.shape for k, v in model.state_dict().items()}
    if name.endswith('_heads'):
        ours = {k: v for k, v in ours.items() if not k.startswith('backbone.')}
    assert converted == ours
    assert sum(p.numel() for p in model.parameters()) == manifest['params']


def make_samples(size, count=2):
    samples = []
    for _ in range(count):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 5, (1, *size)))
        samples.append(sample)
    return samples


@pytest.mark.parametrize(('time_steps', 'neuron'), [(1, 'IntegerLIF'), (3, 'LIF')])
def test_segmentor_trains_and_predicts(time_steps, neuron):
    torch.manual_seed(0)
    model = segmentor(time_steps=time_steps, neuron=neuron)
    model.init_weights()
    images, samples = torch.randn(2, 3, 64, 96), make_samples((64, 96))
    losses = model.train()(images, samples, mode='loss')
    losses['decode.loss_ce'].backward()
    assert torch.isfinite(losses['decode.loss_ce'])
    assert all(p.grad is not None for p in model.parameters())
    results = model.eval()(images, samples, mode='predict')
    assert results[0].pred_sem_seg.data.shape == (1, 64, 96)


def test_logits_are_the_mean_over_time():
    torch.manual_seed(0)
    model = segmentor(time_steps=3, neuron='LIF').eval()
    sizes = ((32, 48), (16, 24), (8, 12), (4, 6))
    features = [3 * torch.randn(3 * 2, 8, *size) for size in sizes]
    head = model.decode_head
    averaged = head(features)
    head.time_steps = 1  # undo the averaging only, neurons still run three steps
    steps = unfold_time(head(features), 3)
    assert averaged.shape == (2, 5, 32, 48)
    torch.testing.assert_close(averaged, steps.mean(0))
    assert (steps[0] - steps[2]).abs().max() > 0


def test_neck_refuses_an_activation_behind_the_convolution():
    with pytest.raises(ValueError, match='act_cfg must stay unset'):
        MODELS.build(
            dict(
                type='snndense.SpikeSegFPN',
                in_channels=[8, 8],
                out_channels=8,
                num_outs=2,
                act_cfg=dict(type='ReLU'),
            )
        )


def test_neck_initialisation_is_stock():
    model = segmentor()
    model.neck.init_weights()
    convs = [m for m in model.neck.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 8
    for conv in convs:
        assert conv.bias.abs().max() == 0
        fan = sum(nn.init._calculate_fan_in_and_fan_out(conv.weight))
        assert conv.weight.abs().max() <= (6 / fan) ** 0.5
