"""Every config for image classification: sizes, recipe, a step, a prediction."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS

pytest.importorskip('mmpretrain')

FOLDER = Path(__file__).parents[1] / 'configs/cls'
EVENTS = ('dvs', 'gesture', 'caltech', 'mnist')
NAMES = [
    path.stem
    for path in sorted(FOLDER.glob('*.py'))
    if not any(word in path.stem for word in EVENTS)
]

# published sizes, in parameters
PARAMETERS = {
    'sdt_v2_31m_imagenet': 31_333_864,
    'sdt_v2_55m_imagenet': 55_350_248,
    'sdt_v2_55m_t4_distill_imagenet': 55_991_248,
    'sdt_v2_124m_imagenet': 123_741_160,
    'sdt_v3_83m_distill_imagenet': 83_015_952,
    'sdt_v3_173m_d8_distill_imagenet-384': 171_740_714,
    'meta_sdt_conv_t_imagenet': 2_702_048,
    'meta_sdt_conv_s_imagenet': 5_105_608,
    'meta_sdt_conv_m_imagenet': 10_023_112,
    'meta_sdt_conv_imagenet': 18_987_504,
    'meta_sdt_mlpixer_s_imagenet': 4_497_640,
    'meta_sdt_mlpixer-r6_s_imagenet': 5_230_568,
    'meta_sdt_mlpixer_m_imagenet': 8_656_504,
    'meta_sdt_mlpixer_imagenet': 16_559_152,
    'meta_sdt_mlpixer-r6_imagenet': 19_333_904,
    'meta_sdt_srb_s_imagenet': 4_801_096,
    'meta_sdt_srb_m_imagenet': 9_339_016,
    'meta_sdt_srb_imagenet': 17_772_272,
    'spiking_resformer_ti_imagenet': 11_180_992,
    'spiking_resformer_s_imagenet': 17_813_824,
    'spiking_resformer_m_imagenet': 35_601_472,
    'spiking_resformer_l_imagenet': 60_375_680,
    'spiking_resformer_cifar_cifar10': 10_793_152,
    'spiking_resformer_cifar_cifar100': 10_827_712,
    'spiking_resformer_s_cifar10': 17_306_944,
}
TEACHER = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=64),
)


@pytest.fixture
def build_small(load_config, shrink_backbone):
    """A config, and its classifier with everything narrow, but all its parts."""

    def build(name):
        cfg = load_config(f'cls/{name}')
        cfg.model.head.in_channels = shrink_backbone(cfg)[-1]
        for part in (cfg.model.backbone, cfg.model.head):
            part.pop('init_cfg', None)  # weights of another run
        if 'teacher' in cfg.model:
            cfg.model.teacher = TEACHER
        cfg.model.data_preprocessor = cfg.data_preprocessor
        return cfg, MODELS.build(cfg.model)

    return build


def make_data(count, num_classes):
    from mmpretrain.structures import DataSample

    return dict(
        inputs=[torch.randint(0, 255, (3, 32, 32), dtype=torch.uint8)] * count,
        data_samples=[DataSample().set_gt_label(i % num_classes) for i in range(count)],
    )


@pytest.mark.parametrize('name', PARAMETERS)
def test_published_sizes(load_config, name):
    with torch.device('meta'):
        model = MODELS.build(load_config(f'cls/{name}').model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize('name', NAMES)
def test_trains_and_predicts(build_small, name):
    torch.manual_seed(0)
    cfg, model = build_small(name)
    num_classes = cfg.model.head.num_classes
    assert cfg.data_preprocessor.num_classes == num_classes
    model.init_weights()
    batch = model.train().data_preprocessor(make_data(4, num_classes), training=True)
    loss = model.parse_losses(model(**batch, mode='loss'))[0]
    assert torch.isfinite(loss) and loss > 0
    loss.backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        results = model.eval().test_step(make_data(2, num_classes))
    for sample in results:
        assert sample.pred_score.shape == (num_classes,)
        assert sample.pred_score.sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('name', NAMES)
def test_schedule_ends_with_the_training(load_config, name):
    cfg = load_config(f'cls/{name}')
    warmup, cosine = cfg.param_scheduler
    assert (warmup.type, cosine.type) == ('LinearLR', 'CosineAnnealingLR')
    assert warmup.end == cosine.begin < cosine.end
    # Spikformer goes on for ten epochs at the last learning rate
    assert cfg.train_cfg.max_epochs - cosine.end in (0, 10)
    start = warmup.start_factor * cfg.optim_wrapper.optimizer.lr
    assert start <= 1.001e-5


@pytest.mark.parametrize(
    ('name', 'lr', 'decay'),
    [
        ('sdt_v2_55m_imagenet', 2.4e-3, 0.05),
        ('meta_sdt_srb_imagenet', 4.8e-3, 0.05),
        ('spiking_resformer_m_imagenet', 8e-4, 0.01),
        ('spikformer_4-384_cifar10', 5e-4, 0.06),
    ],
)
def test_one_dimensional_parameters_do_not_decay(build_small, name, lr, decay):
    cfg, model = build_small(name)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    seen = {
        (parameter.ndim > 1, group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    assert seen == {(True, lr, decay), (False, lr, 0.0)}


def test_lower_stages_learn_more_slowly_in_transfer(build_small):
    cfg, model = build_small('meta_sdt_srb_cifar10')
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {group['param_name']: group['lr'] for group in optimizer.param_groups}
    lr = cfg.optim_wrapper.optimizer.lr
    blocks = 5  # one per stage when narrow
    for index in range(blocks):
        (rate,) = {
            v for k, v in rates.items() if k.startswith(f'backbone.stages.{index}.bl')
        }
        assert rate == pytest.approx(lr * 0.75 ** (blocks - index))
    assert rates['head.fc.weight'] == lr


def test_mixing_ends_where_the_recipe_says(load_config):
    for name in ('spikformer_4-384_cifar10', 'lsformer_tiny-imagenet'):
        cfg = load_config(f'cls/{name}')
        assert cfg.model.train_cfg.augments.type == 'Mixup'
        hook = HOOKS.build(cfg.custom_hooks[0])
        assert hook.schedule == {201: dict(batch_augments=None)}


@pytest.mark.parametrize(
    ('name', 'size', 'shape'),
    [
        ('meta_sdt_srb_imagenet', (300, 400), (3, 224, 224)),
        ('spikformer_8-512_imagenet', (300, 400), (3, 224, 224)),
        ('spiking_resformer_l_imagenet', (300, 400), (3, 224, 224)),
        ('sdt_v3_173m_d8_distill_imagenet-384', (300, 400), (3, 384, 384)),
        ('lsformer_tiny-imagenet', (64, 64), (3, 64, 64)),
        ('spikformer_4-384_cifar10', (32, 32), (3, 32, 32)),
        ('spiking_resformer_cifar_cifar100', (32, 32), (3, 32, 32)),
        ('spiking_resformer_s_cifar10', (32, 32), (3, 128, 128)),
        ('meta_sdt_srb_cifar100', (32, 32), (3, 128, 128)),
    ],
)
def test_pipelines(load_config, tmp_path, name, size, shape):
    cfg = load_config(f'cls/{name}')
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    if 'cifar' in name:
        item = dict(img=image, gt_label=1)
    else:
        cv2.imwrite(str(tmp_path / 'image.png'), image)
        item = dict(img_path=str(tmp_path / 'image.png'), gt_label=1)
    for phase in ('train', 'test'):
        pipeline = Compose(cfg[f'{phase}_dataloader'].dataset.pipeline)
        result = pipeline(dict(item))
        assert result['inputs'].shape == shape
        assert result['data_samples'].gt_label.tolist() == [1]
