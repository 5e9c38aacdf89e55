"""Every segmentation config: sizes, strides, neurons, recipe, a step, a prediction."""

from math import log2
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.structures import PixelData

from snndense.models.layers import LIF, IntegerLIF

pytest.importorskip('mmseg')

FOLDER = Path(__file__).parents[1] / 'configs/seg'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
ADE20K = [name for name in NAMES if 'ade20k' in name]
WITH_SPIKING_HEAD = [
    name for name in NAMES if not {'fpn', 'upernet', 'segformer'} & set(name.split('_'))
]

# published sizes, in parameters
PARAMETERS = {
    'meta_sdt_srb_ade20k': 19_132_254,
    'meta_sdt_srb_ade20k_published': 24_097_118,
    'meta_sdt_srb_m_ade20k': 10_796_470,
    'meta_sdt_srb_s_ade20k': 6_293_238,
    'meta_sdt_mlpixer_ade20k': 17_919_134,
    'meta_sdt_mlpixer-r6_ade20k': 20_693_886,
    'meta_sdt_mlpixer_s_ade20k': 5_989_782,
    'meta_sdt_conv_ade20k_published': 20_354_254,
    'meta_sdt_conv_m_ade20k_published': 11_485_462,
    'sdt_v2_15m_ade20k': 16_472_190,
    'sdt_v2_55m_t4_ade20k': 61_524_118,
}
WIDTH = 8


@pytest.fixture
def load_small(load_config, shrink_backbone):
    """A config with everything narrow, but all its parts."""

    def load(name):
        cfg = load_config(f'seg/{name}')
        channels = list(shrink_backbone(cfg))
        neck, head = cfg.model.get('neck'), cfg.model.decode_head
        if neck is not None:
            neck.update(in_channels=channels, out_channels=WIDTH)
            channels = [WIDTH] * neck.num_outs
        head.update(in_channels=channels, channels=WIDTH)
        if auxiliary := cfg.model.get('auxiliary_head'):
            auxiliary.update(in_channels=channels[auxiliary.in_index], channels=WIDTH)
        return cfg

    return load


def make_data(sizes, num_classes):
    from mmseg.structures import SegDataSample

    samples = []
    for size in sizes:
        labels = torch.randint(0, num_classes, (1, *size))
        labels[:, :4] = 255  # ignored
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    inputs = [torch.randint(0, 255, (3, *size), dtype=torch.uint8) for size in sizes]
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('name', PARAMETERS)
def test_published_sizes(load_config, name):
    with torch.device('meta'):
        model = MODELS.build(load_config(f'seg/{name}').model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize('name', NAMES)
def test_trains_and_predicts(load_small, name):
    torch.manual_seed(0)
    cfg = load_small(name)
    cfg.model.data_preprocessor.size = (32, 48)
    num_classes = cfg.model.decode_head.num_classes
    model = MODELS.build(cfg.model)
    model.init_weights()
    data = make_data([(32, 48), (32, 48)], num_classes)
    batch = model.train().data_preprocessor(data, training=True)
    losses = model(**batch, mode='loss')
    loss = model.parse_losses(losses)[0]
    assert torch.isfinite(loss) and loss > 0
    loss.backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    model.eval()
    with torch.no_grad():
        (result,) = model.test_step(make_data([(33, 49)], num_classes))
    labels = result.pred_sem_seg.data
    assert labels.shape == (1, 33, 49)
    assert labels.min() >= 0 and labels.max() < num_classes


@pytest.mark.parametrize('name', NAMES)
def test_declared_strides_are_true(load_config, name):
    model_cfg = load_config(f'seg/{name}').model
    with torch.device('meta'):
        backbone = MODELS.build(model_cfg.backbone)
    declared = model_cfg.decode_head.get('feature_strides')
    strides = backbone.out_strides
    if len(strides) == 1:  # the neck makes a pyramid of it
        strides = tuple(int(strides[0] * factor) for factor in (1 / 4, 1 / 2, 1, 2))
    assert declared is None or tuple(declared) == strides
    part = model_cfg.get('neck') or model_cfg.decode_head
    assert tuple(part.in_channels) == backbone.out_channels


@pytest.mark.parametrize('name', WITH_SPIKING_HEAD)
def test_neurons_of_neck_and_head(load_small, name):
    model = MODELS.build(load_small(name).model)
    strides = model.decode_head.feature_strides
    is_v2, is_v3 = (
        name.startswith('sdt_v2'),
        name.startswith(('meta_sdt_conv', 'sdt_v3')),
    )
    families = ('spiking_resformer', 'spikformer')
    is_binary = is_v2 or (name.startswith(families) and name in ADE20K)
    neuron = LIF if is_binary else IntegerLIF
    found = [
        module
        for part in (model.neck, model.decode_head)
        for module in part.modules()
        if isinstance(module, (LIF, IntegerLIF))
    ]
    # two per level of the neck and one per transposed convolution, one per stage of
    # the head and one for its classifier
    in_neck = 2 * 4 + 3 if len(model.neck.in_channels) == 1 else 2 * len(strides)
    assert (
        len(found) == in_neck + sum(max(1, log2(s // strides[0])) for s in strides) + 1
    )
    assert {type(module) for module in found} == {neuron}
    assert {module.norm for module in found} == {4 if is_v3 else 1}
    # SDT-V2 averages its maps over time in front of the neck
    steps = 1 if is_v2 else model.backbone.time_steps
    assert {module.time_steps for module in found} == {steps}
    assert model.backbone.out_mode == ('mean' if is_v2 else 'sequence')


@pytest.mark.parametrize('name', ['meta_sdt_srb_s_ade20k', 'sdt_v2_15m_t4_ade20k'])
def test_learning_rates(load_small, name):
    cfg = load_small(name)
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {id(p): g['lr'] for g in optimizer.param_groups for p in g['params']}
    decays = {group['weight_decay'] for group in optimizer.param_groups}
    assert decays == {0.005}
    by_part = {
        part: {rates[id(p)] for p in getattr(model, part).parameters()}
        for part in ('backbone', 'neck', 'decode_head')
    }
    neck = 2e-3 if 't4' in name else 1e-3
    assert by_part == dict(backbone={1e-3}, neck={neck}, decode_head={2e-3})


@pytest.mark.parametrize('name', ADE20K)
def test_schedule_ends_with_the_training(load_config, name):
    cfg = load_config(f'seg/{name}')
    warmup, decay = cfg.param_scheduler
    assert (warmup.type, decay.type) == ('LinearLR', 'PolyLR')
    assert warmup.end == decay.begin == 1500
    assert decay.end == cfg.train_cfg.max_iters
    assert decay.eta_min == 0 and decay.power == 1
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    assert not warmup.by_epoch and not decay.by_epoch


def test_pipelines_read_the_labels_of_ade20k(load_config, tmp_path):
    cfg = load_config('seg/meta_sdt_srb_ade20k')
    labels = np.zeros((40, 60), np.uint8)
    labels[10:], labels[:, 30:] = 1, 150
    cv2.imwrite(str(tmp_path / 'labels.png'), labels)
    cv2.imwrite(str(tmp_path / 'image.jpg'), np.full((40, 60, 3), 127, np.uint8))
    item = dict(
        img_path=str(tmp_path / 'image.jpg'),
        seg_map_path=str(tmp_path / 'labels.png'),
        reduce_zero_label=True,
        seg_fields=[],
    )
    test = Compose(cfg.test_dataloader.dataset.pipeline)(dict(item, seg_fields=[]))
    assert test['inputs'].shape == (3, 512, 768)
    truth = test['data_samples'].gt_sem_seg.data
    assert truth.shape == (1, 40, 60)
    assert set(truth.unique().tolist()) == {0, 149, 255}
    train = Compose(cfg.train_dataloader.dataset.pipeline)(dict(item, seg_fields=[]))
    assert max(train['inputs'].shape[1:]) <= 512
    views = Compose(cfg.tta_pipeline)(dict(item, seg_fields=[]))
    assert len(views['inputs']) == 6 * 2  # scales x flips
