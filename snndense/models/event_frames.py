"""Event frames in and out of code that knows images only."""

from abc import ABC, abstractmethod

from torch import Tensor


class EventPreprocessor(ABC):
    """A data preprocessor that hands frames ``(N, T, C, H, W)`` to the backbone."""

    @abstractmethod
    def packed_shape(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a sample as a pipeline packs it, of frames ``(T, C, H, W)``."""


def fold_frames(frames: Tensor) -> Tensor:
    """Join time and channels: ``(..., T, C, H, W) -> (..., T*C, H, W)``, a view.

    Padding, stacking and batch augmentations of images work on that.
    """
    return frames.flatten(-4, -3)


def unfold_frames(images: Tensor, time_steps: int) -> Tensor:
    """Split channels: ``(N, T*C, H, W) -> (N, T, C, H, W)``, a view.

    Raises:
        ValueError: If the channels are not a multiple of ``time_steps``.
    """
    if images.dim() != 4 or images.shape[1] % time_steps:
        raise ValueError(
            f'expected frames folded into channels (N, {time_steps} * C, H, W), but '
            f'got a tensor of shape {tuple(images.shape)}; give the data preprocessor '
            "the 'time_steps' of the transform that loads the events"
        )
    return images.unflatten(1, (time_steps, -1))
