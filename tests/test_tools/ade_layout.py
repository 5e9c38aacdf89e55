"""A handful of pictures in the files and with the 150 classes of ADE20K."""

from pathlib import Path

import cv2
import numpy as np

NUM_CLASSES = 150
SIZES = ((96, 128), (120, 90))  # height, width: photographs of both orientations
SPLITS = dict(training='train', validation='val')


def make_ade(root: Path, counts: dict[str, int]) -> None:
    """Write ``images/SPLIT/ADE_*.jpg`` and ``annotations/SPLIT/ADE_*.png``.

    Labels are 1 to 150, and 0 where nothing is labelled, which is to be ignored.

    Args:
        root (Path): The folder, ``data/ade/ADEChallengeData2016`` in the configs.
        counts (dict[str, int]): Pictures of ``training`` and ``validation``.
    """
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        images, annotations = (
            root / kind / split for kind in ('images', 'annotations')
        )
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for index in range(1, count + 1):
            height, width = SIZES[index % 2]
            picture = np.zeros((height, width, 3), np.uint8)
            labels = np.zeros((height, width), np.uint8)
            # stripes of classes, the first and the last one among them
            classes = (1, NUM_CLASSES, *rng.integers(1, NUM_CLASSES + 1, size=3))
            for stripe, label in enumerate(classes):
                columns = slice(stripe * 16, stripe * 16 + 16)
                picture[:, columns] = rng.integers(256, size=3)
                labels[:, columns] = label
            name = f'ADE_{SPLITS[split]}_{index:08d}'
            cv2.imwrite(str(images / f'{name}.jpg'), picture)
            cv2.imwrite(str(annotations / f'{name}.png'), labels)
