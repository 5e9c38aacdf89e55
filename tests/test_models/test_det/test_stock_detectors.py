"""Stock detectors of mmdet take a spiking backbone in the place of their own."""

from collections.abc import Iterator

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope

pytest.importorskip('mmdet')

STRIDES = (8, 16, 16)
ANCHORS = dict(strides=[8, 16, 16, 32, 64], base_sizes=[8, 16, 32, 64, 128])


@pytest.fixture(autouse=True)
def mmdet_scope() -> Iterator[None]:
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    yield
    init_default_scope('mmengine')


def swap_backbone(base: str, **backbone) -> Config:
    cfg = get_config(f'mmdet::{base}')
    cfg.model.backbone = dict(
        type='snndense.MetaSDT',
        arch='t',
        depths=(1, 1, 1, 1, 1),
        out_indices=(2, 3, 4),
        **backbone,
    )
    cfg.model.neck.in_channels = [48, 96, 128]
    return cfg


def deformable_detr() -> dict:
    cfg = swap_backbone(
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', mixer='srb'
    )
    cfg.model.num_queries = 10
    cfg.model.encoder.num_layers = cfg.model.decoder.num_layers = 1
    return cfg.model


def atss() -> dict:
    cfg = swap_backbone(
        'atss/atss_r50_fpn_1x_coco.py',
        time_steps=2,
        neuron_cfg=dict(type='snndense.LIF'),
    )
    cfg.model.neck.start_level = 0  # tap 1 is not built
    cfg.model.bbox_head.anchor_generator.update(ANCHORS)
    return cfg.model


def gfl() -> dict:
    cfg = swap_backbone('gfl/gfl_r50_fpn_1x_coco.py', mixer='mlpixer')
    cfg.model.neck.start_level = 0
    cfg.model.bbox_head.anchor_generator.update(ANCHORS)
    return cfg.model


@pytest.mark.parametrize('build_cfg', [deformable_detr, atss, gfl])
def test_trains_and_predicts(build_cfg):
    from mmdet.testing import demo_mm_inputs

    torch.manual_seed(0)
    model = MODELS.build(build_cfg())
    model.init_weights()
    assert model.backbone.out_strides == STRIDES
    data = demo_mm_inputs(
        2, [(3, 64, 96), (3, 65, 97)], num_items=[2, 1], num_classes=80
    )
    batch = model.train().data_preprocessor(data, training=True)
    loss = model.parse_losses(model(**batch, mode='loss'))[0]
    assert torch.isfinite(loss) and loss > 0
    loss.backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    with torch.no_grad():
        predictions = model.eval().test_step(data)
    for sample in predictions:
        assert torch.isfinite(sample.pred_instances.bboxes).all()
        assert sample.pred_instances.scores.numel() <= 100
