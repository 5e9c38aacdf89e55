"""Event frames through the command lines: trained, tested, drawn; pictures refused."""

import pickle
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from .conftest import ROOT, Trained, run_command

pytest.importorskip('mmdet')

WRITERS = runpy.run_path(str(ROOT / 'tests/reference/event_writers.py'))
CONFIG = """
_base_ = '{root}/configs/det/meta_sdt_srb_s_retinanet_gen1.py'
data_root = '{data}/'
model = dict(
    backbone=dict(
        embed_dims=(8, 8, 16, 16), num_heads=2, depths=(1, 1, 1, 1, 1)
    ),
    neck=dict(in_channels=[8, 8, 16, 16], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
    test_cfg=dict(score_thr=0.0, max_per_img=5),
)
loader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root)
)
train_dataloader = dict(batch_size=2, **loader)
val_dataloader = dict(batch_size=2, **loader)
test_dataloader = dict(batch_size=2, **loader)
sizes = dict(min_diagonal=7.5, min_side=2.5)
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json', **sizes)
test_evaluator = dict(ann_file=data_root + 'annotations/instances_test.json', **sizes)
train_cfg = dict(max_epochs=1)
"""


def write_config(folder: Path) -> Path:
    path = folder / 'tiny_gen1.py'
    path.write_text(CONFIG.format(root=ROOT, data=folder / 'gen1'))
    return path


@pytest.fixture(scope='module')
def gen1(tmp_path_factory) -> Trained:
    """Trained with validation, by the tools alone, on files as Prophesee has them."""
    folder = tmp_path_factory.mktemp('events')
    WRITERS['write_gen1'](folder / 'gen1', clips=1)
    python, tools = sys.executable, ROOT / 'tools'
    convert = tools / 'dataset_converters/prophesee_to_coco.py'
    options = ('--root', folder / 'gen1', '--downsample', 4)
    run_command(python, convert, *options, cwd=folder)
    config, work_dir = write_config(folder), folder / 'work'
    train = (python, tools / 'train.py', config, '--work-dir', work_dir)
    log = run_command(*train, cwd=folder)
    return Trained(config, work_dir, log)


def test_training_validates(gen1):
    assert 'Epoch(val) [1][1/1]    coco/bbox_mAP: 0.' in gen1.log


@pytest.mark.parametrize('tta', [(), ('--tta',)])
def test_predictions_are_written_and_drawn(gen1, run_tool, tmp_path, tta):
    checkpoint = gen1.work_dir / 'epoch_1.pth'
    options = ('--work-dir', 'work', '--out', 'out.pkl', '--show-dir', 'drawn', *tta)
    log = run_tool('test.py', gen1.config, checkpoint, *options)
    assert 'coco/bbox_mAP: 0.' in log
    results = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    assert all(len(result['pred_instances']['bboxes']) > 1 for result in results)
    drawn = sorted(tmp_path.glob('work/*/drawn/*'))
    # a picture per label, though all are of one clip
    names = [f'clip_0_td_{time}.png' for time in (1_000_000, 1_500_000)]
    assert [path.name for path in drawn] == names
    assert cv2.imread(str(drawn[0])).shape == (60, 2 * 76, 3)  # labels beside them


def test_samples_can_be_browsed(gen1, call_tool, tmp_path):
    options = ('--not-show', '--output-dir', 'pictures', '--mode', 'concat')
    assert call_tool('misc/browse_dataset.py', gen1.config, *options) is None
    assert len(list(tmp_path.glob('pictures/*.png'))) == 2


def test_image_files_are_refused(gen1, call_tool, tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((60, 76, 3), np.uint8))
    checkpoint = gen1.work_dir / 'epoch_1.pth'
    message = call_tool('predict.py', 'image.png', gen1.config, checkpoint)
    assert message.startswith('error: ') and 'reads event frames' in message
    assert not (tmp_path / 'outputs').exists()
    images = ('--images', 'image.png', '--num-images', 1)
    tool = 'analysis_tools/get_firing_rate.py'
    message = call_tool(tool, gen1.config, checkpoint, *images)
    assert message.startswith('error: ') and 'reads event frames' in message


def test_what_is_needed_is_told_before_training(call_tool, tmp_path):
    message = call_tool('train.py', write_config(tmp_path), '--work-dir', 'work')
    for split in ('train', 'val', 'test'):
        assert f'{tmp_path}/gen1/{split}/*_td.dat, each with its *_bbox.npy' in message
    assert f'prophesee_to_coco.py --root {tmp_path}/gen1' in message
    assert not (tmp_path / 'work').exists()
