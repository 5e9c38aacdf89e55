"""Small spiking detectors over mmdet's own base configs, and pictures for them."""

from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config

import snndense  # noqa: F401 (lets a config say mmdet::)

if find_spec('mmdet') is None:
    collect_ignore_glob = ['test_*.py']

# tau=1: no membrane is left between steps, so T equal steps give what one gives
HEADER = """
_base_ = ['mmdet::_base_/models/{base}.py']
neuron_cfg = dict(type='snndense.IntegerLIF', levels=4, norm=1, tau=1.0)
spiking = dict(time_steps={time_steps}, neuron_cfg=neuron_cfg)
backbone = dict(
    _delete_=True, type='snndense.MetaSDT', arch='t', embed_dims=(8, 8, 16, 24),
    depths=(1, 1, 1, 1, 1), mlp_ratio=2, out_mode='sequence', **spiking)
neck = dict(
    type='snndense.SpikeFPN', in_channels=[8, 8, 16, 24], out_channels=16, **spiking)
"""
RETINA = """
model = dict(
    backbone=backbone,
    neck=neck,
    bbox_head=dict(
        type='snndense.SpikeRetinaHead', num_classes=3, in_channels=16,
        feat_channels=16, stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 16, 32, 64]), **spiking),
    test_cfg=dict(score_thr=0.0, max_per_img=10))
"""
TWO_STAGE = """
extractor = dict(
    type='snndense.SpikeSingleRoIExtractor', out_channels=16,
    featmap_strides=[4, 8, 16, 16], time_steps={time_steps})
box = dict(in_channels=16, fc_out_channels=32, num_classes=3, **spiking)
proposals = dict(nms_pre=50, max_per_img=20)
model = dict(
    backbone=backbone,
    neck=neck,
    rpn_head=dict(
        type='snndense.SpikeRPNHead', in_channels=16, feat_channels=16,
        anchor_generator=dict(strides=[4, 8, 16, 16, 32]), **spiking),
    roi_head=dict(
        bbox_roi_extractor=extractor,
        bbox_head=[
            dict(stage, type='snndense.SharedSpike4Conv1FCBBoxHead',
                 conv_out_channels=8, **box)
            for stage in _base_.model.roi_head.bbox_head
        ] if isinstance(_base_.model.roi_head.bbox_head, list) else dict(
            type='snndense.SharedSpike2FCBBoxHead', **box),
        mask_roi_extractor=extractor,
        mask_head=dict(
            type='snndense.SpikeFCNMaskHead', num_convs=1, in_channels=16,
            conv_out_channels=16, num_classes=3, **spiking)),
    train_cfg=dict(rpn_proposal=proposals),
    test_cfg=dict(rpn=proposals, rcnn=dict(max_per_img=10)))
"""
BASES = {
    'retinanet': ('retinanet_r50_fpn', RETINA),
    'mask-rcnn': ('mask-rcnn_r50_fpn', TWO_STAGE),
    'cascade-mask-rcnn': ('cascade-mask-rcnn_r50_fpn', TWO_STAGE),
}


@pytest.fixture
def detector_cfg():
    """``detector_cfg(name, time_steps)`` -> the config of a small detector."""

    def build(name, time_steps=1):
        base, body = BASES[name]
        text = (HEADER + body).format(base=base, time_steps=time_steps)
        return Config.fromstring(text, '.py').model

    return build


@pytest.fixture
def build_detector(detector_cfg):
    """``build_detector(name, time_steps)`` -> an initialised small detector."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules()

    def build(name, time_steps=1):
        torch.manual_seed(0)
        model = MODELS.build(detector_cfg(name, time_steps))
        model.init_weights()
        return model

    return build


@pytest.fixture
def pictures():
    """Two pictures with boxes and masks, before the data preprocessor."""
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(
        2, [(3, 64, 48), (3, 40, 64)], num_items=[2, 3], num_classes=3, with_mask=True
    )


@pytest.fixture
def lif_reference():
    """LIF as a loop over steps: tau 2, threshold 1, hard reset."""

    def fire(x_seq):
        v, spikes = torch.zeros_like(x_seq[0]), []
        for x in x_seq:
            v = v + (x - v) / 2
            spike = (v >= 1).to(x)
            v = v * (1 - spike)
            spikes.append(spike)
        return torch.stack(spikes)

    return fire
