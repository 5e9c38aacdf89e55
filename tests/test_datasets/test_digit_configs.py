"""The `_base_` data set configs read the digit scenes with the stock classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

BASES = Path(__file__).parents[2] / 'configs/_base_/datasets'


@pytest.fixture(autouse=True)
def restore_scope():
    yield
    init_default_scope('mmengine')


def build(name: str, scope: str, folder: Path, split: str):
    utils = pytest.importorskip(f'{scope}.utils')
    utils.register_all_modules(init_default_scope=False)
    init_default_scope(scope)
    cfg = Config.fromfile(BASES / f'{name}.py')
    dataset = cfg[f'{split}_dataloader'].dataset
    dataset.data_root = dataset.data_root.replace('data/digit_scenes', str(folder))
    assert dataset.data_root.startswith(str(folder))
    return DATASETS.build(dataset)


@pytest.mark.parametrize(('split', 'count'), [('train', 16), ('val', 8)])
def test_detection(digit_scenes_root, split, count):
    dataset = build('digits_instance', 'mmdet', digit_scenes_root, split)
    assert len(dataset) == count
    assert dataset.metainfo['classes'] == tuple('0123456789')
    item = dataset[0]
    assert item['inputs'].shape == (3, 128, 128) and item['inputs'].dtype == torch.uint8
    instances = item['data_samples'].gt_instances
    assert len(instances) >= 1
    masks = instances.masks.to_ndarray()
    labels = cv2.imread(
        str(
            digit_scenes_root
            / dict(train='ade/annotations/training', val='ade/annotations/validation')[
                split
            ]
            / 'scene_00000001.png'
        ),
        cv2.IMREAD_UNCHANGED,
    )
    assert set(instances.labels.tolist()) == set((labels[labels > 0] - 1).tolist())
    scale = masks.shape[-1] / labels.shape[-1]
    covered = masks.any(0).mean()
    assert covered == pytest.approx((labels > 0).mean(), rel=0.1)
    for box, mask in zip(instances.bboxes.tensor, masks, strict=True):
        columns = np.flatnonzero(mask.any(0))
        assert box[0] == pytest.approx(columns[0], abs=scale)
        assert box[2] == pytest.approx(columns[-1] + 1, abs=scale)


@pytest.mark.parametrize(('split', 'count'), [('train', 16), ('val', 8)])
def test_segmentation(digit_scenes_root, split, count):
    dataset = build('digits_semantic', 'mmseg', digit_scenes_root, split)
    assert len(dataset) == count
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11
    seen = set()
    # training resizes by 0.9 to 1.3 and crops; the preprocessor pads what is smaller
    least = 115 if split == 'train' else 128
    for item in dataset:
        channels, *sides = item['inputs'].shape
        assert channels == 3 and all(least <= side <= 128 for side in sides)
        seen |= set(item['data_samples'].gt_sem_seg.data.unique().tolist())
    assert 0 in seen and max(seen) <= 10 and len(seen) > 3


@pytest.mark.parametrize(('split', 'count'), [('train', 16), ('val', 10)])
def test_classification(digit_scenes_root, split, count):
    dataset = build('digits_classification', 'mmpretrain', digit_scenes_root, split)
    assert len(dataset) == count
    assert dataset.metainfo['classes'] == tuple('0123456789')
    for index in range(count):
        item = dataset[index]
        folder = Path(dataset.get_data_info(index)['img_path']).parent.name
        assert item['data_samples'].gt_label.item() == int(folder)
        assert item['inputs'].shape == (3, 64, 64)
