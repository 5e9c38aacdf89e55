import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from snndense.datasets import DigitScenesSettings, make_digit_scenes
from snndense.datasets.digit_rendering import MIN_VISIBLE, SceneComposer
from snndense.datasets.digit_scenes import load_samples, run_lengths
from snndense.utils.files import unfinished_path

TINY = DigitScenesSettings(
    num_train=5, num_val=3, singles_per_scene=1, image_size=48, max_digits=3
)


def read_tree(root: Path) -> dict[str, bytes]:
    files = [p for p in root.rglob('*') if p.is_file()]
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def load_coco(root: Path, split: str) -> COCO:
    return COCO(root / f'coco/annotations/instances_{split}.json')


def test_same_seed_same_bytes(tmp_path):
    for name in ('a', 'b'):
        assert make_digit_scenes(tmp_path / name, TINY, progress=False)
    assert read_tree(tmp_path / 'a') == read_tree(tmp_path / 'b')


def test_other_seed_other_pictures(tmp_path):
    make_digit_scenes(tmp_path / 'a', TINY, progress=False)
    other = DigitScenesSettings(5, 3, 48, 3, seed=1)
    make_digit_scenes(tmp_path / 'b', other, progress=False)
    a, b = read_tree(tmp_path / 'a'), read_tree(tmp_path / 'b')
    pictures = [n for n in a if n.startswith('coco') and n.endswith('.jpg')]
    assert len(pictures) == 8
    assert all(a[name] != b[name] for name in pictures)


def test_more_pictures_and_fewer_tasks_keep_the_first_pictures(tmp_path):
    make_digit_scenes(tmp_path / 'a', TINY, progress=False)
    more = DigitScenesSettings(7, 3, 48, 3, tasks=('seg',))
    make_digit_scenes(tmp_path / 'b', more, progress=False)
    a, b = read_tree(tmp_path / 'a'), read_tree(tmp_path / 'b')
    shared = [n for n in a if n.startswith('ade')]
    assert len(shared) == 2 * 8 and all(a[n] == b[n] for n in shared)
    assert {Path(name).parts[0] for name in b} == {'ade', 'digit_scenes.json'}


def test_train_and_val_share_no_handwritten_sample(digit_scenes_root):
    used = {}
    for split in ('train', 'val'):
        annotations = load_coco(digit_scenes_root, split).dataset['annotations']
        used[split] = {a['digit_sample'] for a in annotations}
        allowed, _, targets = load_samples(split)
        assert used[split] <= set(allowed)
        for a in annotations:
            assert targets[a['digit_sample']] == a['category_id'] - 1
    assert used['train'] and used['val'] and not used['train'] & used['val']
    train, val = (load_samples(split)[0] for split in ('train', 'val'))
    assert len(train) + len(val) == 1797 and not set(train) & set(val)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_coco_masks_boxes_and_pictures_agree(digit_scenes_root, split):
    coco = load_coco(digit_scenes_root, split)
    assert [c['name'] for c in coco.loadCats(range(1, 11))] == list('0123456789')
    for image in coco.dataset['images']:
        path = digit_scenes_root / 'coco' / split / image['file_name']
        picture = cv2.imread(str(path))
        assert picture.shape == (image['height'], image['width'], 3)
        covered = np.zeros(picture.shape[:2], int)
        annotations = coco.loadAnns(coco.getAnnIds(image['id']))
        assert annotations
        for a in annotations:
            mask = coco.annToMask(a)
            covered += mask
            assert mask.sum() == a['area'] > 0 and a['iscrowd'] == 0
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y = columns[0], rows[0]
            box = [x, y, columns[-1] - x + 1, rows[-1] - y + 1]
            assert a['bbox'] == box
            inside = picture[mask > 0].astype(float).mean(0)
            around = picture[y : rows[-1] + 1, x : columns[-1] + 1]
            ring = around[mask[y : rows[-1] + 1, x : columns[-1] + 1] == 0]
            assert np.abs(inside - ring.mean(0)).max() > 10  # the digit stands out
        assert covered.max() == 1  # of two digits, the front one owns the pixel


def test_label_pngs_are_the_masks(digit_scenes_root):
    coco = load_coco(digit_scenes_root, 'val')
    labels = digit_scenes_root / 'ade/annotations/validation'
    assert len(list(labels.iterdir())) == 8
    for image in coco.dataset['images']:
        expected = np.zeros((image['height'], image['width']), np.uint8)
        for a in coco.loadAnns(coco.getAnnIds(image['id'])):
            expected[coco.annToMask(a) > 0] = a['category_id']
        found = cv2.imread(
            str(labels / f'scene_{image["id"]:08d}.png'), cv2.IMREAD_UNCHANGED
        )
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


def test_class_folders_are_balanced(digit_scenes_root):
    for split, twice in (('train', '012345'), ('val', '')):
        counts = {
            folder.name: len(list(folder.glob('*.jpg')))
            for folder in (digit_scenes_root / 'cls' / split).iterdir()
        }
        # of eight validation pictures there are ten, for no class may be missing
        assert counts == {digit: 1 + (digit in twice) for digit in '0123456789'}


def test_there_are_several_single_digits_per_scene(tmp_path):
    settings = DigitScenesSettings(
        num_train=5, num_val=3, singles_per_scene=4, image_size=32, tasks=('cls',)
    )
    make_digit_scenes(tmp_path / 'a', settings, progress=False)
    for split, count in (('train', 20), ('val', 12)):
        assert len(list((tmp_path / 'a/cls' / split).glob('*/*.jpg'))) == count


def test_occlusion_is_bounded_and_digits_lie_inside():
    _, images, targets = load_samples('train')
    composer = SceneComposer(images, targets, 64, (0.5, 0.6), max_angle=0)
    crowded = 0
    for seed in range(20):
        samples = np.full(12, 1)  # twelve times the same '1'
        scene = composer.compose(np.random.default_rng(seed), samples)
        alone = composer.compose(np.random.default_rng(seed), samples[:1])
        first, last = scene.instances[0], scene.instances[-1]
        full = alone.instances[0].mask
        assert first.mask.sum() >= MIN_VISIBLE * full.sum()
        assert not (first.mask & last.mask).any() or len(scene.instances) == 1
        crowded += first.mask.sum() < full.sum()
        assert 1 <= len(scene.instances) < 12  # no room for all
    assert crowded  # some are really covered


def test_both_contrasts_occur(digit_scenes_root):
    coco = load_coco(digit_scenes_root, 'train')
    lighter = []
    for a in coco.dataset['annotations']:
        name = coco.loadImgs(a['image_id'])[0]['file_name']
        picture = cv2.imread(str(digit_scenes_root / 'coco/train' / name), 0)
        mask = coco.annToMask(a) > 0
        lighter.append(picture[mask].mean() > picture.mean())
    assert 0.1 < np.mean(lighter) < 0.9


@pytest.mark.parametrize(
    ('mask', 'counts'),
    [
        ([[0, 1], [0, 1]], [2, 2]),
        ([[1, 0], [1, 1]], [0, 2, 1, 1]),
        ([[0, 0], [0, 0]], [4]),
    ],
)
def test_run_lengths(mask, counts):
    assert run_lengths(np.array(mask, bool)) == counts


def test_existing_set_is_reused(tmp_path):
    out = tmp_path / 'set'
    assert make_digit_scenes(out, TINY, progress=False)
    before = read_tree(out)
    (out / 'coco/train/000000000001.jpg').write_bytes(b'touched')
    assert not make_digit_scenes(out, TINY, progress=False)
    fewer = DigitScenesSettings(5, 3, 48, 3, tasks=('seg',))
    assert not make_digit_scenes(out, fewer, progress=False)
    assert (out / 'coco/train/000000000001.jpg').read_bytes() == b'touched'
    assert before.keys() == read_tree(out).keys()


def test_set_with_other_settings_is_an_error(tmp_path):
    out = tmp_path / 'set'
    small = DigitScenesSettings(5, 3, 48, 3, tasks=('seg',))
    make_digit_scenes(out, small, progress=False)
    before = read_tree(out)
    for other, flag in (
        (DigitScenesSettings(6, 3, 48, 3, tasks=('seg',)), r'--num-train 5 \(wanted 6'),
        (DigitScenesSettings(5, 3, 48, 3, tasks=('det',)), r"--tasks \['seg'\]"),
    ):
        with pytest.raises(FileExistsError, match=flag) as error:
            make_digit_scenes(out, other, progress=False)
        assert '--overwrite' in str(error.value)
    assert read_tree(out) == before
    assert make_digit_scenes(out, TINY, overwrite=True, progress=False)
    assert not make_digit_scenes(out, TINY, progress=False)
    assert {p.name for p in out.iterdir()} == {
        'coco',
        'ade',
        'cls',
        'digit_scenes.json',
    }


def test_foreign_folder_is_never_replaced(tmp_path):
    out = tmp_path / 'photos'
    out.mkdir()
    (out / 'holiday.jpg').write_bytes(b'precious')
    with pytest.raises(FileExistsError, match='not a set of digit scenes'):
        make_digit_scenes(out, TINY, overwrite=True, progress=False)
    assert read_tree(out) == {'holiday.jpg': b'precious'}


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    out = tmp_path / 'set'

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('snndense.datasets.digit_scenes.run_lengths', interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_digit_scenes(out, TINY, progress=False)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]
    assert make_digit_scenes(out, TINY, progress=False)


def test_killed_run_leaves_no_set_and_is_cleaned_up_by_the_next(tmp_path):
    out = tmp_path / 'set'
    tool = Path(__file__).parents[2] / 'tools/dataset_converters/make_digit_scenes.py'
    command = [sys.executable, tool, '--out', out, '--num-train', '100000']
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        env={**os.environ, 'PYTHONPATH': str(tool.parents[2])},
    )
    leftover = unfinished_path(out)
    while not list(leftover.glob('coco/train/*')) and process.poll() is None:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert leftover.exists() and not out.exists()
    assert make_digit_scenes(out, TINY, progress=False)
    assert not leftover.exists() and len(list(out.glob('coco/train/*'))) == 5


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(num_train=0), 'num_train >= 1'),
        (dict(image_size=8), 'image_size >= 32'),
        (dict(max_digits=0), 'max_digits >= 1'),
        (dict(seed=-1), 'seed >= 0'),
        (dict(tasks=('detection',)), 'tasks among'),
        (dict(tasks=()), 'tasks among'),
    ],
)
def test_settings_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DigitScenesSettings(**kwargs)


def test_missing_sklearn_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        make_digit_scenes(tmp_path / 'set', TINY, progress=False)
    assert not (tmp_path / 'set').exists()


def test_command_line(tmp_path):
    root = Path(__file__).parents[2]
    tool = root / 'tools/dataset_converters/make_digit_scenes.py'
    out = tmp_path / 'made'

    def run(*flags: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(tool), '--out', str(out), *flags]
        env = {**os.environ, 'PYTHONPATH': str(root)}
        return subprocess.run(command, env=env, capture_output=True, text=True)

    flags = '--num-train 4 --num-val 2 --image-size 40 --max-digits 2 --tasks det'
    result = run(*flags.split())
    assert result.returncode == 0 and 'complete' in result.stdout, result.stderr
    settings = json.loads((out / 'digit_scenes.json').read_text())
    assert (settings['num_train'], settings['tasks']) == (4, ['det'])
    assert 'already there' in run(*flags.split()).stdout
    result = run('--seed', '3')
    assert result.returncode == 1 and result.stderr.startswith('error: ')
    assert 'Traceback' not in result.stderr
    assert '--image-size' in run('--help').stdout
