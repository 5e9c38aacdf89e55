"""tools/test.py: metrics, predictions in files, and what it refuses."""

import json
import pickle

import cv2
import numpy as np
import pytest
import torch

from .conftest import TASKS

TOOL = 'test.py'


def test_detection(trained, run_tool, tmp_path):
    run = trained('det')
    options = ('--work-dir', 'work', '--out', 'sub/out.pkl', '--show-dir', 'drawn')
    log = run_tool(TOOL, run.config, run.checkpoint, *options)
    assert 'fits RetinaNet' in log
    assert 'coco/bbox_mAP:' in log
    results = pickle.loads((tmp_path / 'sub/out.pkl').read_bytes())
    assert len(results) == 8
    assert {'bboxes', 'scores', 'labels'} <= set(results[0]['pred_instances'])
    assert len(list(tmp_path.glob('work/*/drawn/*.jpg'))) == 8
    # nothing else is left beside the file
    assert [path.name for path in (tmp_path / 'sub').iterdir()] == ['out.pkl']


def test_segmentation(trained, run_tool, tmp_path):
    run = trained('seg')
    log = run_tool(TOOL, run.config, run.checkpoint, '--out', 'maps')
    assert 'mIoU:' in log
    maps = sorted((tmp_path / 'maps').iterdir())
    assert len(maps) == 8
    labels = cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (64, 64)
    assert set(np.unique(labels)) <= set(range(11))


def test_classification(trained, run_tool, tmp_path):
    run = trained('cls')
    options = ('--out', 'metrics.json', '--out-item', 'metrics', '--tta')
    log = run_tool(TOOL, run.config, run.checkpoint, *options)
    accuracy = json.loads((tmp_path / 'metrics.json').read_text())['accuracy/top1']
    assert f'accuracy/top1: {accuracy:.4f}' in log


@pytest.fixture
def refuse(call_tool, tmp_path):
    """Run test.py; its message, once it is sure that nothing has been written."""

    def run(*args: object) -> str:
        before = set(tmp_path.rglob('*'))
        message = call_tool(TOOL, *args)
        assert set(tmp_path.rglob('*')) == before
        assert message.startswith('error: ')
        return message

    return run


@pytest.mark.parametrize('task', TASKS)
def test_checkpoint_of_another_model(refuse, trained, tiny_configs, task):
    other = 'seg' if task == 'det' else 'det'
    path = trained(other).checkpoint
    message = refuse(tiny_configs[task], path)
    assert f'{path} is a checkpoint of another model' in message


def test_checkpoint_with_other_shapes(refuse, trained, tiny_configs):
    path = trained('cls').checkpoint
    widths = 'model.backbone.embed_dims=(8,8,16,32)'
    options = ('--cfg-options', widths, 'model.head.in_channels=32')
    message = refuse(tiny_configs['cls'], path, *options)
    assert 'of another shape: backbone.' in message
    assert ') instead of (' in message


@pytest.mark.parametrize(
    'contents, reason',
    [
        (b'', 'it is truncated or damaged'),
        (b'no checkpoint at all', 'is no checkpoint'),
        (None, 'it is truncated or damaged'),
    ],
)
def test_unreadable_checkpoint(refuse, trained, tmp_path, contents, reason):
    run, path = trained('det'), tmp_path / 'broken.pth'
    path.write_bytes(
        run.checkpoint.read_bytes()[:-500] if contents is None else contents
    )
    message = refuse(run.config, path)
    assert str(path) in message and reason in message


class Payload:
    """What a checkpoint must not run when it is read."""

    def __reduce__(self):
        return (print, ('the code of the checkpoint runs',))


def test_checkpoint_with_code(refuse, trained, tmp_path, capsys):
    torch.save(dict(state_dict={}, extra=Payload()), tmp_path / 'bad.pth')
    message = refuse(trained('det').config, tmp_path / 'bad.pth')
    assert 'holds more than weights' in message
    assert 'the code of the checkpoint runs' not in capsys.readouterr().out


def test_outputs_that_cannot_be_written(refuse, trained, tmp_path):
    run = trained('det')
    message = refuse(run.config, run.checkpoint, '--out', 'out.txt')
    assert '.pkl' in message and 'out.txt' in message
    run = trained('seg')
    (tmp_path / 'maps').mkdir()
    (tmp_path / 'maps/earlier.png').touch()
    message = refuse(run.config, run.checkpoint, '--out', 'maps')
    assert 'maps is already there and not empty' in message


def test_no_test_time_augmentation_by_default(refuse, trained):
    run = trained('seg')
    options = ('--tta', '--cfg-options', 'tta_pipeline=None')
    assert 'needs a tta_pipeline' in refuse(run.config, run.checkpoint, *options)
