"""Tiny configs of every task on the digit scenes, and how to run a tool."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[2]
BACKBONE = """dict(
    type='snndense.MetaSDT',
    arch='t',
    embed_dims=(8, 8, 16, 16),
    num_heads=2,
    depths=(1, 1, 1, 1, 1),
    mixer='srb',
    {taps},
)"""
RUNTIME = """
_base_ = [
    '{root}/configs/_base_/datasets/{dataset}.py',
    '{scope}::_base_/default_runtime.py',
]
randomness = dict(seed=0)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
    visualization=dict(type='{visualization}'),
)
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
"""
DETECTOR = """
data_root = '{data}/coco/'
train_dataloader.update(dataset=dict(data_root=data_root))
val_dataloader.update(dataset=dict(data_root=data_root))
val_evaluator = dict(
    ann_file=data_root + 'annotations/instances_val.json', metric=['bbox']
)
test_evaluator = val_evaluator
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone={backbone},
    neck=dict(
        type='FPN', in_channels=[8, 16, 16], out_channels=16, num_outs=3
    ),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=10,
        in_channels=16,
        stacked_convs=1,
        feat_channels=16,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[8, 16, 16]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
    ),
    test_cfg=dict(
        nms_pre=100,
        score_thr=0.0,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=5,
    ),
)
"""
SEGMENTOR = """
data_root = '{data}/ade/'
train_dataloader.update(dataset=dict(data_root=data_root))
val_dataloader.update(dataset=dict(data_root=data_root))
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', size=(128, 128)),
    backbone={backbone},
    decode_head=dict(
        type='FCNHead',
        in_channels=16,
        in_index=0,
        channels=16,
        num_convs=1,
        num_classes=11,
        norm_cfg=dict(type='BN'),
    ),
    test_cfg=dict(mode='whole'),
)
"""
CLASSIFIER = """
data_root = '{data}/cls/'
train_dataloader.update(dataset=dict(data_root=data_root + 'train'))
val_dataloader.update(dataset=dict(data_root=data_root + 'val'))
model = dict(
    type='ImageClassifier',
    backbone={backbone},
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=16,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
"""
TASKS = dict(
    det=('mmdet', 'digits_instance', 'DetVisualizationHook', DETECTOR, '(2, 3, 4)'),
    seg=('mmseg', 'digits_semantic', 'SegVisualizationHook', SEGMENTOR, '(3,)'),
    cls=(
        'mmpretrain',
        'digits_classification',
        'VisualizationHook',
        CLASSIFIER,
        '(4,)',
    ),
)


@pytest.fixture(scope='session')
def tiny_configs(tmp_path_factory, digit_scenes_root: Path) -> dict[str, Path]:
    """Configs that train 4 iterations and save at 2 and 4: det, seg and cls."""
    folder = tmp_path_factory.mktemp('configs')
    paths = {}
    for task, (scope, dataset, hook, model, taps) in TASKS.items():
        runtime = RUNTIME.format(
            root=ROOT, dataset=dataset, scope=scope, visualization=hook
        )
        backbone = BACKBONE.format(taps=f'out_indices={taps}')
        body = model.format(data=digit_scenes_root, backbone=backbone)
        paths[task] = folder / f'tiny_{task}.py'
        paths[task].write_text(runtime + body)
    return paths


def tool_environment(**env: str) -> dict[str, str]:
    """Variables of a tool's process: this checkout, one thread, no GPU."""
    return dict(
        os.environ,
        PYTHONPATH=str(ROOT),
        PYTHON=sys.executable,
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='-1',
        **env,
    )


def run_command(*command: object, cwd: Path, returncode: int = 0, **env: str) -> str:
    """Run a command to its end; its output."""
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=tool_environment(**env),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert result.returncode == returncode, result.stdout[-4000:]
    return result.stdout


@pytest.fixture
def run_tool(tmp_path: Path) -> Callable[..., str]:
    """Run ``tools/NAME ARGUMENTS...`` in a process of its own, in ``tmp_path``."""

    def run(tool: str, *args: object, **kwargs) -> str:
        command = (sys.executable, ROOT / 'tools' / tool, *args)
        return run_command(*command, cwd=tmp_path, **kwargs)

    return run


@dataclass(frozen=True)
class Trained:
    """A finished training of a tiny config."""

    config: Path
    work_dir: Path
    log: str

    @property
    def checkpoint(self) -> Path:
        return self.work_dir / 'iter_4.pth'


@pytest.fixture(scope='session')
def trained(
    tmp_path_factory, tiny_configs: dict[str, Path]
) -> Callable[[str], Trained]:
    """Train the tiny config of a task, once; do not write into its folder."""

    @cache
    def train(task: str) -> Trained:
        pytest.importorskip(TASKS[task][0])
        work_dir = tmp_path_factory.mktemp('work_dirs') / task
        command = (sys.executable, ROOT / 'tools/train.py', tiny_configs[task])
        log = run_command(*command, '--work-dir', work_dir, cwd=work_dir.parent)
        return Trained(tiny_configs[task], work_dir, log)

    return train


@pytest.fixture
def call_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable]:
    """Run a tool in this process, in ``tmp_path``; for what does not train or test."""

    MMLogger.get_current_instance()  # keeps the output of when it is made: not capsys'

    def call(tool: str, *args: object) -> object:
        """What the tool exits with: a message, a status, or None."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        try:
            runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        except SystemExit as exit_:
            return exit_.code
        return None

    yield call
    init_default_scope('mmengine')


@pytest.fixture
def coco_copy(digit_scenes_root: Path, tmp_path: Path) -> Path:
    """A copy of the COCO-style digit scenes that a test may damage."""
    return Path(shutil.copytree(digit_scenes_root / 'coco', tmp_path / 'coco'))


def use_data(root: Path) -> list[str]:
    """Options that let a config of the digit scenes read a copy of them."""
    options = [
        f'{phase}_dataloader.dataset.data_root={root}/' for phase in ('train', 'val')
    ]
    annotations = f'{root}/annotations/instances_val.json'
    return ['--cfg-options', *options, f'val_evaluator.ann_file={annotations}']
