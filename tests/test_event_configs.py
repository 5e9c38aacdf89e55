"""Event recipes: sizes, augmentation, and from raw files to a trained step."""

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

pytest.importorskip('mmpretrain')

ROOT = Path(__file__).parents[1]
WRITERS = runpy.run_path(str(ROOT / 'tests/reference/event_writers.py'))
# tiny settings of every registered backbone
TINY = runpy.run_path(str(ROOT / 'tests/test_models/tiny_backbones.py'))['TINY']
DATA = ('cifar10-dvs', 'dvs128-gesture', 'ncaltech101')
NAMES = sorted(
    path.stem
    for path in (ROOT / 'configs/cls').glob('*.py')
    if path.stem.rpartition('_')[2] in DATA
)
each_config = pytest.mark.parametrize('name', NAMES)

# published sizes, in parameters; Spikformer without the parts that it never uses
PARAMETERS = {
    'spiking_resformer_cifar_cifar10-dvs': 10_793_152,
    'spiking_resformer_dvsg_dvs128-gesture': 2_709_830,
    'spiking_resformer_s_cifar10-dvs': 17_306_944,
    'spiking_resformer_s_dvs128-gesture': 17_307_456,
    'spikformer_2-256_cifar10-dvs': 2_566_666,
}


@pytest.fixture(scope='session')
def event_roots(tmp_path_factory) -> dict[str, Path]:
    """Raw files of the data sets, by the last word of a config's name."""
    folder = tmp_path_factory.mktemp('events')
    WRITERS['write_cifar10dvs'](folder / 'cifar10-dvs/extract', count=2)
    WRITERS['write_gesture'](folder / 'dvs128-gesture/extract')
    WRITERS['write_ncaltech101'](folder / 'ncaltech101/extract')
    WRITERS['write_nmnist'](folder / 'nmnist/extract', count=1)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def load_small(load_config, shrink_backbone, event_roots):
    """A config with everything narrow, on the synthetic data."""

    def load(name: str):
        cfg = load_config(f'cls/{name}')
        cfg.model.head.in_channels = shrink_backbone(cfg)[-1]
        data = name.rpartition('_')[2]
        for phase in ('train', 'val', 'test'):
            dataset = cfg[f'{phase}_dataloader'].dataset
            dataset.data_root = str(event_roots[data])
            if data != 'dvs128-gesture':
                dataset.train_ratio = 0.5
        return cfg

    return load


def build_model(cfg) -> torch.nn.Module:
    model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    return MODELS.build(model)


def optimize(model, batch: dict, optim_wrapper: dict) -> torch.Tensor:
    """One step; every parameter must have taken part."""
    wrapper = build_optim_wrapper(model, optim_wrapper)
    data = model.train().data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    wrapper.backward(loss)
    idle = [n for n, p in model.named_parameters() if p.grad is None]
    assert not idle
    wrapper.step()
    return loss


@each_config
def test_from_raw_files_to_a_step_and_a_prediction(name, load_small):
    torch.manual_seed(0)
    cfg = load_small(name)
    model = build_model(cfg)
    model.init_weights()
    train = DATASETS.build(cfg.train_dataloader.dataset)
    batch = pseudo_collate([train[index] for index in (0, len(train) - 1)])
    time_steps = model.backbone.time_steps
    assert all(len(frames) == time_steps for frames in batch['inputs'])
    batch['inputs'] = [frames[..., :32, :32] for frames in batch['inputs']]  # quick
    loss = optimize(model, batch, cfg.optim_wrapper)
    assert torch.isfinite(loss) and loss > 0
    test = DATASETS.build(cfg.test_dataloader.dataset)
    classes = test.metainfo['classes']
    assert (
        cfg.model.head.num_classes == len(classes) == cfg.data_preprocessor.num_classes
    )
    with torch.no_grad():
        item = dict(test[0], inputs=test[0]['inputs'][..., :32, :32])
        samples = model.eval().test_step(pseudo_collate([item]))
    assert samples[0].pred_score.shape == (len(classes),)
    assert torch.isfinite(samples[0].pred_score).all()


@pytest.mark.parametrize('name', PARAMETERS)
def test_published_sizes(name, load_config):
    with torch.device('meta'):
        model = MODELS.build(load_config(f'cls/{name}').model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@each_config
def test_evaluation_changes_nothing_at_random(name, load_small):
    dataset = DATASETS.build(load_small(name).val_dataloader.dataset)
    first, second = (dataset[0]['inputs'] for _ in range(2))
    assert torch.equal(first, second)


@each_config
def test_training_augments_samples(name, load_small):
    np.random.seed(0)
    cfg = load_small(name)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    views = [dataset[0]['inputs'] for _ in range(8)]
    assert len({v.numpy().tobytes() for v in views}) > 3
    if 'spiking_resformer' in name:
        for view in views:
            assert torch.allclose(view[:, 2], view[:, :2].sum(1))


@each_config
def test_neither_norms_nor_biases_nor_plif_decay(name, load_small):
    cfg = load_small(name)
    model = build_model(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {
        id(p): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    for key, parameter in model.named_parameters():
        expected = cfg.optim_wrapper.optimizer.weight_decay * (parameter.dim() > 1)
        assert decay[id(parameter)] == expected, key


@each_config
def test_learning_rates(name, load_config):
    """Published: a warm-up from 1e-5, then a cosine down to 1e-5."""
    cfg = load_config(f'cls/{name}')
    warmup, cosine = cfg.param_scheduler
    rate = cfg.optim_wrapper.optimizer.lr
    assert warmup.start_factor * rate == pytest.approx(1e-5)
    assert warmup.end == cosine.begin and cosine.eta_min == 1e-5
    assert cosine.end <= cfg.train_cfg.max_epochs
    if name.startswith('spiking_resformer'):
        assert cfg.train_cfg.max_epochs == (100 if '_s_' in name else 300)
    else:
        assert cfg.train_cfg.max_epochs == 106


@pytest.mark.parametrize(
    'name',
    [
        'spikformer_2-256_cifar10-dvs',
        'spiking_resformer_dvsg_dvs128-gesture',
        'lsformer_ncaltech101',
    ],
)
def test_recipe_runs_through_the_runner(name, load_small, tmp_path):
    cfg = load_small(name)
    cfg.model.backbone.time_steps = 2
    for phase in ('train', 'val', 'test'):
        loader = cfg[f'{phase}_dataloader']
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(time_steps=2, indices=8)
        pipeline = loader.dataset.pipeline
        pipeline[:] = [x for x in pipeline if x.type != 'snndense.EventResize']
        pipeline.insert(1, dict(type='snndense.EventResize', scale=32))
    cfg.train_cfg.max_epochs = 2
    mixup = bool(cfg.get('custom_hooks'))
    if mixup:
        cfg.custom_hooks[0].schedule[0].action_epoch = 2
    cfg.default_hooks.visualization = dict(
        type='snndense.EventVisualizationHook',
        enable=True,
        interval=5,
        out_dir=str(tmp_path / 'drawn'),
    )
    cfg.update(work_dir=str(tmp_path), experiment_name=f'events_{name}')
    runner = Runner.from_cfg(cfg)
    augments = [runner.model.data_preprocessor.batch_augments]
    runner.train()
    augments.append(runner.model.data_preprocessor.batch_augments)
    assert [x is not None for x in augments] == [mixup, False]  # Mixup has ended
    metrics = runner.test()
    assert 0 <= metrics['accuracy/top1'] <= metrics['accuracy/top5'] <= 100
    assert (tmp_path / 'epoch_2.pth').is_file()
    drawn = sorted((tmp_path / 'drawn').iterdir())
    assert [path.name for path in drawn if path.name.endswith('_0.png')]
    assert cv2.imread(str(drawn[0])).shape == (32, 32, 3)


@pytest.mark.parametrize('name', TINY)
def test_every_backbone_trains_on_event_frames(name, load_config, event_roots):
    torch.manual_seed(0)
    cfg = load_config('cls/spikformer_2-256_cifar10-dvs')
    data = Config.fromfile(ROOT / 'configs/_base_/datasets/nmnist.py')
    data.train_dataloader.dataset.update(
        data_root=str(event_roots['nmnist']), time_steps=4
    )
    dataset = DATASETS.build(data.train_dataloader.dataset)
    settings = dict(next(iter(TINY[name].values())), in_channels=2, time_steps=4)
    settings.pop('out_indices', None)
    cfg.model.backbone = dict(settings, type=f'snndense.{name}', out_indices=(-1,))
    cfg.model.head.in_channels = MODELS.build(cfg.model.backbone).out_channels[-1]
    cfg.data_preprocessor = data.data_preprocessor
    model = build_model(cfg)
    loss = optimize(model, pseudo_collate([dataset[0], dataset[1]]), cfg.optim_wrapper)
    assert torch.isfinite(loss)
    assert any(p.grad.abs().sum() > 0 for p in model.backbone.parameters())
