"""Predictions drawn on a few images, for a report."""

from collections.abc import Iterable, Sequence
from typing import Optional

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import nn

from snndense.analysis.st_erf_plots import COLORS

SCORE_THR = 0.3
OPACITY = 0.45
COLUMNS = 4
INCHES = 2.4


def _color(label: int) -> np.ndarray:
    """RGB of a class, 0 to 1."""
    text = COLORS[label % len(COLORS)]
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def _name(label: int, classes: Optional[Sequence[str]]) -> str:
    known = classes is not None and label < len(classes)
    return str(classes[label]) if known else f'class {label}'


def _overlay(axis: Axes, mask: np.ndarray, label: int) -> None:
    layer = np.zeros((*mask.shape, 4))
    layer[mask] = (*_color(label), OPACITY)
    axis.imshow(layer, interpolation='nearest')


def _draw_instances(axis: Axes, instances: BaseDataElement, classes) -> None:
    instances = instances[instances.scores >= SCORE_THR].cpu()
    for index, (label, score) in enumerate(
        zip(instances.labels.tolist(), instances.scores.tolist(), strict=True)
    ):
        if 'masks' in instances:
            _overlay(axis, np.asarray(instances.masks[index], bool), label)
        left, top, right, bottom = instances.bboxes[index].tolist()
        color = _color(label)
        size = (right - left, bottom - top)
        axis.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=color))
        axis.text(
            left,
            top,
            f'{_name(label, classes)} {score:.2f}',
            color='white',
            fontsize=6,
            va='bottom',
            bbox=dict(facecolor=color, edgecolor='none', pad=0.8),
            clip_on=True,
        )


def draw_prediction(
    axis: Axes, sample: BaseDataElement, classes: Optional[Sequence[str]]
) -> None:
    """Draw what a model predicts for an image file over the image.

    Args:
        axis (Axes): Where.
        sample (BaseDataElement): Data sample of a detector, segmentor or classifier,
            with ``img_path``.
        classes (sequence[str], optional): Names of the classes.
    """
    axis.imshow(Image.open(sample.img_path).convert('RGB'))
    if 'pred_instances' in sample:
        _draw_instances(axis, sample.pred_instances, classes)
    elif 'pred_sem_seg' in sample:
        labels = sample.pred_sem_seg.data[0].cpu().numpy()
        for label in np.unique(labels):
            _overlay(axis, labels == label, int(label))
    elif 'pred_label' in sample:
        label = int(sample.pred_label)
        score = float(sample.pred_score[label]) if 'pred_score' in sample else None
        shown = '' if score is None else f' {score:.2f}'
        axis.set_title(_name(label, classes) + shown, fontsize=8)
    axis.set(xticks=[], yticks=[])


def plot_predictions(
    model: nn.Module, batches: Iterable[dict], classes: Optional[Sequence[str]] = None
) -> Optional[Figure]:
    """Predictions for all images of some batches; None if they are no image files.

    Args:
        model (nn.Module): Detector, segmentor or classifier, in evaluation mode.
        batches (Iterable[dict]): As a data loader yields them.
        classes (sequence[str], optional): Names of the classes.
    """
    samples = []
    with torch.no_grad():
        for batch in batches:
            samples += model.test_step(batch)
    if not samples or any(not sample.get('img_path') for sample in samples):
        return None
    columns = min(COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    figure = Figure((INCHES * columns, INCHES * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(samples) :]:
        axis.set_axis_off()
    for axis, sample in zip(axes.flat, samples, strict=False):
        draw_prediction(axis, sample, classes)
    return figure
