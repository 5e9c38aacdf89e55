"""What the demo shows of a detector, a segmentor and a classifier."""

from pathlib import Path

import mmcv
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from .visualizers import OPTIONS, build_visualizer, draw_sample, predict_for_size

PICTURE_SCALE = 4  # scenes are small, and drawn this many times larger
SCORE_THR = 0.3
Table = dict[str, dict[str, float]]


class DemoTask:
    """A task on the digit scenes: its metrics, and how to draw a result.

    Args:
        dataset (BaseDataset): The validation set.

    Attributes:
        scope (str): Toolbox of its configs.
        metrics (dict): Rows and columns of the table of results, and the key that
            each value is logged under.
        percent (bool): Whether the values are logged in percent.
        curves (str): Name of the picture with the metrics over the training.
        draw_options (dict): How truth and prediction are drawn.
    """

    scope: str
    metrics: dict[str, dict[str, str]]
    percent = True
    curves: str
    draw_options: dict = {}

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset
        self.visualizer = build_visualizer(
            self.scope, dataset.metainfo, **OPTIONS[self.scope]
        )

    def enlarge(self, sample: BaseDataElement) -> None:
        """Let a sample be predicted and drawn for the enlarged picture."""
        shape = tuple(PICTURE_SCALE * side for side in sample.ori_shape[:2])
        predict_for_size(sample, shape)

    def picks(self, count: int) -> list[int]:
        """Which validation pictures to draw."""
        return list(range(min(count, len(self.dataset))))

    def draw_predictions(self, model: BaseModel, count: int, folder: Path) -> None:
        """Predict for ``count`` validation pictures and draw them."""
        model.eval()
        for index in self.picks(count):
            data = self.dataset[index]
            self.enlarge(data['data_samples'])
            with torch.no_grad():
                (result,) = model.test_step(pseudo_collate([data]))
            source = Path(self.dataset.get_data_info(index)['img_path'])
            image = mmcv.imread(source, channel_order='rgb')
            image = mmcv.imrescale(image, PICTURE_SCALE, interpolation='bicubic')
            path = str(folder / f'{source.stem}.png')
            draw_sample(
                self.visualizer, image, result, out_file=path, **self.draw_options
            )

    def table(self, record: dict) -> Table:
        """Rows and columns of a logged validation, as fractions of 1."""
        scale = 0.01 if self.percent else 1.0
        return {
            row: {column: scale * record[key] for column, key in columns.items()}
            for row, columns in self.metrics.items()
        }


class DetectionDemo(DemoTask):
    """Boxes and masks: truth on the left, predictions on the right."""

    scope = 'mmdet'
    metrics = {
        row: {
            'AP': f'coco/{kind}_mAP',
            'AP50': f'coco/{kind}_mAP_50',
            'AP75': f'coco/{kind}_mAP_75',
        }
        for row, kind in (('boxes', 'bbox'), ('masks', 'segm'))
    }
    percent = False
    curves = 'ap.png'
    draw_options = dict(pred_score_thr=SCORE_THR)

    def enlarge(self, sample: BaseDataElement) -> None:
        super().enlarge(sample)
        truth = sample.gt_instances
        truth.bboxes.rescale_((PICTURE_SCALE, PICTURE_SCALE))
        truth.masks = truth.masks.resize(sample.ori_shape)


class SegmentationDemo(DemoTask):
    """The class of every pixel: truth on the left, predictions on the right."""

    scope = 'mmseg'
    metrics = {
        'digits': {'mIoU': 'mIoU_foreground'},
        'with background': {'mIoU': 'mIoU'},
    }
    curves = 'miou.png'

    def enlarge(self, sample: BaseDataElement) -> None:
        super().enlarge(sample)
        labels = sample.gt_sem_seg.data
        for axis in (-2, -1):
            labels = labels.repeat_interleave(PICTURE_SCALE, axis)
        sample.set_data(dict(gt_sem_seg=type(sample.gt_sem_seg)(data=labels)))


class ClassificationDemo(DemoTask):
    """The most likely class, and the true one, written on the picture."""

    scope = 'mmpretrain'
    metrics = {'digits': {'top-1': 'accuracy/top1'}}
    curves = 'accuracy.png'

    def picks(self, count: int) -> list[int]:
        # pictures come class by class
        count = min(count, len(self.dataset))
        return [index * len(self.dataset) // count for index in range(count)]


DEMO_TASKS: dict[str, type[DemoTask]] = dict(
    det=DetectionDemo, seg=SegmentationDemo, cls=ClassificationDemo
)
