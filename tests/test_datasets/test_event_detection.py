"""Gen1-style data: clips and boxes, COCO annotations, samples, training, metric."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, METRICS, MODELS, init_default_scope

from snndense.datasets.event_prophesee import PropheseeClip, prophesee_to_coco
from snndense.engine.data_checks import check_contents, check_paths

ROOT = Path(__file__).parents[2]
WRITERS = runpy.run_path(str(ROOT / 'tests/reference/event_writers.py'))
# tiny settings of every registered backbone
TINY = runpy.run_path(str(ROOT / 'tests/test_models/tiny_backbones.py'))['TINY']
CONFIG = ROOT / 'configs/_base_/datasets/gen1.py'


@pytest.fixture(autouse=True)
def mmdet_scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    yield
    init_default_scope('mmengine')


@pytest.fixture(scope='module')
def gen1(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('gen1')
    WRITERS['write_gen1'](root)
    for split in ('train', 'val', 'test'):
        prophesee_to_coco(root, split, progress=False)
    return root


def annotations(root: Path, split: str) -> dict:
    return json.loads((root / f'annotations/instances_{split}.json').read_text())


def build(root: Path, split: str, **options):
    cfg = Config.fromfile(CONFIG)[f'{split}_dataloader'].dataset
    cfg.data_root = str(root)
    cfg.update(options)
    return DATASETS.build(cfg)


def test_boxes_that_count(gen1):
    for split in ('train', 'val'):
        coco = annotations(gen1, split)
        assert [(i['file_name'], i['time_us']) for i in coco['images']] == [
            (f'{split}/clip_{index}_td.dat', time)
            for index in range(2)
            for time in (1_000_000, 1_500_000)
        ]
        boxes = [
            (a['image_id'], a['category_id'], *a['bbox']) for a in coco['annotations']
        ]
        wide = [] if split == 'train' else [(1, 1, 10, 10, 290, 60)]
        assert boxes[: 3 + len(wide)] == [
            (1, 1, 40, 60, 80, 50),
            (1, 2, 100, 20, 20, 40),
            *wide,
            (2, 1, 0, 200, 40, 39),  # cropped
        ]
        assert [c['name'] for c in coco['categories']] == ['car', 'pedestrian']


def test_downsampling_halves_boxes_and_frames(gen1, tmp_path):
    for part in ('train', 'val'):
        (tmp_path / part).symlink_to(gen1 / part)
    prophesee_to_coco(tmp_path, 'train', downsample=2, progress=False)
    coco = annotations(tmp_path, 'train')
    assert coco['annotations'][0]['bbox'] == [20, 30, 40, 25]
    item = build(tmp_path, 'train')[0]
    assert item['inputs'].shape == (8, 120, 152)
    full = build(gen1, 'train')[0]['inputs']
    assert item['inputs'].sum() == full.sum() > 0


def test_thinned_labels(gen1, tmp_path):
    folder = tmp_path / 'train'
    WRITERS['write_dat'](
        folder / 'a_td.dat', WRITERS['blob'](0, 100, 720, 1280, 10**6), 720, 1280
    )
    times = range(500_000, 900_000, 33_333)
    rows = [(time, 100, 100, 100, 100, index % 3) for index, time in enumerate(times)]
    rows.append((510_000, 100, 100, 100, 100, 5))  # a class that is left out
    WRITERS['write_boxes'](folder / 'a_bbox.npy', rows, WRITERS['NEW_BOX'])
    prophesee_to_coco(tmp_path, 'train', '1mpx', progress=False)
    coco = annotations(tmp_path, 'train')
    kept = [image['time_us'] for image in coco['images']]
    assert kept == [*times][::3]
    assert {a['category_id'] for a in coco['annotations']} <= {1, 2, 3}


def test_labels_between_the_intervals_of_rvt_are_left_out(tmp_path):
    events = WRITERS['blob'](0, 100, 240, 304, 2 * 10**6)
    WRITERS['write_dat'](tmp_path / 'train/a_td.dat', events)
    # multiples of 250 ms from the label kept last, give or take 2 ms; the first one
    # is at 100 ms or later, and none before 500 ms is shown to the detector
    first, kept = [150_000, 399_000], [650_000, 901_999, 1_651_999]
    between = [99_000, 652_000, 780_000, 1_404_500]
    rows = [(time, 100, 100, 100, 100, 0) for time in first + kept + between]
    WRITERS['write_boxes'](tmp_path / 'train/a_bbox.npy', rows, WRITERS['OLD_BOX'])
    prophesee_to_coco(tmp_path, 'train', progress=False)
    images = annotations(tmp_path, 'train')['images']
    assert [image['time_us'] for image in images] == kept


def test_sample_holds_the_events_before_the_label(gen1):
    dataset = build(gen1, 'val')
    assert len(dataset) == 4 and dataset.metainfo['classes'] == ('car', 'pedestrian')
    item = dataset[0]
    assert item['inputs'].shape == (8, 240, 304) and item['inputs'].dtype == torch.uint8
    clip = PropheseeClip(gen1 / 'val/clip_0_td.dat')
    events = clip.window(800_000, 1_000_000)
    step = (events['t'] - 800_000) // 50_000
    expected = np.zeros((4, 2, 240, 304))
    np.add.at(expected, (step, events['p'], events['y'], events['x']), 1)
    frames = item['inputs'].numpy().reshape(4, 2, 240, 304)
    np.testing.assert_array_equal(frames, expected.clip(max=10))
    sample = item['data_samples']
    assert sample.img_shape == sample.ori_shape == (240, 304)
    assert sample.time_us == 1_000_000
    assert sample.gt_instances.labels.tolist() == [0, 1, 0]


def test_flip_moves_boxes_and_events_together(gen1):
    dataset = build(gen1, 'train')
    transforms = dataset.pipeline.transforms
    next(t for t in transforms if type(t).__name__ == 'RandomFlip').prob = 1.0
    item = dataset[0]
    events = PropheseeClip(gen1 / 'train/clip_0_td.dat').window(800_000, 1_000_000)
    columns = item['inputs'].sum((0, 1)).numpy()
    expected = np.bincount(303 - events['x'], minlength=304)
    np.testing.assert_array_equal(columns, expected)
    box = item['data_samples'].gt_instances.bboxes.tensor[0].tolist()
    assert box == [304 - 120, 60, 304 - 40, 110]


@pytest.mark.parametrize('name', TINY)
def test_detector_trains_and_predicts_on_clips(name, small_gen1):
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / 'configs/det/meta_sdt_srb_s_retinanet_gen1.py').model
    settings = dict(next(iter(TINY[name].values())), in_channels=2, time_steps=4)
    cfg.backbone = dict(settings, type=f'snndense.{name}', out_indices=(0, 1, 2, 3))
    channels = list(MODELS.build(cfg.backbone).out_channels)
    cfg.neck.update(in_channels=channels, out_channels=16, start_level=0, num_outs=5)
    cfg.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
    cfg.test_cfg.update(score_thr=0.0, max_per_img=5)
    model = MODELS.build(cfg)
    dataset = build(small_gen1, 'train')
    batch = pseudo_collate([dataset[index] for index in range(2)])
    data = model.train().data_preprocessor(batch, training=True)
    assert data['inputs'].shape == (2, 4, 2, 64, 96)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    gradients = [p.grad for p in model.backbone.parameters() if p.requires_grad]
    assert torch.isfinite(loss) and all(g is not None for g in gradients)
    assert gradients[0].abs().sum() > 0
    evaluate(model.eval(), build(small_gen1, 'val'))


def evaluate(model, dataset) -> None:
    cfg = Config.fromfile(CONFIG).val_evaluator
    cfg.update(ann_file=dataset.ann_file, min_diagonal=7.5, min_side=2.5)
    metric = METRICS.build(cfg)
    metric.dataset_meta = dataset.metainfo
    with torch.no_grad():
        samples = model.test_step(pseudo_collate([dataset[0], dataset[1]]))
    for sample in samples:
        boxes = sample.pred_instances.bboxes
        assert len(boxes) == 5 and sample.scale_factor == (1, 1)
        # in the pixels of the annotations, which are those of the frames
        assert (boxes <= boxes.new_tensor([76, 60, 76, 60])).all()
    metric.process({}, [sample.to_dict() for sample in samples])
    assert 0 <= metric.evaluate(2)['coco/bbox_mAP'] <= 1


@pytest.fixture(scope='module')
def small_gen1(gen1, tmp_path_factory) -> Path:
    """With annotations for a quarter of the resolution."""
    root = tmp_path_factory.mktemp('small_gen1')
    for split in ('train', 'val'):
        (root / split).symlink_to(gen1 / split)
        prophesee_to_coco(root, split, downsample=4, progress=False)
    return root


def predictions(boxes: list, image_id: int) -> list[dict]:
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    found = dict(
        bboxes=boxes,
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )
    return [dict(img_id=image_id, ori_shape=(240, 304), pred_instances=found)]


def test_small_detections_are_no_errors(gen1):
    # before the right box, two that are too small to be among the labels
    small = [[10, 10, 22, 22], [10, 10, 15, 70]]
    right = {1: [[40, 60, 120, 110]], 2: [[0, 200, 40, 240]]}
    right[3], right[4] = right[1], right[2]
    results = []
    for extra in ([], small):
        metric = METRICS.build(
            dict(
                type='snndense.PropheseeMetric',
                ann_file=str(gen1 / 'annotations/instances_train.json'),
                metric='bbox',
                classwise=False,
            )
        )
        metric.dataset_meta = dict(classes=('car', 'pedestrian'))
        for image, boxes in right.items():
            metric.process({}, predictions([*extra, *boxes], image))
        results.append(metric.evaluate(4)['coco/bbox_mAP'])
    assert results[0] == results[1] == pytest.approx(0.5, abs=0.01)  # no pedestrian


def test_checks_before_training_name_damaged_clips(gen1, tmp_path):
    check_contents(build(gen1, 'train', lazy_init=True))
    WRITERS['write_gen1'](tmp_path)
    prophesee_to_coco(tmp_path, 'train', progress=False)
    clip = tmp_path / 'train/clip_1_td.dat'
    clip.write_bytes(clip.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f'{clip}: is truncated'):
        check_contents(build(tmp_path, 'train', lazy_init=True))
    WRITERS['write_dat'](clip, dict(WRITERS['blob'](0, 9, 240, 304), t=damaged_times()))
    with pytest.raises(ValueError, match=f'{clip}: is damaged: its times go back'):
        check_contents(build(tmp_path, 'train', lazy_init=True))
    clip.unlink()
    with pytest.raises(FileNotFoundError, match=f'{clip}: it is missing'):
        check_contents(build(tmp_path, 'train', lazy_init=True))


def damaged_times() -> np.ndarray:
    return np.array([0, 1, 2, 900_000, 4, 5, 6, 7, 1_400_000])


def test_missing_recordings_are_told(tmp_path):
    expected = (
        f'{tmp_path}/train/*_td.dat, each with its *_bbox.npy',
        f'{tmp_path}/val/*_td.dat',
        f'{tmp_path}/test/*_td.dat',
        f'prophesee_to_coco.py --root {tmp_path}',
    )

    def check() -> None:
        with pytest.raises(FileNotFoundError) as raised:
            check_paths(build(tmp_path, 'train', lazy_init=True), 'train')
        for part in (str(tmp_path / 'annotations/instances_train.json'), *expected):
            assert part in str(raised.value)

    check()
    WRITERS['write_gen1'](tmp_path, clips=1)  # and no annotations
    check()
    prophesee_to_coco(tmp_path, 'train', progress=False)
    check_paths(build(tmp_path, 'train', lazy_init=True), 'train')


def test_annotations_without_times_are_refused(gen1, tmp_path):
    coco = annotations(gen1, 'train')
    del coco['images'][0]['time_us']
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match='no time_us'):
        build(gen1, 'train', ann_file=str(path))


@pytest.mark.parametrize(
    ('damage', 'error', 'message'),
    [
        (lambda f: (f / 'clip_0_bbox.npy').unlink(), FileNotFoundError, 'clip_0_td'),
        (
            lambda f: [p.unlink() for p in f.glob('*.dat')],
            FileNotFoundError,
            'no .*dat',
        ),
        (lambda f: cut(f / 'clip_0_td.dat', 0.5), ValueError, 'clip_0_td.dat is trunc'),
        (lambda f: cut(f / 'clip_0_bbox.npy', 0.9), ValueError, 'bbox.npy is damaged'),
        (
            lambda f: WRITERS['write_dat'](
                f / 'clip_0_td.dat',
                dict(WRITERS['blob'](0, 9, 240, 304), t=damaged_times()),
            ),
            ValueError,
            'clip_0_td.dat is damaged: its times go back',
        ),
    ],
)
def test_missing_and_damaged_files_are_named(damage, error, message, tmp_path):
    WRITERS['write_gen1'](tmp_path, clips=1)
    damage(tmp_path / 'train')
    with pytest.raises(error, match=message):
        prophesee_to_coco(tmp_path, 'train', progress=False)
    assert not list(tmp_path.rglob('*.json'))


def cut(path: Path, ratio: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * ratio) // 8 * 8 + len(data) % 8])


def test_command_line(tmp_path):
    WRITERS['write_gen1'](tmp_path, clips=1)
    command = [
        sys.executable,
        str(ROOT / 'tools/dataset_converters/prophesee_to_coco.py'),
    ]

    def run(*args: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, *args], capture_output=True, text=True, cwd=ROOT
        )

    done = run('--root', str(tmp_path), '--splits', 'val')
    assert done.returncode == 0, done.stderr
    assert f'wrote {tmp_path}/annotations/instances_val.json' in done.stdout
    assert len(annotations(tmp_path, 'val')['images']) == 2
    failed = run('--root', str(tmp_path / 'nowhere'))
    assert failed.returncode == 1 and 'Traceback' not in failed.stderr
    assert failed.stderr.startswith('error: ')


def test_documented_backbone_fits():
    from snndense.models.det import check_detector

    text = (ROOT / 'docs/event_data.md').read_text()
    code = re.search(r'^```python\n(_base_.*?)^```', text, re.M | re.S)[1]
    code = code.replace("'./", f"'{ROOT}/configs/det/")
    model = MODELS.build(Config.fromstring(code, '.py').model)
    check_detector(model)
    maps = model.extract_feat(torch.rand(1, 4, 2, 64, 64))
    assert [x.shape[-1] for x in maps] == [8, 4, 2, 1, 1]
