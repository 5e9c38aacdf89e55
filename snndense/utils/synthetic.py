"""Made-up batches for whole models, where a measurement or a check needs no data."""

from collections.abc import Callable

import torch
from mmengine.model import BaseModel

from snndense.models.event_frames import EventPreprocessor


def input_shape(model: BaseModel, shape: tuple[int, int]) -> tuple[int, ...]:
    """Shape of one sample as the backbone of a model gets it.

    Args:
        model (BaseModel): Detector, segmentor or classifier.
        shape (tuple[int, int]): Height and width.

    Returns:
        tuple: ``(C, H, W)``, or ``(T, C, H, W)`` of a model that reads event frames.
    """
    backbone = getattr(model, 'backbone', None)
    image = (getattr(backbone, 'in_channels', 3), *shape)
    if isinstance(model.data_preprocessor, EventPreprocessor):
        return (backbone.time_steps, *image)
    return image


def _packed_shape(model: BaseModel, shape: tuple) -> tuple[int, ...]:
    """Shape of one sample as a pipeline packs it: an image, or event frames."""
    sample = input_shape(model, shape)
    preprocessor = model.data_preprocessor
    if isinstance(preprocessor, EventPreprocessor):
        return preprocessor.packed_shape(sample)
    return sample


def _detection_batch(model: BaseModel, shape: tuple, batch_size: int) -> dict:
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(
        batch_size,
        _packed_shape(model, shape),
        num_items=[5] * batch_size,
        num_classes=2,  # labels are drawn from 1..num_classes - 1
        with_mask=getattr(model, 'with_mask', False),
        use_box_type=True,
    )


def _segmentation_batch(model: BaseModel, shape: tuple, batch_size: int) -> dict:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    metainfo = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, flip=False)
    samples = []
    for _ in range(batch_size):
        labels = torch.randint(0, 2, (1, *shape))
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=metainfo)
        samples.append(sample)
    return dict(inputs=_images(model, shape, batch_size), data_samples=samples)


def _classification_batch(model: BaseModel, shape: tuple, batch_size: int) -> dict:
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(0) for _ in range(batch_size)]
    return dict(inputs=_images(model, shape, batch_size), data_samples=samples)


def _images(model: BaseModel, shape: tuple, batch_size: int) -> list:
    size = _packed_shape(model, shape)
    return [torch.randint(0, 256, size, dtype=torch.uint8) for _ in range(batch_size)]


BATCHES: dict[str, Callable] = {
    'mmdet': _detection_batch,
    'mmseg': _segmentation_batch,
    'mmpretrain': _classification_batch,
}


def synthetic_batch(
    model: BaseModel, scope: str, shape: tuple[int, int], batch_size: int
) -> dict:
    """Random 8-bit images or event frames with random annotations, as loaders yield.

    Pass it through ``model.data_preprocessor(batch, training)`` and call
    ``model(**batch, mode='loss' | 'predict')``.

    Args:
        model (BaseModel): Detector, segmentor or classifier.
        scope (str): Its toolbox: ``'mmdet'``, ``'mmseg'`` or ``'mmpretrain'``, the
            ``default_scope`` of its config.
        shape (tuple[int, int]): Height and width.
        batch_size (int): Number of images.

    Returns:
        dict: ``inputs`` and ``data_samples``.

    Raises:
        ValueError: If the toolbox is not one of the three.
    """
    if scope not in BATCHES:
        raise ValueError(
            f"expected the config's default_scope to be one of {tuple(BATCHES)}, "
            f'but got {scope!r}'
        )
    return BATCHES[scope](model, tuple(shape), batch_size)
