"""Stock decode heads of mmseg take any spiking backbone."""

from collections.abc import Iterator

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from .tiny_backbones import TINY, all_taps, each_backbone, some_case

SIZE = (64, 96)
CLASSES = 5
POOLS = dict(pool_scales=(1, 2))
# head -> what it needs, and whether it reads all maps or the last one
HEADS = {
    'FCNHead': (dict(num_convs=1), False),
    'PSPHead': (POOLS, False),
    'ASPPHead': (dict(dilations=(1, 2)), False),
    'UPerHead': (POOLS, True),
    'SegformerHead': ({}, True),
    'FPNHead': (dict(feature_strides=None), True),
}


@pytest.fixture(autouse=True)
def mmseg_scope() -> Iterator[None]:
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    yield
    init_default_scope('mmengine')


def build_segmentor(name: str, head: str):
    case = some_case(name)
    taps = all_taps(case)
    backbone = {'type': f'snndense.{name}', **TINY[name][case[1]], 'out_indices': taps}
    built = MODELS.build(dict(backbone))
    settings, reads_all = HEADS[head]
    if reads_all:
        inputs = dict(in_channels=built.out_channels, in_index=list(range(len(taps))))
    else:
        inputs = dict(in_channels=built.out_channels[-1], in_index=len(taps) - 1)
    if 'feature_strides' in settings:
        settings = dict(feature_strides=built.out_strides)
    return MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=SIZE),
            backbone=backbone,
            decode_head=dict(
                type=head,
                channels=8,
                num_classes=CLASSES,
                norm_cfg=dict(type='BN'),
                **inputs,
                **settings,
            ),
            test_cfg=dict(mode='whole'),
        )
    )


def make_data(count: int) -> dict:
    samples = []
    for _ in range(count):
        sample = SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, CLASSES, (1, *SIZE)))
        samples.append(sample)
    images = [torch.randint(0, 255, (3, *SIZE), dtype=torch.uint8) for _ in samples]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('head', HEADS)
@each_backbone
def test_trains_and_predicts(name, head):
    torch.manual_seed(0)
    model = build_segmentor(name, head)
    model.init_weights()
    batch = model.train().data_preprocessor(make_data(2), training=True)
    loss = model.parse_losses(model(**batch, mode='loss'))[0]
    assert torch.isfinite(loss)
    loss.backward()
    assert all(p.grad is not None for p in model.decode_head.parameters())
    assert any(p.grad.any() for p in model.backbone.parameters() if p.grad is not None)
    with torch.no_grad():
        (result,) = model.eval().test_step(make_data(1))
    assert result.seg_logits.data.shape == (CLASSES, *SIZE)
    assert result.pred_sem_seg.data.shape == (1, *SIZE)
