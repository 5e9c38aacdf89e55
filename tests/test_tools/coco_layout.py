"""A handful of pictures in the files and with the 80 categories of COCO 2017."""

import json
from pathlib import Path

import cv2
import numpy as np

NUM_CATEGORIES = 80
# numbers between 1 and 90 that COCO does not use
UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
SIZE = (96, 128)  # height, width


def coco_categories() -> list[dict]:
    """The categories of COCO 2017, numbered with gaps as in its files."""
    from mmdet.datasets import CocoDataset

    names = CocoDataset.METAINFO['classes']
    ids = [number for number in range(1, 91) if number not in UNUSED_IDS]
    assert len(names) == len(ids) == NUM_CATEGORIES
    return [
        dict(id=number, name=name, supercategory='thing')
        for number, name in zip(ids, names, strict=True)
    ]


def make_coco(root: Path, counts: dict[str, int]) -> None:
    """Write ``annotations/instances_SPLIT2017.json`` and ``SPLIT2017/*.jpg``.

    Args:
        root (Path): The folder, ``data/coco`` in the configs.
        counts (dict[str, int]): Pictures of every split.
    """
    rng = np.random.default_rng(0)
    categories = coco_categories()
    (root / 'annotations').mkdir(parents=True)
    for split, count in counts.items():
        folder = root / f'{split}2017'
        folder.mkdir()
        images, annotations = [], []
        for image_id in range(1, count + 1):
            name = f'{image_id:012d}.jpg'
            picture = np.full((*SIZE, 3), rng.integers(256, size=3), np.uint8)
            for _ in range(3):
                number = len(annotations) + 1
                annotation, corners = _rectangle(rng, number, image_id, categories)
                annotations.append(annotation)
                color = rng.integers(256, size=3).tolist()
                cv2.rectangle(picture, *corners, color, thickness=-1)
            cv2.imwrite(str(folder / name), picture)
            images.append(
                dict(id=image_id, file_name=name, height=SIZE[0], width=SIZE[1])
            )
        contents = dict(
            info={}, images=images, annotations=annotations, categories=categories
        )
        path = root / f'annotations/instances_{split}2017.json'
        path.write_text(json.dumps(contents))


def _rectangle(
    rng: np.random.Generator, number: int, image_id: int, categories: list[dict]
) -> tuple[dict, tuple]:
    width, height = (int(side) for side in rng.integers(20, 50, size=2))
    x = int(rng.integers(SIZE[1] - width))
    y = int(rng.integers(SIZE[0] - height))
    right, bottom = x + width, y + height
    annotation = dict(
        id=number,
        image_id=image_id,
        category_id=categories[int(rng.integers(NUM_CATEGORIES))]['id'],
        bbox=[x, y, width, height],
        area=width * height,
        iscrowd=0,
        segmentation=[[x, y, right, y, right, bottom, x, bottom]],
    )
    return annotation, ((x, y), (right, bottom))
