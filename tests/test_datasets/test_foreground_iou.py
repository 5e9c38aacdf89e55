"""The mean IoU without the background, against counting pixels."""

import pytest
import torch
from mmengine.registry import METRICS

pytest.importorskip('mmseg')


def build_metric(**cfg):
    metric = METRICS.build(dict(type='snndense.ForegroundIoUMetric', **cfg))
    metric.dataset_meta = dict(classes=('background', 'a', 'b', 'c'))
    return metric


def evaluate(metric, predicted: list, truth: list) -> dict:
    for labels, true_labels in zip(predicted, truth, strict=True):
        sample = dict(
            pred_sem_seg=dict(data=torch.tensor([labels])),
            gt_sem_seg=dict(data=torch.tensor([true_labels])),
        )
        metric.process({}, [sample])
    return metric.evaluate(len(predicted))


def test_what_is_painted_on_the_background_counts():
    # two pictures of one row; 255 is ignored, class c does not occur at all
    truth = [[0, 0, 0, 0, 1, 1], [0, 0, 2, 2, 255, 255]]
    predicted = [[0, 0, 1, 1, 1, 1], [0, 0, 2, 0, 1, 3]]
    metrics = evaluate(build_metric(), predicted, truth)
    iou_ground, iou_a, iou_b = 4 / 7, 2 / 4, 1 / 2
    foreground = 100 * (iou_a + iou_b) / 2
    assert metrics['mIoU_foreground'] == pytest.approx(foreground)
    mean = 100 * (iou_ground + iou_a + iou_b) / 3
    assert metrics['mIoU'] == pytest.approx(mean, abs=0.01)  # mmseg rounds it


def test_another_background():
    metrics = evaluate(build_metric(background=1), [[0, 0, 1, 1]], [[0, 2, 1, 1]])
    assert metrics['mIoU_foreground'] == pytest.approx(100 * (1 / 2 + 0) / 2)


def test_needs_the_iou():
    with pytest.raises(ValueError, match="name 'mIoU'"):
        build_metric(iou_metrics=['mDice'])
