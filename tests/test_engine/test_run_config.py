"""What the flags of the tools do to a config."""

import pytest
from mmengine.config import Config

from snndense.engine import run_config


def config(**entries) -> Config:
    return Config(dict(default_scope='mmdet', **entries))


@pytest.mark.parametrize(
    'flag, in_config, expected',
    [
        ('flag', 'config', 'flag'),
        (None, 'config', 'config'),
        (None, None, './work_dirs/name'),
    ],
)
def test_work_dir(flag, in_config, expected):
    cfg = config(work_dir=in_config)
    run_config.set_work_dir(cfg, flag, 'configs/name.py')
    assert cfg.work_dir == expected


def test_amp_on_a_gpu(monkeypatch):
    monkeypatch.setattr(run_config, 'get_device', lambda: 'cuda')
    cfg = config(optim_wrapper=dict(type='OptimWrapper', clip_grad=dict(max_norm=1)))
    run_config.enable_amp(cfg)
    assert cfg.optim_wrapper.to_dict() == dict(
        type='AmpOptimWrapper', loss_scale='dynamic', clip_grad=dict(max_norm=1)
    )
    cfg = config(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=512.0))
    run_config.enable_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0
    cfg = config(optim_wrapper=dict(type='ApexOptimWrapper'))
    with pytest.raises(ValueError, match='ApexOptimWrapper'):
        run_config.enable_amp(cfg)


def test_amp_that_mmcv_cannot_follow(monkeypatch):
    monkeypatch.setattr(run_config, 'get_device', lambda: 'cuda')
    amp = dict(type='AmpOptimWrapper', dtype='bfloat16')

    def detector(extractor: str) -> Config:
        roi_head = dict(bbox_roi_extractor=dict(type=extractor))
        return config(model=dict(roi_head=roi_head), optim_wrapper=dict(amp))

    run_config.check_amp(detector('snndense.SpikeSingleRoIExtractor'))
    with pytest.raises(ValueError, match='RoIAlign has no bfloat16'):
        run_config.check_amp(detector('SingleRoIExtractor'))
    monkeypatch.setattr(run_config, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='--amp of a detector'):
        run_config.enable_test_amp(config(test_cfg=dict()))
    classifier = Config(dict(default_scope='mmpretrain', test_cfg=dict()))
    run_config.enable_test_amp(classifier)
    assert classifier.test_cfg.fp16


def test_batch_norms_are_not_synchronised_on_cpus(monkeypatch):
    monkeypatch.setattr(run_config, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match="sync_bn='torch' on the CPU"):
        run_config.set_launcher(config(sync_bn='torch'), 'pytorch')


MASKS = dict(mask_head=dict(type='FCNMaskHead'))


@pytest.mark.parametrize(
    'scope, model, hook, message',
    [
        ('mmdet', dict(roi_head=MASKS), {}, 'but no masks'),
        ('mmdet', MASKS, {}, 'but no masks'),
        ('mmpretrain', {}, dict(enable=True), '--show-dir or --tta, not both'),
        (
            'mmpretrain',
            {},
            dict(enable=True, type='snndense.EventVisualizationHook'),
            '--show-dir or --tta, not both',
        ),
    ],
)
def test_what_cannot_be_merged_or_drawn(scope, model, hook, message):
    hooks = dict(visualization=dict(dict(type='VisualizationHook'), **hook))
    cfg = Config(dict(default_scope=scope, model=model, default_hooks=hooks))
    with pytest.raises(ValueError, match=message):
        run_config.enable_tta(cfg)


def test_auto_scale_lr():
    cfg = config(auto_scale_lr=dict(base_batch_size=16))
    run_config.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable


@pytest.mark.parametrize(
    'hook, expected',
    [
        (dict(type='CheckpointHook', interval=5), 'snndense.CheckpointHook'),
        (dict(type='mmengine.CheckpointHook'), 'snndense.CheckpointHook'),
        (dict(interval=5), 'snndense.CheckpointHook'),
        (dict(type='other.Hook'), 'other.Hook'),
    ],
)
def test_checkpoint_hook(hook, expected):
    cfg = config(default_hooks=dict(checkpoint=hook))
    run_config.use_checkpoint_hook(cfg)
    assert cfg.default_hooks.checkpoint == {**hook, 'type': expected}


def test_checkpoint_hook_by_default_and_switched_off():
    cfg = config()
    run_config.use_checkpoint_hook(cfg)
    assert cfg.default_hooks.checkpoint.type == 'snndense.CheckpointHook'
    cfg = config(default_hooks=dict(checkpoint=None))
    run_config.use_checkpoint_hook(cfg)
    assert cfg.default_hooks.checkpoint is None


def dataloaders(scope: str, num_workers: int) -> Config:
    cfg = config(train_dataloader=dict(num_workers=num_workers), val_dataloader=None)
    cfg.default_scope = scope
    return cfg


def test_data_loaders_of_a_classifier():
    cfg = dataloaders('mmpretrain', 2)
    run_config.set_dataloaders(cfg)
    assert cfg.train_dataloader.to_dict() == dict(
        num_workers=2,
        pin_memory=True,
        persistent_workers=True,
        collate_fn=dict(type='default_collate'),
    )
    # torch refuses persistent workers where there are none
    cfg = dataloaders('mmpretrain', 0)
    run_config.set_dataloaders(cfg)
    assert 'persistent_workers' not in cfg.train_dataloader


def test_data_loaders_of_other_tasks_change_on_request_only():
    cfg = dataloaders('mmdet', 2)
    run_config.set_dataloaders(cfg)
    assert cfg.train_dataloader.to_dict() == dict(num_workers=2)
    run_config.set_dataloaders(cfg, pin_memory=False, persistent_workers=False)
    assert cfg.train_dataloader.to_dict() == dict(
        num_workers=2, pin_memory=False, persistent_workers=False
    )


@pytest.mark.parametrize(
    'scope, hook, save_dir',
    [
        ('mmdet', dict(draw=True, test_out_dir='drawn'), None),
        ('mmseg', dict(draw=True), 'drawn'),
        ('mmpretrain', dict(enable=True, out_dir='drawn'), None),
    ],
)
def test_drawing(scope, hook, save_dir):
    cfg = config(default_hooks=dict(visualization=dict()), visualizer=dict())
    cfg.default_scope = scope
    run_config.enable_drawing(cfg, show=False, show_dir='drawn', interval=7)
    drawing = cfg.default_hooks.visualization.to_dict()
    assert drawing == dict(show=False, wait_time=2, interval=7, **hook)
    assert cfg.visualizer.get('save_dir') == save_dir


@pytest.mark.parametrize(
    'scope, preprocessor, hook, expected',
    [
        ('mmdet', 'Det', 'DetVisualizationHook', 'snndense.EventDetVisualizationHook'),
        ('mmdet', 'Det', 'mmdet.DetVisualizationHook', None),
        ('mmdet', 'Det', 'other.Hook', 'other.Hook'),
        ('mmpretrain', '', 'VisualizationHook', 'snndense.EventVisualizationHook'),
    ],
)
def test_drawing_of_events(scope, preprocessor, hook, expected):
    pytest.importorskip(scope)
    expected = expected or 'snndense.EventDetVisualizationHook'
    for kind, kept in (
        (f'snndense.Event{preprocessor}DataPreprocessor', None),
        ('', hook),
    ):
        cfg = config(default_hooks=dict(visualization=dict(type=hook)))
        cfg.default_scope = scope
        cfg.model = dict(type='Any')
        cfg.data_preprocessor = dict(type=kind) if kind else dict(mean=[0])
        run_config.enable_drawing(cfg, show=False, show_dir='drawn')
        assert cfg.default_hooks.visualization.type == (kept or expected)


def test_drawing_needs_a_hook():
    with pytest.raises(ValueError, match='visualization hook'):
        run_config.enable_drawing(config(), show=True, show_dir=None)


def test_flips_at_test_time_by_default():
    load = dict(type='LoadImageFromFile')
    pack = dict(type='PackDetInputs', meta_keys=('img_id', 'own'))
    inner = dict(type='CocoDataset', pipeline=[load, pack])
    wrapped = dict(type='RepeatDataset', dataset=inner)
    model = dict(type='RetinaNet')
    cfg = config(model=model, test_dataloader=dict(dataset=wrapped))
    run_config.enable_tta(cfg)
    assert cfg.model.type == 'DetTTAModel'
    assert cfg.model.module == model
    pipeline = cfg.test_dataloader.dataset.dataset.pipeline
    assert pipeline[0] == load
    assert pipeline[1].type == 'TestTimeAug'
    flips, (packed,) = pipeline[1].transforms
    assert [flip.prob for flip in flips] == [1, 0]
    assert {'flip', 'flip_direction', 'own'} <= set(packed.meta_keys)


def test_every_one_of_joined_data_sets_is_flipped():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackDetInputs')]
    parts = [dict(type='CocoDataset', pipeline=list(pipeline)) for _ in range(2)]
    joined = dict(type='ConcatDataset', datasets=parts)
    cfg = config(model=dict(type='RetinaNet'), test_dataloader=dict(dataset=joined))
    run_config.enable_tta(cfg)
    for part in cfg.test_dataloader.dataset.datasets:
        assert part.pipeline[-1].type == 'TestTimeAug'


def test_augmentation_of_the_config():
    pipeline = [dict(type='Anything')]
    cfg = config(
        model=dict(type='RetinaNet'),
        tta_model=dict(type='MyTTAModel'),
        tta_pipeline=pipeline,
        test_dataloader=dict(dataset=dict(pipeline=[])),
    )
    run_config.enable_tta(cfg)
    assert cfg.model.type == 'MyTTAModel'
    assert cfg.test_dataloader.dataset.pipeline == pipeline
