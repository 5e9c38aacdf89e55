"""Pixels of the digit scenes: glyphs, backgrounds, placement, occlusion."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

MIN_VISIBLE = 0.7  # of a digit's area, after later digits covered it
MAX_BOX_IOU = 0.25  # between two digits
MIN_COLOR_GAP = 0.15  # between two digits that touch
PLACE_ATTEMPTS = 20
BACKGROUNDS = ('gradient', 'noise', 'stripes', 'checker')


@dataclass
class Instance:
    """One digit of a scene.

    Attributes:
        label (int): The digit, 0 to 9.
        sample (int): Index of the handwritten sample in ``load_digits()``.
        mask (np.ndarray): Visible pixels, bool ``(H, W)``.
    """

    label: int
    sample: int
    mask: np.ndarray


@dataclass
class Scene:
    """One composed picture.

    Attributes:
        image (np.ndarray): uint8 BGR, ``(H, W, 3)``.
        instances (list[Instance]): From the back to the front.
    """

    image: np.ndarray
    instances: list[Instance]

    def label_map(self) -> np.ndarray:
        """uint8 ``(H, W)``: 0 for background, digit + 1 elsewhere."""
        labels = np.zeros(self.image.shape[:2], np.uint8)
        for instance in self.instances:
            labels[instance.mask] = instance.label + 1
        return labels


def render_glyph(sample: np.ndarray, height: float, angle: float) -> np.ndarray:
    """Scale and turn an 8 x 8 sample into a smooth opacity map.

    Args:
        sample (np.ndarray): ``(8, 8)``, values 0 to 16.
        height (float): Pixels that the eight rows shall span.
        angle (float): Degrees, counter-clockwise.

    Returns:
        np.ndarray: float32 in 0..1, cropped to what is not transparent.
    """
    scale = height / 8
    side = int(np.ceil(height * 1.5))
    matrix = cv2.getRotationMatrix2D((3.5, 3.5), angle, scale)
    matrix[:, 2] += side / 2 - 4  # centre of the sample to centre of the canvas
    ink = cv2.warpAffine(
        sample.astype(np.float32) / 16, matrix, (side, side), flags=cv2.INTER_CUBIC
    )
    ink = cv2.GaussianBlur(ink, (0, 0), 0.25 * scale)
    opacity = np.clip((ink - 0.36) / 0.2, 0, 1)
    rows = np.flatnonzero(opacity.max(1))
    columns = np.flatnonzero(opacity.max(0))
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def paint_background(rng: Generator, size: int) -> np.ndarray:
    """A gradient, noise, stripes or a checker board in two similar colours.

    Returns:
        np.ndarray: float32 BGR in 0..1, ``(size, size, 3)``.
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    turn = rng.uniform(0, 2 * np.pi)
    u = np.cos(turn) * x + np.sin(turn) * y
    v = np.cos(turn) * y - np.sin(turn) * x
    kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    if kind == 'gradient':
        mix = (u - u.min()) / (u.max() - u.min())
    elif kind == 'noise':
        mix = np.zeros((size, size), np.float32)
        for cells in (3, 6, 12):
            grid = rng.random((cells, cells), np.float32)
            octave = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
            mix += octave * 3 / cells
        mix = np.clip(mix / 1.75, 0, 1)
    else:
        waves = 2 * np.pi * rng.uniform(3, 9)
        pattern = np.sin(waves * u)
        if kind == 'checker':
            pattern = pattern * np.sin(waves * v)
        mix = 0.5 + 0.5 * np.tanh(3 * pattern)
    first = random_color(rng, rng.uniform(0.1, 0.9))
    second = np.clip(first + rng.uniform(-0.25, 0.25, 3), 0, 1)
    canvas = first + mix[..., None] * (second - first)
    grain = rng.normal(0, rng.uniform(0, 0.04), (size, size, 1))
    return np.clip(canvas + grain, 0, 1).astype(np.float32)


def random_color(rng: Generator, brightness: float) -> np.ndarray:
    """A colour of the given mean brightness with a little hue."""
    hue = rng.uniform(-0.15, 0.15, 3)
    return np.clip(brightness + hue - hue.mean(), 0, 1)


def contrasting_color(rng: Generator, brightness: float) -> np.ndarray:
    """A colour that is clearly lighter or darker than ``brightness``."""
    contrast = rng.uniform(0.35, 0.7)
    sides = [s for s in (-1, 1) if 0 <= brightness + s * contrast <= 1]
    if not sides:  # a middle tone: towards the farther end
        sides = [1 if brightness < 0.5 else -1]
    target = brightness + sides[rng.integers(len(sides))] * contrast
    return random_color(rng, float(np.clip(target, 0, 1)))


@dataclass
class _Placed:
    """A digit on the canvas: ``mask`` is visible so far, ``area`` of all of it."""

    sample: int
    box: tuple[int, int, int, int]  # y1, x1, y2, x2
    mask: np.ndarray
    area: int
    color: np.ndarray

    def tolerates(self, other: '_Placed', visible: int) -> bool:
        """Whether ``other`` may lie in front and leave ``visible`` pixels of this."""
        if visible < MIN_VISIBLE * self.area:
            return False
        if box_iou(self.box, other.box) > MAX_BOX_IOU:
            return False
        touches = (self.mask & other.mask).any()
        return not touches or np.abs(self.color - other.color).max() > MIN_COLOR_GAP


def box_iou(a: tuple, b: tuple) -> float:
    """Overlap of two boxes (y1, x1, y2, x2)."""
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(height, 0) * max(width, 0)
    areas = sum((y2 - y1) * (x2 - x1) for y1, x1, y2, x2 in (a, b))
    return inter / (areas - inter)


class SceneComposer:
    """Place handwritten digits on a painted background.

    Digits lie wholly inside the picture and may cover one another, but each
    keeps at least ``MIN_VISIBLE`` of its area; a digit that finds no place is
    left out, the first one always finds one.

    Args:
        images (np.ndarray): Samples ``(K, 8, 8)``, values 0 to 16.
        targets (np.ndarray): Their digits, ``(K,)``.
        image_size (int): Height and width of the scenes.
        heights (tuple[float, float]): Range of the digits' height, as a share of
            ``image_size``.
        max_angle (float): Largest rotation in degrees. Defaults to 15.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        image_size: int,
        heights: tuple[float, float],
        max_angle: float = 15.0,
    ) -> None:
        self.images = images
        self.targets = targets
        self.image_size = image_size
        self.heights = heights
        self.max_angle = max_angle

    def compose(self, rng: Generator, samples: np.ndarray) -> Scene:
        """Compose one scene of the samples with these indices, back to front."""
        canvas = paint_background(rng, self.image_size)
        placed: list[_Placed] = []
        for sample in samples:
            for _ in range(PLACE_ATTEMPTS):
                opacity, new = self._propose(rng, int(sample), canvas)
                left = [old.mask & ~new.mask for old in placed]
                if new.area and all(
                    old.tolerates(new, int(mask.sum()))
                    for old, mask in zip(placed, left, strict=True)
                ):
                    break
            else:
                continue
            canvas += opacity[..., None] * (new.color - canvas)
            for old, mask in zip(placed, left, strict=True):
                old.mask = mask
            placed.append(new)
        return Scene(
            np.rint(canvas * 255).astype(np.uint8),
            [Instance(int(self.targets[p.sample]), p.sample, p.mask) for p in placed],
        )

    def _propose(
        self, rng: Generator, sample: int, canvas: np.ndarray
    ) -> tuple[np.ndarray, '_Placed']:
        """Opacity ``(H, W)`` of a digit of random size, angle, place and colour."""
        size = self.image_size
        glyph = render_glyph(
            self.images[sample],
            rng.uniform(*self.heights) * size,
            rng.uniform(-self.max_angle, self.max_angle),
        )[:size, :size]
        y, x = (int(rng.integers(size - extent + 1)) for extent in glyph.shape)
        box = (y, x, y + glyph.shape[0], x + glyph.shape[1])
        opacity = np.zeros((size, size), np.float32)
        opacity[box[0] : box[2], box[1] : box[3]] = glyph
        mask = opacity >= 0.5
        around = float(canvas[box[0] : box[2], box[1] : box[3]].mean())
        color = contrasting_color(rng, around)
        return opacity, _Placed(sample, box, mask, int(mask.sum()), color)
