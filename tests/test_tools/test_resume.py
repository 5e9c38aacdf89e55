"""A training that is killed goes on; the COCO configs run on COCO's layout."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from .coco_layout import make_coco
from .conftest import ROOT, tool_environment

TOOL = 'train.py'
COCO_CONFIG = ROOT / 'configs/det/meta_sdt_srb_coco.py'
# a backbone, a neck and pictures of a few seconds per iteration
SMALL = [
    'model.backbone.embed_dims=(8,8,16,16)',
    'model.backbone.depths=(1,1,1,1,1)',
    'model.backbone.num_heads=2',
    'model.neck.in_channels=[8,8,16,16]',
    'model.rpn_head.anchor_generator.scales=[2]',
    'model.train_cfg.rpn_proposal.max_per_img=20',
    'model.test_cfg.rpn.max_per_img=20',
    'model.test_cfg.rcnn.score_thr=0.0',
    'model.test_cfg.rcnn.max_per_img=10',
    'train_dataloader.dataset.pipeline.3.transforms.0.0.scales=[(128,96)]',
    'train_dataloader.dataset.pipeline.3.transforms.1.0.scales=[(128,96)]',
    'train_dataloader.dataset.pipeline.3.transforms.1.2.scales=[(128,96)]',
    'val_dataloader.dataset.pipeline.1.scale=(128,96)',
    'test_dataloader.dataset.pipeline.1.scale=(128,96)',
    'train_dataloader.batch_size=2',
]
ONE_PROCESS = [
    f'{phase}_dataloader.{option}'
    for phase in ('train', 'val', 'test')
    for option in ('num_workers=0', 'persistent_workers=False')
]


def kill_after(path: Path, *command: object) -> str:
    """Run train.py, kill it as soon as a file is there; what it said."""
    output = path.parent.parent / 'output.txt'
    with output.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / 'tools' / TOOL), *map(str, command)],
            cwd=output.parent,
            env=tool_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        while not path.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, output.read_text()[-4000:]
    return output.read_text()


def test_killed_training_goes_on(run_tool, tiny_configs, tmp_path):
    command = (tiny_configs['det'], '--work-dir', 'work')
    work_dir = tmp_path / 'work'
    endless = ('--cfg-options', 'train_cfg.max_iters=10000', 'train_cfg.val_begin=9999')
    kill_after(work_dir / 'iter_4.pth', *command, *endless)
    last = max(int(path.stem[5:]) for path in work_dir.glob('iter_*.pth'))
    torn = work_dir / f'iter_{last + 2}.pth'  # as other hooks than ours leave it
    torn.write_bytes((work_dir / f'iter_{last}.pth').read_bytes()[:-1000])
    more = ('--cfg-options', f'train_cfg.max_iters={last + 4}')
    log = run_tool(TOOL, *command, '--resume', *more)
    assert f'warning: skipped, work/{torn.name} cannot be read' in log
    assert f'resumed epoch: 0, iter: {last}\n' in log
    assert f'Iter(train) [{last + 1}/{last + 4}]' in log
    saved = torch.load(work_dir / f'iter_{last + 4}.pth', weights_only=False)
    assert saved['meta']['iter'] == last + 4
    torch.load(torn, weights_only=False)  # replaced by a complete one
    assert not list(work_dir.glob('.*'))


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    make_coco(tmp_path / 'data/coco', dict(train=4, val=2))
    return tmp_path


def test_coco_config_trains_resumes_and_tests(run_tool, coco_folder):
    options = ('--work-dir', 'work', '--cfg-options', *SMALL, *ONE_PROCESS)
    log = run_tool(TOOL, COCO_CONFIG, *options, 'train_cfg.max_epochs=1')
    assert 'Saving checkpoint at 1 epochs' in log
    assert 'coco/segm_mAP:' in log
    log = run_tool(TOOL, COCO_CONFIG, '--resume', *options, 'train_cfg.max_epochs=2')
    assert 'resumed epoch: 1, iter: 2' in log
    checkpoint = coco_folder / 'work/epoch_2.pth'
    meta = torch.load(checkpoint, weights_only=False)['meta']
    assert (meta['epoch'], meta['iter']) == (2, 4)
    assert len(meta['dataset_meta']['classes']) == 80
    log = run_tool('test.py', COCO_CONFIG, checkpoint, *options)
    assert 'coco/bbox_mAP:' in log
