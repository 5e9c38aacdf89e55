"""Data preprocessor of event frames for mmdet's detectors."""

from mmdet.models import DetDataPreprocessor

from snndense.registry import MODELS

from ..event_frames import EventPreprocessor, unfold_frames


@MODELS.register_module()
class EventDetDataPreprocessor(EventPreprocessor, DetDataPreprocessor):
    """Hand frames folded into channels to the backbone as ``(N, T, C, H, W)``.

    mmdet's transforms flip, crop and pad arrays ``(H, W, T*C)``, so that is what a
    pipeline carries; ``batch_input_shape`` and ``pad_shape`` come out as for images.
    Counts are not normalised.

    Args:
        time_steps (int): T of the transform that loads the events.
        pad_size_divisor (int): Height and width become multiples of this.
            Defaults to 1.
        batch_augments (list[dict], optional): See mmdet's ``DetDataPreprocessor``.
        **kwargs: ``pad_mask``, ``boxtype2tensor`` and others of it that have nothing
            to do with colours.
    """

    def __init__(
        self,
        time_steps: int,
        pad_size_divisor: int = 1,
        batch_augments: list[dict] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(
            pad_size_divisor=pad_size_divisor, batch_augments=batch_augments, **kwargs
        )
        self.time_steps = time_steps

    def packed_shape(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a sample as a pipeline packs it: ``(T*C, H, W)``."""
        time_steps, channels, *size = frames
        return (time_steps * channels, *size)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batch of frames and data samples, see mmdet's ``DetDataPreprocessor``."""
        data = super().forward(data, training)
        return {**data, 'inputs': unfold_frames(data['inputs'], self.time_steps)}
