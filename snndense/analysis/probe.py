"""Reading layers of a network while it runs, for the gradient of what they say."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .evaluation import reset_states
from .layers import pick_tensor, unfold_map
from .tokens import Size, TokenLayout, tokens_to_map, told_grids


@dataclass(frozen=True)
class Seed:
    """Which numbers of a layer are summed; arguments of ``st_erf``.

    Args:
        unit (str | tuple[int, int]): Place in the layer's grid, ``'center'`` or
            ``'all'``.
        time (str | int): Step, or ``'all'``.
        channels (str | int | sequence): ``'sum'`` or the ones to sum.
        signal (str | int): ``'output'``, ``'input'``, or an index or key.

    Raises:
        ValueError: If ``unit`` is something else.
    """

    unit: str | tuple[int, int]
    time: str | int
    channels: str | int | Sequence[int]
    signal: str | int

    def __post_init__(self) -> None:
        unit = self.unit
        if unit not in ('center', 'all') and (isinstance(unit, str) or len(unit) != 2):
            raise ValueError(
                "expected unit to be 'center', 'all' or (row, column), but got "
                f'{unit!r}'
            )


class Probe:
    """Reads one layer while the network runs.

    Attributes:
        objective (Tensor, optional): Sum of the seeded numbers over all samples.
        grid (tuple[int, int]): Rows and columns of the layer's map.
        unit (tuple[int, int], optional): Row and column that are seeded; None: all.
        tokens (str, optional): Where the grid is from, of a layer on tokens.
    """

    def __init__(
        self,
        name: str,
        steps: int,
        x: Tensor,
        seed: Seed,
        layout: TokenLayout | None,
    ) -> None:
        self.name = name
        self.steps, self.batch_size, self.layout = steps, len(x), layout
        self.image_size = tuple(x.shape[-2:])
        self.seed = seed
        self.objective: Tensor | None = None
        self.tokens: str | None = None

    def attach(self, module: nn.Module) -> RemovableHandle:
        if self.seed.signal == 'input':
            return module.register_forward_pre_hook(
                lambda _, args, kwargs: self.read(args, told_grids(args, kwargs)),
                with_kwargs=True,
            )
        return module.register_forward_hook(
            lambda _, args, kwargs, output: self.read(
                output, told_grids(output, args, kwargs)
            ),
            with_kwargs=True,
        )

    def read(self, value: object, told: Iterable[Size]) -> None:
        # reduced at once: the layer behind may overwrite the map in place
        if self.objective is not None:
            raise ValueError(
                f'layer {self.name!r} runs several times in a forward pass, so that '
                'it has no receptive field of its own; choose a layer around it'
            )
        signal = self.seed.signal
        x = pick_tensor(value, None if signal in ('input', 'output') else signal)
        y = self._unfold(x, tuple(told))  # (T, N, C, h, w)
        self.grid = tuple(y.shape[-2:])
        self.unit = self._resolve_unit()
        y = self._select_channels(self._select_step(y))
        if self.unit is not None:
            y = y[..., self.unit[0], self.unit[1]]
        self.objective = y.sum()

    def _unfold(self, x: Tensor, told: tuple[Size, ...]) -> Tensor:
        sizes = (self.steps, self.batch_size)
        in_order = self.layout is not None and x.dim() == 4 and x.shape[:2] == sizes
        tokens = x.flatten(0, 1) if in_order else x  # (T*N, L, C), (N, L, C) or a map
        try:
            if tokens.dim() == 3 and len(tokens) in (math.prod(sizes), self.batch_size):
                x, self.tokens = tokens_to_map(
                    tokens, self.layout, self.image_size, told
                )
            return unfold_map(x, *sizes)
        except ValueError as error:
            raise type(error)(f'layer {self.name!r}: {error}') from None

    def _select_step(self, y: Tensor) -> Tensor:
        time = self.seed.time
        if time == 'all':
            return y
        if len(y) < self.steps:
            raise ValueError(
                f'layer {self.name!r} has one map for all {self.steps} steps, but step '
                f"{time} was asked for; use mode='spatial' with time='all', or a "
                "backbone with out_mode='sequence'"
            )
        return y[time : time + 1]

    def _select_channels(self, y: Tensor) -> Tensor:
        channels = self.seed.channels
        if channels == 'sum':
            return y
        try:
            return y[:, :, [channels] if isinstance(channels, int) else list(channels)]
        except IndexError as error:
            raise ValueError(
                f'layer {self.name!r} has {y.shape[2]} channels, but got {channels=}'
            ) from error

    def _resolve_unit(self) -> tuple[int, int] | None:
        unit, (height, width) = self.seed.unit, self.grid
        if unit == 'all':
            return None
        if unit == 'center':
            return height // 2, width // 2
        row, column = unit
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f'layer {self.name!r} has a grid of {self.grid}, but got {unit=}'
            )
        return row, column

    def position(self) -> tuple[float, float] | None:
        """The unit in the image: the middle of what a cell of the grid covers."""
        if self.unit is None:
            return None
        return tuple(
            (cell + 0.5) * size / cells - 0.5
            for cell, size, cells in zip(
                self.unit, self.image_size, self.grid, strict=True
            )
        )

    def gradient(self, x: Tensor, keep_graph: bool) -> Tensor:
        """Gradient of the objective with respect to ``x``, the network's input."""
        if self.objective is None:
            raise ValueError(
                f'layer {self.name!r} did not run in the forward pass; containers such '
                'as ModuleList never do: choose a layer inside'
            )
        grad = None
        if self.objective.requires_grad:
            (grad,) = torch.autograd.grad(
                self.objective, x, retain_graph=keep_graph, allow_unused=True
            )
        if grad is None:
            raise ValueError(f'layer {self.name!r} has no gradient to the input')
        return grad


def run_probes(
    model: nn.Module,
    forward: Callable[[Tensor], object],
    selected: dict[str, nn.Module],
    x: Tensor,
    steps: int,
    seed: Seed,
    layout: TokenLayout | None,
) -> dict[str, Probe]:
    """Run the network once and read all layers."""
    probes = {name: Probe(name, steps, x, seed, layout) for name in selected}
    reset_states(model)
    with ExitStack() as stack:
        for name, module in selected.items():
            stack.callback(probes[name].attach(module).remove)
        with torch.inference_mode(False), torch.enable_grad():
            forward(x)
    return probes
