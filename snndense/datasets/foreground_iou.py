"""IoU over all classes but the background."""

import numpy as np
from mmseg.evaluation import IoUMetric

from snndense.registry import METRICS


@METRICS.register_module()
class ForegroundIoUMetric(IoUMetric):
    """mmseg's IoUMetric, and ``mIoU_foreground``: the mean without the background.

    A large background raises the mean over all classes, and a data set whose
    background is ignored (``reduce_zero_label``) does not count what is predicted
    there. This mean leaves the background's own IoU out, but what is predicted there
    counts against the other classes.

    Args:
        background (int): Label of the background. Defaults to 0.
        **kwargs: See mmseg's ``IoUMetric``; ``iou_metrics`` has to name ``'mIoU'``.

    Raises:
        ValueError: If ``iou_metrics`` lacks ``'mIoU'``.
    """

    def __init__(self, background: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        if 'mIoU' not in self.metrics:
            raise ValueError(
                "expected iou_metrics to name 'mIoU', but got "
                f'iou_metrics={self.metrics!r}'
            )
        self.background = background

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Those of ``IoUMetric``, in percent, and ``mIoU_foreground``."""
        metrics = super().compute_metrics(results)
        if self.format_only:
            return metrics
        areas = (sum(areas) for areas in zip(*results, strict=True))
        iou = self.total_area_to_metrics(*areas, ['mIoU'], self.nan_to_num)['IoU']
        foreground = np.delete(iou, self.background)
        return {**metrics, 'mIoU_foreground': float(100 * np.nanmean(foreground))}
