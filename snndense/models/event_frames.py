"""Event frames in and out of code that knows images only."""

from abc import ABC, abstractmethod
from inspect import isclass

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor


class EventPreprocessor(ABC):
    """A data preprocessor that hands frames ``(N, T, C, H, W)`` to the backbone."""

    @abstractmethod
    def packed_shape(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a sample as a pipeline packs it, of frames ``(T, C, H, W)``."""


def reads_events(cfg: Config) -> bool:
    """Whether the model of a config reads event frames instead of pictures."""
    init_default_scope(cfg.default_scope)
    model = cfg.get('model') or {}
    preprocessor = model.get('data_preprocessor') or cfg.get('data_preprocessor')
    kind = (preprocessor or {}).get('type')
    found = kind if isclass(kind) or kind is None else MODELS.get(kind)
    return isclass(found) and issubclass(found, EventPreprocessor)


def check_reads_pictures(cfg: Config) -> None:
    """Make sure that image files are what the model of a config reads.

    Raises:
        ValueError: If it reads event frames, and what to do.
    """
    if reads_events(cfg):
        raise ValueError(
            'the model of the config reads event frames, not image files. Measuring '
            'tools take its own test data without --images; tools/test.py predicts '
            'them, draws them with --show-dir and writes predictions with --out'
        )


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
