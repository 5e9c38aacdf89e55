"""Tiny-ImageNet is read as its archive unpacks, and its layout is checked."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS

pytest.importorskip('mmpretrain')

FOLDERS = ('n02', 'n01')  # the order of wnids.txt, not of the alphabet


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / 'tiny-imagenet-200'
    picture = np.zeros((64, 64, 3), np.uint8)
    names = [f'train/{f}/images/{f}_{i}.JPEG' for f in FOLDERS for i in range(3)]
    names += [f'val/images/val_{i}.JPEG' for i in range(4)]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name).replace('.JPEG', '.jpg'), picture)
        Path(str(root / name).replace('.JPEG', '.jpg')).rename(root / name)
    (root / 'wnids.txt').write_text('\n'.join(FOLDERS) + '\n')
    (root / 'words.txt').write_text('n01\tgoldfish\nn02\tbullfrog, frog\nn03\tcat\n')
    rows = [f'val_{i}.JPEG\t{FOLDERS[i % 2]}\t0\t0\t63\t63' for i in range(4)]
    (root / 'val/val_annotations.txt').write_text('\n'.join(rows) + '\n')
    return root


def build(root, **cfg):
    return DATASETS.build(
        dict(type='snndense.TinyImageNet', data_root=str(root), pipeline=[], **cfg)
    )


def test_both_splits(root):
    train, val = build(root), build(root, split='val')
    assert train.metainfo['classes'] == ('bullfrog, frog', 'goldfish')
    assert len(train) == 6 and len(val) == 4
    for index in range(6):
        info = train.get_data_info(index)
        assert Path(info['img_path']).name.startswith(FOLDERS[info['gt_label']])
    assert [val.get_data_info(i)['gt_label'] for i in range(4)] == [0, 1, 0, 1]
    assert all(Path(val.get_data_info(i)['img_path']).is_file() for i in range(4))


def test_accepted_by_the_check_before_training(root):
    from snndense.engine.data_checks import check_contents, check_paths

    for split in ('train', 'val'):
        dataset = build(root, split=split, lazy_init=True)
        check_paths(dataset, split)
        check_contents(dataset)


def test_refuses_another_layout(root):
    (root / 'val/val_annotations.txt').unlink()
    build(root)  # not needed for training
    with pytest.raises(
        FileNotFoundError, match=r'(?s)val_annotations.*train/n01443537'
    ):
        build(root, split='val')
    with pytest.raises(FileNotFoundError, match='wnids.txt, words.txt, train missing'):
        build(root.parent / 'nowhere')
    with pytest.raises(ValueError, match="split='test'"):
        build(root, split='test')


def test_refuses_unknown_classes(root):
    (root / 'wnids.txt').write_text('n02\n')
    with pytest.raises(ValueError, match=r"found 6, also of \['n01'\]"):
        build(root)
