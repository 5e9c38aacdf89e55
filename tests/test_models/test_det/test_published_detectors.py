"""Key lists of the full-size published detectors."""

import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from snndense.checkpoints.dense_heads import DETECTOR

MANIFESTS = Path(__file__).parents[2] / 'data/manifests/det'
BASE = """
_base_ = ['mmdet::_base_/models/{base}.py']
backbone = dict(_delete_=True, type='snndense.MetaSDT', arch={arch!r}, mixer={mixer!r})
neck = dict(type='snndense.SpikeFPN', in_channels={dims}, out_channels={width})
"""
TWO_STAGE = """
box = dict(in_channels={width}, fc_out_channels={fc})
model = dict(
    backbone=backbone,
    neck=neck,
    rpn_head=dict(
        type='snndense.SpikeRPNHead', in_channels={width}, feat_channels={width}),
    roi_head=dict(
        bbox_head=[
            dict(stage, type='snndense.SharedSpike4Conv1FCBBoxHead',
                 reg_class_agnostic=False, norm_cfg=dict(type='BN'), **box)
            for stage in _base_.model.roi_head.bbox_head
        ] if isinstance(_base_.model.roi_head.bbox_head, list) else dict(
            type='snndense.SharedSpike2FCBBoxHead', **box),
        mask_head=dict(
            type='snndense.SpikeFCNMaskHead', in_channels={width},
            conv_out_channels={width})))
"""
RETINA = """
model = dict(
    backbone=backbone, neck=neck, bbox_head=dict(type='snndense.SpikeRetinaHead'))
"""
DIMS = {
    's': [32, 64, 128, 192],
    'm': [48, 96, 192, 240],
    'l': [64, 128, 256, 360],
    'v2_15m': [64, 128, 256, 360],
}
MODELS_OF = {
    'mask_rcnn_sdt3_19m': ('mask-rcnn_r50_fpn', TWO_STAGE, 'l', 'conv', 256),
    'mask_rcnn_sdt3_10m_heads': ('mask-rcnn_r50_fpn', TWO_STAGE, 'm', 'conv', 192),
    'mask_rcnn_sterf_srb_t': ('mask-rcnn_r50_fpn', TWO_STAGE, 's', 'srb', 256),
    'cascade_sdt3_19m_heads': (
        'cascade-mask-rcnn_r50_fpn',
        TWO_STAGE,
        'l',
        'conv',
        256,
    ),
    'retina_sdt2_15m_heads': ('retinanet_r50_fpn', RETINA, 'v2_15m', 'conv', 256),
}


@pytest.mark.parametrize('name', MODELS_OF)
def test_key_list(name):
    register_all_modules()
    manifest = json.loads((MANIFESTS / f'manifest_det_{name}.json').read_text())
    base, body, arch, mixer, width = MODELS_OF[name]
    text = (BASE + body).format(
        base=base, arch=arch, mixer=mixer, dims=DIMS[arch], width=width, fc=4 * width
    )
    model = MODELS.build(Config.fromstring(text, '.py').model)
    published = {key: torch.empty(shape) for key, shape, _ in manifest['state_dict']}
    converted = DETECTOR.convert(published)
    ours = model.state_dict()
    if name.endswith('_heads'):  # listed without the backbone
        ours = {k: v for k, v in ours.items() if not k.startswith('backbone.')}
    assert set(converted) == set(ours)
    assert all(converted[key].shape == ours[key].shape for key in ours)
    assert sum(p.numel() for p in model.parameters()) == manifest['params']
    for part, count in manifest['params_by_part'].items():
        parameters = getattr(model, part).parameters()
        assert sum(p.numel() for p in parameters) == count, part
