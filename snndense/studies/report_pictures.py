"""Predictions for a few images side by side, for a report."""

from collections.abc import Iterable, Sequence
from typing import Optional

import mmcv
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import nn

from snndense.engine.visualizers import (
    OPTIONS,
    build_visualizer,
    draw_sample,
    predict_for_size,
)

SCORE_THR = 0.3
COLUMNS = 4
SIDE = 360  # pixels of the longer one
MARGIN = 6
DETECTIONS = dict(dpi=160, line_width=1)  # mmdet writes small letters
WHITE = 255


def _read(sample: BaseDataElement) -> np.ndarray:
    """The image of a sample in the size it is shown in."""
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    return mmcv.imrescale(image, (SIDE, SIDE))


def tile(pictures: Sequence[np.ndarray], columns: int = COLUMNS) -> np.ndarray:
    """Pictures in rows from left to right, each in the middle of a white cell."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = (max(p.shape[axis] for p in pictures) + MARGIN for axis in (0, 1))
    page = np.full((rows * height, columns * width, 3), WHITE, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top = row * height + (height - picture.shape[0]) // 2
        left = column * width + (width - picture.shape[1]) // 2
        page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page


def draw_predictions(
    model: nn.Module,
    batches: Iterable[dict],
    scope: str,
    dataset_meta: Optional[dict] = None,
) -> Optional[np.ndarray]:
    """Predictions for all images of some batches; None if they are no image files.

    Args:
        model (nn.Module): Detector, segmentor or classifier, in evaluation mode.
        batches (Iterable[dict]): As a data loader yields them.
        scope (str): Toolbox of the model.
        dataset_meta (dict, optional): Names and colours of the classes.

    Returns:
        np.ndarray: RGB picture.
    """
    look, options = dict(OPTIONS[scope]), dict(draw_gt=False)
    if scope == 'mmdet':
        look.update(DETECTIONS)
        options['pred_score_thr'] = SCORE_THR
    visualizer = build_visualizer(scope, dataset_meta, **look)
    pictures = []
    for batch in batches:
        samples = batch['data_samples']
        if not all(sample.get('img_path') for sample in samples):
            return None
        images = [_read(sample) for sample in samples]
        for sample, image in zip(samples, images, strict=True):
            predict_for_size(sample, image.shape[:2])
        with torch.no_grad():
            results = model.test_step(batch)
        pictures += [
            draw_sample(visualizer, image, result, **options)
            for image, result in zip(images, results, strict=True)
        ]
    return tile(pictures) if pictures else None
