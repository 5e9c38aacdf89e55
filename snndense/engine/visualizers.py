"""The visualizers of the toolboxes, and the same calls for all three."""

from typing import Any

import numpy as np
from matplotlib import rc_context
from mmengine.registry import VISUALIZERS
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

TYPES = {
    'mmdet': 'mmdet.DetLocalVisualizer',
    'mmseg': 'mmseg.SegLocalVisualizer',
    'mmpretrain': 'mmpretrain.UniversalVisualizer',
}
#: Options of those whose pictures show predictions.
OPTIONS: dict[str, dict] = {
    'mmdet': dict(alpha=0.5, line_width=2, text_color=(255, 255, 255)),
    'mmseg': dict(alpha=0.6),
    'mmpretrain': dict(),
}


def build_visualizer(
    scope: str,
    dataset_meta: dict | None = None,
    *,
    dpi: int = 100,
    **options: Any,
) -> Visualizer:
    """The visualizer of a toolbox.

    It is one of its own: that of a runner stays the current one.

    Args:
        scope (str): ``'mmdet'``, ``'mmseg'`` or ``'mmpretrain'``.
        dataset_meta (dict, optional): ``classes`` and ``palette`` of the data. None:
            the toolbox's default.
        dpi (int): Pixels of a picture per inch; matplotlib draws text and lines in
            points, 72 to the inch. Defaults to 100.
        options: Arguments of its class.
    """
    with rc_context({'figure.dpi': dpi}):
        visualizer = VISUALIZERS.get(TYPES[scope])(**options)
    if dataset_meta and dataset_meta.get('classes'):
        visualizer.dataset_meta = dataset_meta
    return visualizer


def draw_sample(
    visualizer: Visualizer, image: np.ndarray, sample: BaseDataElement, **options: Any
) -> np.ndarray:
    """Draw a data sample over an RGB image.

    Args:
        visualizer (Visualizer): Of the toolbox that the sample is of.
        image (np.ndarray): ``(H, W, 3)``.
        sample (BaseDataElement): Truth, prediction or both.
        options: Arguments of the visualizer's drawing method, such as ``draw_gt`` and
            ``out_file``.

    Returns:
        np.ndarray: RGB. Of truth and prediction of a segmentor it is the prediction
        alone; ``out_file`` gets both.
    """
    if hasattr(visualizer, 'visualize_cls'):
        return visualizer.visualize_cls(image, sample, **options)
    visualizer.set_image(image)  # mmseg sets none where there is nothing to draw
    visualizer.add_datasample('', image, sample, **options)
    return visualizer.get_image()


def predict_for_size(sample: BaseDataElement, shape: tuple[int, int]) -> None:
    """Let a model predict for an image of another size, from the same pixels.

    Boxes, masks and maps of classes then fit an enlarged picture.

    Args:
        sample (BaseDataElement): As the model gets it.
        shape (tuple[int, int]): Height and width of the picture.
    """
    height, width = sample.ori_shape[:2]
    meta = dict(ori_shape=tuple(shape))
    if 'scale_factor' in sample:  # from the picture to the model's input, x and y
        x, y = sample.scale_factor
        meta['scale_factor'] = (x * width / shape[1], y * height / shape[0])
    sample.set_metainfo(meta)
