"""Layers on tokens: which place of the image a token stands for."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

Size = tuple[int, int]


class TokenLayoutError(ValueError):
    """Where in the image the tokens of a layer are is not known."""


@dataclass(frozen=True)
class TokenLayout:
    """How a layer that works on tokens arranges them, row by row.

    Args:
        grid (tuple[int, int], optional): Rows and columns. None: what the layer gets
            or gives beside its tokens, as layers of OpenMMLab do; else the size of the
            image over one stride, see :func:`grid_of_image`.
        channels_last (bool): ``(..., L, C)`` if True, else ``(..., C, L)``.
            Defaults to True.
        class_tokens (int): Tokens in front that stand for no place.
            Defaults to 0.

    Raises:
        ValueError: If a number is negative, or the grid has other than two sides.
    """

    grid: Size | None = None
    channels_last: bool = True
    class_tokens: int = 0

    def __post_init__(self) -> None:
        grid = self.grid or (1, 1)
        if self.class_tokens < 0 or len(grid) != 2 or min(grid) < 1:
            raise ValueError(
                f'expected rows, columns and a number of class tokens, but got {self}'
            )

    def places(self, tokens: Tensor) -> Tensor:
        """Tokens that stand for places: ``(B, L, C)`` or ``(B, C, L) -> (B, C, L)``."""
        tokens = tokens.mT if self.channels_last else tokens
        return tokens[..., self.class_tokens :]


def grid_of_image(count: int, image_size: Size) -> Size | None:
    """Rows and columns of tokens that have one stride in an image.

    The stride is a power of two, with sides that are rounded up, or one that divides
    both sides of the image. There is at most one such grid, since both of its sides
    shrink as the stride grows.

    Args:
        count (int): Number of tokens.
        image_size (tuple[int, int]): Height and width.

    Returns:
        tuple[int, int]: Rows and columns; None if there is no such grid.
    """
    for stride in range(1, 2 * max(image_size)):
        grid = tuple(-(-side // stride) for side in image_size)
        divides = all(side % stride == 0 for side in image_size)
        if math.prod(grid) == count and (divides or stride & (stride - 1) == 0):
            return grid
    return None


def told_grids(*values: object) -> Iterator[Size]:
    """Pairs of numbers among what a layer gets or gives, such as ``hw_shape``."""
    for value in values:
        items = value.values() if isinstance(value, Mapping) else value
        for item in items if isinstance(value, Mapping | tuple | list) else ():
            pair = isinstance(item, tuple | list) and len(item) == 2
            if pair and all(isinstance(side, int) for side in item):
                yield tuple(item)


def tokens_to_map(
    tokens: Tensor,
    layout: TokenLayout | None,
    image_size: Size,
    told: tuple[Size, ...] = (),
) -> tuple[Tensor, str]:
    """Tokens on their grid.

    Args:
        tokens (Tensor): ``(B, L, C)``, or ``(B, C, L)`` if the layout says so.
        layout (TokenLayout, optional): None: the layer itself has to tell its grid.
        image_size (tuple[int, int]): Height and width of the network's input.
        told (tuple[tuple[int, int]]): Grids that the layer may mean; those with
            another number of places are of something else.

    Returns:
        tuple[Tensor, str]: The map ``(B, C, h, w)``, and where its grid is from.

    Raises:
        TokenLayoutError: If the grid is not known, or is not that of these tokens.
    """
    shape = tuple(tokens.shape)
    places = (layout or TokenLayout()).places(tokens)  # (B, C, L)
    count = places.shape[-1]
    told = {grid for grid in told if math.prod(grid) == count}
    if layout is not None and layout.grid is not None:
        grid, source = tuple(layout.grid), 'given'
    elif len(told) == 1:
        grid, source = told.pop(), 'told by the layer'
    elif layout is None:
        raise TokenLayoutError(
            f'for tokens of the shape {shape}, their rows and columns, the order of '
            'axes and the number of class tokens have to be told'
        )
    else:
        grid, source = grid_of_image(count, image_size), 'size of the image / stride'
    if grid is None or math.prod(grid) != count:
        size = ' x '.join(map(str, image_size))
        wanted = f'grid of {grid}' if grid else f'image of {size} at any one stride'
        raise TokenLayoutError(
            f'of tokens of the shape {shape}, {count} fill no {wanted}; there may be '
            'class tokens in front, windows instead of the image, or another grid or '
            'order of axes'
        )
    return places.unflatten(-1, grid), source
