"""tools/predict.py: pictures and JSON of every image, and clear errors."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = 'predict.py'


@pytest.fixture
def images(coco_copy: Path) -> Path:
    """A folder of eight images and a file that is none."""
    folder = coco_copy / 'val'
    (folder / 'notes.txt').write_text('no image')
    return folder


def results(folder: Path) -> dict[str, dict]:
    """Descriptions by name; each has its picture, and nothing is unfinished."""
    found = {path.stem: path for path in folder.glob('preds/*.json')}
    drawn = {path.stem for path in folder.glob('vis/*')}
    assert set(found) == drawn
    assert not list(folder.rglob('.*'))
    return {name: json.loads(path.read_text()) for name, path in found.items()}


def test_detection(trained, run_tool, images, tmp_path):
    run = trained('det')
    broken = sorted(images.glob('*.jpg'))[2]
    broken.write_bytes(broken.read_bytes()[:300])
    options = ('--out-dir', 'out', '--score-thr', 0, '--batch-size', 3)
    log = run_tool(TOOL, images, run.config, run.checkpoint, *options, returncode=1)
    assert f'error: {broken} cannot be read' in log
    assert '7 of 8 results in out' in log
    found = results(tmp_path / 'out')
    assert len(found) == 7 and broken.stem not in found
    for name, result in found.items():
        assert result['image'] == str(images / f'{name}.jpg')
        count = len(result['bboxes'])
        assert 0 < count <= 5
        assert len(result['labels']) == len(result['scores']) == count
        assert result['classes'] == [str(label) for label in result['labels']]
        picture = cv2.imread(str(tmp_path / f'out/vis/{name}.png'))
        assert picture.shape[:2] == (result['height'], result['width']) == (64, 64)


def test_score_threshold(trained, run_tool, images, tmp_path):
    run = trained('det')
    image = sorted(images.glob('*.jpg'))[0]
    run_tool(TOOL, image, run.config, run.checkpoint, '--score-thr', 0.99)
    assert results(tmp_path / 'work_dirs/predict')[image.stem]['bboxes'] == []


def test_segmentation(trained, run_tool, images, tmp_path):
    run = trained('seg')
    pattern = str(images / '*[12].jpg')
    run_tool(TOOL, pattern, run.config, run.checkpoint, '--out-dir', 'out')
    found = results(tmp_path / 'out')
    assert len(found) == 2
    for result in found.values():
        path = tmp_path / 'out/preds' / result['seg_map']
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (64, 64)
        names = ('background', *'0123456789')
        counts = np.bincount(labels.ravel(), minlength=len(names))
        assert result['pixels'] == {
            name: count for name, count in zip(names, counts, strict=True) if count
        }


def test_classification(trained, run_tool, images, tmp_path):
    run = trained('cls')
    options = ('--out-dir', 'out', '--top-k', 3, '--batch-size', 8)
    run_tool(TOOL, images, run.config, run.checkpoint, *options)
    found = results(tmp_path / 'out')
    assert len(found) == 8
    for result in found.values():
        assert len(result['labels']) == 3
        assert result['scores'] == sorted(result['scores'], reverse=True)
        assert result['classes'] == [str(label) for label in result['labels']]


@pytest.fixture
def refuse(call_tool, trained, tmp_path):
    """Run predict.py; its message, once it is sure that nothing has been written."""

    def run(inputs: object, *options: object, task: str = 'det') -> str:
        before = set(tmp_path.rglob('*'))
        run = trained(task)
        message = call_tool(TOOL, inputs, run.config, run.checkpoint, *options)
        assert set(tmp_path.rglob('*')) == before
        assert message.startswith('error: ')
        return message

    return run


@pytest.mark.parametrize('inputs', ['nowhere.jpg', 'nowhere/*.jpg', 'empty'])
def test_no_image(refuse, tmp_path, inputs):
    (tmp_path / 'empty').mkdir()
    assert f'there is no image {inputs}' in refuse(inputs)


def test_results_are_not_mixed(refuse, images, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/earlier.json').touch()
    message = refuse(images, '--out-dir', 'out')
    assert 'out is already there and not empty' in message


def test_images_of_the_same_name(refuse, images, tmp_path):
    shutil.copytree(images, tmp_path / 'coco/more')
    message = refuse(tmp_path / 'coco/*/*.jpg')
    assert 'several images are called' in message


@pytest.mark.parametrize(
    'options, expected',
    [
        (('--device', 'cuda:7'), '--device cuda:7 cannot be used'),
        (('--batch-size', 0), '--batch-size'),
    ],
)
def test_options_that_cannot_be_followed(refuse, images, options, expected):
    assert expected in refuse(images, *options)


def test_missing_files(call_tool, trained, images):
    run = trained('det')
    assert 'no config' in call_tool(TOOL, images, 'gone.py', run.checkpoint)
    message = call_tool(TOOL, images, run.config, 'gone.pth')
    assert 'there is no checkpoint gone.pth' in message
    other = trained('seg').checkpoint
    assert 'another model' in call_tool(TOOL, images, run.config, other)
