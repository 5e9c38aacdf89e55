"""Predictions drawn over a few images, for a report."""

from collections.abc import Iterable

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
SIDE = 360  # pixels of the longer one
DETECTIONS = dict(dpi=160, line_width=1)  # mmdet writes small letters


def _read(sample: BaseDataElement) -> np.ndarray:
    """The image of a sample in the size it is shown in."""
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    return mmcv.imrescale(image, (SIDE, SIDE))


def draw_predictions(
    model: nn.Module,
    batches: Iterable[dict],
    scope: str,
    dataset_meta: dict | None = None,
) -> list[np.ndarray]:
    """Predictions for all images of some batches; none if they are no image files.

    Args:
        model (nn.Module): Detector, segmentor or classifier, in evaluation mode.
        batches (Iterable[dict]): As a data loader yields them.
        scope (str): Toolbox of the model.
        dataset_meta (dict, optional): Names and colours of the classes.

    Returns:
        list[np.ndarray]: RGB pictures.
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
            return []
        images = [_read(sample) for sample in samples]
        for sample, image in zip(samples, images, strict=True):
            predict_for_size(sample, image.shape[:2])
        with torch.no_grad():
            results = model.test_step(batch)
        pictures += [
            draw_sample(visualizer, image, result, **options)
            for image, result in zip(images, results, strict=True)
        ]
    return pictures
