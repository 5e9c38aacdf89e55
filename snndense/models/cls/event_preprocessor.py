"""Data preprocessor of event frames for mmpretrain's classifiers."""

from mmpretrain.models import ClsDataPreprocessor

from snndense.registry import MODELS

from ..event_frames import EventPreprocessor, fold_frames, unfold_frames


@MODELS.register_module()
class EventDataPreprocessor(EventPreprocessor, ClsDataPreprocessor):
    """Stack event frames ``(T, C, H, W)`` into batches ``(N, T, C, H, W)``.

    Counts are not normalised. Frames of different sizes are padded at the right and
    the bottom. The host's batch augmentations (Mixup, CutMix, ResizeMix) treat the T
    frames of a sample alike.

    Args:
        pad_size_divisor (int): Height and width become multiples of this.
            Defaults to 1.
        to_onehot (bool): Whether labels become one-hot scores. Defaults to False.
        num_classes (int, optional): Number of classes; batch augmentations need it.
        batch_augments (dict, optional): See mmpretrain's ``RandomBatchAugment``.

    Raises:
        ValueError: If samples have other axes, or differ in T or C.
    """

    def __init__(
        self,
        pad_size_divisor: int = 1,
        to_onehot: bool = False,
        num_classes: int | None = None,
        batch_augments: dict | None = None,
    ) -> None:
        super().__init__(
            pad_size_divisor=pad_size_divisor,
            to_onehot=to_onehot,
            num_classes=num_classes,
            batch_augments=batch_augments,
        )

    def packed_shape(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a sample as a pipeline packs it: that of its frames."""
        return frames

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batch of frames and data samples, as ``ClsDataPreprocessor`` returns it."""
        shapes = {tuple(x.shape[:-2]) for x in data['inputs']}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError(
                'expected samples (T, C, H, W) of the same T and C, but they begin '
                f'with the axes {sorted(shapes)}'
            )
        inputs = [fold_frames(x) for x in data['inputs']]
        data = super().forward({**data, 'inputs': inputs}, training)
        time_steps, _ = next(iter(shapes))
        return {**data, 'inputs': unfold_frames(data['inputs'], time_steps)}
