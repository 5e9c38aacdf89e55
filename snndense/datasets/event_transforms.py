"""Transforms of event frames, ``results['img']`` of shape ``(T, C, H, W)``.

Each does the same to all T frames of a sample. Geometric ones take the nearest pixel,
so that counts stay counts. To do one of several, put them into mmcv's ``RandomChoice``;
Mixup and CutMix work on batches, see ``EventDataPreprocessor``.
"""

import math
from abc import abstractmethod

import numpy as np
import torch
import torchvision.transforms.functional as F
from mmcv.transforms import BaseTransform
from torch import Tensor
from torchvision.transforms import InterpolationMode

from snndense.registry import TRANSFORMS

from .event_files import load_frames

RESIZE_MODES = ('bilinear', 'nearest', 'sum')
DIRECTIONS = ('horizontal', 'vertical')


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f'expected 0 <= {name} <= 1, but got {value!r}')


@TRANSFORMS.register_module()
class LoadEventFrames(BaseTransform):
    """Read the frames of a sample, float32 counts ``(T, 2, H, W)``.

    Required keys: ``img_path``. Added keys: ``img``, ``img_shape``, ``ori_shape``.

    Raises:
        ValueError: If the file is damaged.
    """

    def transform(self, results: dict) -> dict:
        frames = load_frames(results['img_path'])
        results['img'] = frames
        results['img_shape'] = results['ori_shape'] = frames.shape[-2:]
        return results


class FramesTransform(BaseTransform):
    """Base class: a function of frames.

    Required and modified key: ``img``. Modified key: ``img_shape``.
    """

    @abstractmethod
    def apply(self, frames: Tensor) -> Tensor:
        """The frames ``(T, C, H, W)``, changed; the argument must not be."""

    def transform(self, results: dict) -> dict:
        frames = self.apply(torch.from_numpy(results['img']))
        results['img'] = frames.contiguous().numpy()
        results['img_shape'] = tuple(frames.shape[-2:])
        return results


@TRANSFORMS.register_module()
class EventResize(FramesTransform):
    """Resize frames.

    Args:
        scale (int | tuple[int]): Side of a square, or width and height.
        mode (str): ``'bilinear'`` (with antialiasing; counts become fractions),
            ``'nearest'``, or ``'sum'``, which joins blocks of pixels and keeps every
            event; the size must be a multiple of ``scale`` then.
            Defaults to ``'bilinear'``.

    Raises:
        ValueError: For an unknown mode, or sizes that ``'sum'`` cannot make.
    """

    def __init__(self, scale: int | tuple[int, int], mode: str = 'bilinear') -> None:
        if mode not in RESIZE_MODES:
            raise ValueError(f'expected mode in {RESIZE_MODES}, but got {mode=}')
        width, height = (scale, scale) if isinstance(scale, int) else scale
        self.size = (height, width)
        self.mode = mode

    def apply(self, frames: Tensor) -> Tensor:
        if self.mode == 'sum':
            return self._join(frames)
        mode = InterpolationMode(self.mode)
        return F.resize(frames, list(self.size), mode, antialias=True)

    def _join(self, frames: Tensor) -> Tensor:
        sizes = zip(frames.shape[-2:], self.size, strict=True)
        if any(old % new for old, new in sizes):
            raise ValueError(
                f"mode='sum' joins whole pixels, but frames of {frames.shape[-2]} x "
                f'{frames.shape[-1]} are no multiple of {self.size[0]} x {self.size[1]}'
            )
        (height, width), (old_height, old_width) = self.size, frames.shape[-2:]
        blocks = (height, old_height // height, width, old_width // width)
        return frames.unflatten(-1, blocks[2:]).unflatten(-3, blocks[:2]).sum((-3, -1))


@TRANSFORMS.register_module()
class EventRandomFlip(FramesTransform):
    """Mirror left and right.

    Args:
        prob (float): Probability. Defaults to 0.5.
    """

    def __init__(self, prob: float = 0.5) -> None:
        _check_share('prob', prob)
        self.prob = prob

    def apply(self, frames: Tensor) -> Tensor:
        return frames.flip(-1) if np.random.rand() < self.prob else frames


@TRANSFORMS.register_module()
class EventRandomRoll(FramesTransform):
    """Shift in both directions; what leaves on one side enters on the other.

    Args:
        max_ratio (float): Largest shift over the height or width.
            Defaults to 1 / 3.
    """

    def __init__(self, max_ratio: float = 1 / 3) -> None:
        _check_share('max_ratio', max_ratio)
        self.max_ratio = max_ratio

    def apply(self, frames: Tensor) -> Tensor:
        limits = [int(side * self.max_ratio) for side in frames.shape[-2:]]
        shifts = [int(np.random.randint(-limit, limit + 1)) for limit in limits]
        return frames.roll(shifts, (-2, -1))


@TRANSFORMS.register_module()
class EventRandomRotate(FramesTransform):
    """Rotate about the centre.

    Args:
        max_angle (float): Largest angle in degrees, to either side.
            Defaults to 30.
    """

    def __init__(self, max_angle: float = 30.0) -> None:
        self.max_angle = max_angle

    def apply(self, frames: Tensor) -> Tensor:
        return F.rotate(frames, np.random.uniform(-self.max_angle, self.max_angle))


@TRANSFORMS.register_module()
class EventRandomShear(FramesTransform):
    """Shear horizontally about the centre.

    Args:
        max_shear (float): Largest angle in radians, to either side.
            Defaults to 0.3.
    """

    def __init__(self, max_shear: float = 0.3) -> None:
        self.max_shear = max_shear

    def apply(self, frames: Tensor) -> Tensor:
        shear = math.degrees(np.random.uniform(-self.max_shear, self.max_shear))
        return F.affine(frames, angle=0, translate=[0, 0], scale=1, shear=[shear, 0])


@TRANSFORMS.register_module()
class EventRandomTranslate(FramesTransform):
    """Shift in one direction; what leaves is lost.

    Args:
        max_offset (int): Largest shift in pixels, to either side. Defaults to 5.
        direction (str): ``'horizontal'`` or ``'vertical'``.
            Defaults to ``'horizontal'``.

    Raises:
        ValueError: For an unknown direction.
    """

    def __init__(self, max_offset: int = 5, direction: str = 'horizontal') -> None:
        if direction not in DIRECTIONS:
            raise ValueError(
                f'expected direction in {DIRECTIONS}, but got {direction=}'
            )
        self.max_offset = max_offset
        self.direction = direction

    def apply(self, frames: Tensor) -> Tensor:
        offset = int(np.random.randint(-self.max_offset, self.max_offset + 1))
        translate = [offset, 0] if self.direction == 'horizontal' else [0, offset]
        return F.affine(frames, angle=0, translate=translate, scale=1, shear=[0, 0])


@TRANSFORMS.register_module()
class EventRandomCutout(FramesTransform):
    """Empty a rectangle of the frame's shape.

    Args:
        area_range (tuple[float]): Least and largest area over that of the frame.
            Defaults to (0.001, 0.11).
        inside (bool): Whether the rectangle lies inside the frame; otherwise its
            centre does. Defaults to True.

    Raises:
        ValueError: If the range is not within 0 and 1.
    """

    def __init__(
        self, area_range: tuple[float, float] = (0.001, 0.11), inside: bool = True
    ) -> None:
        if not 0 <= area_range[0] <= area_range[1] <= 1:
            raise ValueError(
                f'expected 0 <= least <= largest <= 1, but got {area_range=}'
            )
        self.area_range = area_range
        self.inside = inside

    def apply(self, frames: Tensor) -> Tensor:
        ratio = math.sqrt(np.random.uniform(*self.area_range))
        spans = [self._span(side, round(side * ratio)) for side in frames.shape[-2:]]
        frames = frames.clone()
        frames[..., spans[0], spans[1]] = 0
        return frames

    def _span(self, side: int, length: int) -> slice:
        if self.inside:
            start = np.random.randint(side - length + 1)
        else:
            start = np.random.randint(side) - length // 2
        return slice(max(start, 0), start + length)


@TRANSFORMS.register_module()
class AppendPolaritySum(FramesTransform):
    """Append the sum of both polarities as a third channel.

    This is how SpikingResformer feeds events to a stem for RGB images.
    """

    def apply(self, frames: Tensor) -> Tensor:
        return torch.cat([frames, frames.sum(1, keepdim=True)], 1)
