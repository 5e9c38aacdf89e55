"""The ADE20K configs run on ADE20K's layout: train, resume, test, predict."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from .ade_layout import NUM_CLASSES, make_ade
from .conftest import ROOT, run_command

CONFIG = ROOT / 'configs/seg/meta_sdt_srb_ade20k.py'
# a backbone, a neck and crops of a second per iteration; all else as it is
SMALL = [
    'model.backbone.embed_dims=(8,8,16,16)',
    'model.backbone.depths=(1,1,1,1,1)',
    'model.backbone.num_heads=2',
    'model.neck.in_channels=[4,8,8,16]',
    'model.data_preprocessor.size=(64,64)',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.pipeline.2.scale=(256,64)',
    'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
    'val_dataloader.dataset.pipeline.1.scale=(256,64)',
    'test_dataloader.dataset.pipeline.1.scale=(256,64)',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    *(
        f'{phase}_dataloader.{option}'
        for phase in ('train', 'val', 'test')
        for option in ('num_workers=0', 'persistent_workers=False')
    ),
]
SLIDE = [
    'model.test_cfg.mode=slide',
    'model.test_cfg.crop_size=(64,64)',
    'model.test_cfg.stride=(42,42)',
]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Run a tool in a folder that holds the data."""
    pytest.importorskip('mmseg')
    folder = tmp_path_factory.mktemp('ade20k')
    make_ade(folder / 'data/ade/ADEChallengeData2016', dict(training=4, validation=2))

    def run_tool(tool: str, *arguments: object) -> tuple[Path, str]:
        """The folder, and what the tool said."""
        command = (sys.executable, ROOT / 'tools' / tool, *arguments)
        return folder, run_command(*command, cwd=folder)

    return run_tool


@pytest.fixture(scope='module')
def trained(run) -> tuple[str, str]:
    """What a training of two iterations said, and two more that went on from it."""
    first, more = (
        run('train.py', CONFIG, '--work-dir', 'work', *resume, *options)[1]
        for resume, options in (
            ((), ('--cfg-options', *SMALL, 'train_cfg.max_iters=2')),
            (('--resume',), ('--cfg-options', *SMALL, 'train_cfg.max_iters=4')),
        )
    )
    return first, more


def test_trains_and_resumes(run, trained):
    first, more = trained
    assert 'Saving checkpoint at 2 iterations' in first and 'mIoU:' in first
    assert 'resumed epoch: 0, iter: 2' in more
    assert 'Iter(train) [3/4]' in more and 'Iter(train) [2/4]' not in more


@pytest.mark.parametrize('options', [(), SLIDE], ids=['whole', 'slide'])
def test_evaluates(run, trained, options):
    test = ('test.py', CONFIG, 'work/iter_4.pth', '--work-dir', 'tested')
    out = 'slide' if options else 'whole'
    options = ('--out', out, '--cfg-options', *SMALL, *options)
    folder, log = run(*test, *options)
    table = [line.split('|') for line in log.splitlines() if line.count('|') == 4]
    assert len(table) == 1 + NUM_CLASSES
    assert 'mIoU:' in log
    checkpoint = torch.load(folder / 'work/iter_4.pth', weights_only=False)
    assert len(checkpoint['meta']['dataset_meta']['classes']) == NUM_CLASSES
    for path in (folder / out).iterdir():
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        source = f'data/ade/ADEChallengeData2016/annotations/validation/{path.name}'
        truth = cv2.imread(str(folder / source), cv2.IMREAD_UNCHANGED)
        assert labels.shape == truth.shape
        # numbered as in the files of ADE20K: 0 is no class
        assert labels.min() >= 1 and labels.max() <= NUM_CLASSES


def test_evaluates_with_augmentation(run, trained):
    options = ('--work-dir', 'tested', '--tta', '--cfg-options', *SMALL)
    _, log = run('test.py', CONFIG, 'work/iter_4.pth', *options)
    assert 'mIoU:' in log


def test_predicts_with_overlays(run, trained):
    images = 'data/ade/ADEChallengeData2016/images/validation'
    options = ('--out-dir', 'predicted', '--cfg-options', *SMALL)
    folder, log = run('predict.py', images, CONFIG, 'work/iter_4.pth', *options)
    assert '2 of 2 results in predicted' in log
    for image in (folder / images).iterdir():
        picture = cv2.imread(str(image))
        overlay = cv2.imread(str(folder / f'predicted/vis/{image.stem}.png'))
        assert overlay.shape == picture.shape
        assert np.abs(overlay.astype(int) - picture).mean() > 1
        result = (folder / f'predicted/preds/{image.stem}.json').read_text()
        assert sum(json.loads(result)['pixels'].values()) == picture.size // 3
