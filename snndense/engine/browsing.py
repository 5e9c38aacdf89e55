"""Pictures of training samples at every step of their pipeline."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from torch.utils.data import Dataset

from .event_drawing import event_picture
from .visualizers import build_visualizer, draw_sample

MODES = ('original', 'transformed', 'concat', 'pipeline')
TITLE_HEIGHT = 24
WHITE = 255
ANNOTATIONS = ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks', 'gt_seg_map', 'gt_label')
SCALE = 'annotation_scale'  # from loaded boxes to the image at that step
DRAWABLE = ('img', 'img_path', SCALE, *ANNOTATIONS)


@dataclass(frozen=True)
class Step:
    """A sample after one transform.

    Attributes:
        name (str): Class of the transform.
        data (dict): The image and its annotations.
    """

    name: str
    data: dict


class _Recorded:
    """A transform that leaves a copy of what it returns."""

    def __init__(self, transform: Callable, steps: list[Step]) -> None:
        self._transform = transform
        self._steps = steps

    def __getattr__(self, name: str):
        return getattr(self._transform, name)

    def __call__(self, results: dict) -> dict | None:
        had_boxes = 'gt_bboxes' in results
        results = self._transform(results)
        if results is None:  # the data set takes another sample
            self._steps.clear()
        elif 'img' in results:
            if 'gt_bboxes' in results and not had_boxes:
                # a test pipeline resizes the image first, and loads boxes after it
                old, new = results['ori_shape'], results['img'].shape
                results[SCALE] = (new[1] / old[1], new[0] / old[0])
            data = {key: results[key] for key in DRAWABLE if key in results}
            # later transforms change boxes in place
            self._steps.append(Step(type(self._transform).__name__, deepcopy(data)))
        return results


def _record(dataset: Dataset, steps: list[Step]) -> None:
    """Let all transforms of a data set, or the ones a wrapper has inside, record."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for other in inner:
        if other is not None:
            _record(other, steps)
    pipeline = getattr(dataset, 'pipeline', None)
    if pipeline is not None:
        transforms = pipeline if isinstance(pipeline, list) else pipeline.transforms
        transforms[:] = [_Recorded(transform, steps) for transform in transforms]


def iterate_steps(dataset: Dataset, count: int | None) -> Iterator[list[Step]]:
    """Steps of the first ``count`` samples (None: of all).

    Args:
        dataset (Dataset): Of mmengine; its transforms are replaced by recording ones.
        count (int, optional): Number of samples.

    Raises:
        ValueError: If no transform yields an image.
    """
    steps: list[Step] = []
    _record(dataset, steps)
    for index in range(min(count or len(dataset), len(dataset))):
        steps.clear()
        dataset[index]
        if not steps:
            raise ValueError(
                f'the pipeline of {type(dataset).__name__} yields no image to draw'
            )
        yield list(steps)


def select_steps(steps: list[Step], mode: str) -> list[Step]:
    """Steps that a mode shows: the first with annotations, the last, both or all."""
    annotated = (step for step in steps if any(key in step.data for key in ANNOTATIONS))
    data = {**next(annotated, steps[0]).data, 'img': steps[0].data['img']}
    original = Step('original', {**data, SCALE: (1, 1)})
    if mode == 'original':
        return [original]
    if mode == 'transformed':
        return steps[-1:]
    if mode == 'concat':
        return [original, Step('transformed', steps[-1].data)]
    return steps


class SampleDrawer:
    """Draws steps with the visualizer of their toolbox.

    Args:
        scope (str): ``'mmdet'``, ``'mmseg'`` or ``'mmpretrain'``.
        metainfo (dict): That of the data set.
        channel_order (str): Of the images in the pipeline, ``'BGR'`` or ``'RGB'``.
            Defaults to ``'BGR'``.
    """

    def __init__(self, scope: str, metainfo: dict, channel_order: str = 'BGR') -> None:
        self.is_bgr = channel_order == 'BGR'
        draw = dict(mmdet=self._det, mmseg=self._seg, mmpretrain=self._cls)
        self._draw = draw[scope]
        options = dict(alpha=0.5) if scope == 'mmseg' else {}
        self.visualizer = build_visualizer(scope, metainfo, **options)

    def draw(self, steps: list[Step]) -> np.ndarray:
        """An RGB picture of the steps side by side, with titles if there are many."""
        pictures = [
            self._draw(self._rgb(step.data['img']), step.data) for step in steps
        ]
        if len(pictures) == 1:
            return pictures[0]
        return _side_by_side(pictures, [step.name for step in steps])

    def _rgb(self, image: np.ndarray) -> np.ndarray:
        if image.ndim == 4:
            return event_picture(image)
        if image.shape[-1] not in (1, 3):  # frames folded into channels
            return event_picture(image.transpose(2, 0, 1))
        image = image.clip(0, WHITE).astype(np.uint8)
        return np.ascontiguousarray(image[..., ::-1] if self.is_bgr else image)

    def _det(self, image: np.ndarray, data: dict) -> np.ndarray:
        from mmdet.structures import DetDataSample
        from mmdet.structures.bbox import get_box_tensor

        if 'gt_bboxes' not in data:
            return image
        boxes = get_box_tensor(data['gt_bboxes'])
        boxes = boxes * boxes.new_tensor(data[SCALE] * 2)
        instances = InstanceData(labels=torch.as_tensor(data['gt_bboxes_labels']))
        if 'gt_masks' in data:
            masks = data['gt_masks'].resize(image.shape[:2])
            instances.masks = masks.to_ndarray().astype(bool)
        instances.bboxes = boxes
        sample = DetDataSample(gt_instances=instances)
        return draw_sample(self.visualizer, image, sample, draw_pred=False)

    def _seg(self, image: np.ndarray, data: dict) -> np.ndarray:
        from mmseg.structures import SegDataSample

        if 'gt_seg_map' not in data:
            return image
        size = image.shape[1::-1]
        labels = cv2.resize(data['gt_seg_map'], size, interpolation=cv2.INTER_NEAREST)
        labels = torch.as_tensor(labels.astype(np.int64))[None]
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        return draw_sample(self.visualizer, image, sample, draw_pred=False)

    def _cls(self, image: np.ndarray, data: dict) -> np.ndarray:
        from mmpretrain.structures import DataSample

        if 'gt_label' not in data:
            return image
        sample = DataSample().set_gt_label(data['gt_label'])
        return draw_sample(self.visualizer, image, sample, draw_pred=False)


def _side_by_side(pictures: list[np.ndarray], titles: list[str]) -> np.ndarray:
    """Pictures of the same height in a row, each under its title."""
    height = max(picture.shape[0] for picture in pictures)
    columns = []
    for picture, title in zip(pictures, titles, strict=True):
        width = round(picture.shape[1] * height / picture.shape[0])
        picture = cv2.resize(picture, (width, height))
        size = (TITLE_HEIGHT, max(width, 9 * len(title)), 3)
        head = np.full(size, WHITE, np.uint8)
        cv2.putText(head, title, (2, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
        margin = ((0, 0), (0, size[1] - width), (0, 0))
        body = np.pad(picture, margin, constant_values=WHITE)
        columns.append(np.concatenate([head, body]))
    return np.concatenate(columns, axis=1)
