"""Spatial, temporal and spatio-temporal effective receptive field (ST-ERF)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .evaluation import differentiable_evaluation
from .layers import Layers, select_layers
from .probe import Seed, run_probes
from .tokens import TokenLayout

MODES = ('spatial', 'temporal', 'spatiotemporal')
TIMES = ('all', 'first', 'last')
REDUCTIONS = ('mean', 'sum', 'none')
NORMALIZATIONS = (None, 'max', 'sum')


@dataclass(frozen=True)
class LayerERF:
    """Receptive field of one layer.

    Attributes:
        map (np.ndarray): ``(H, W)``, with delays ``(D, H, W)``, or a profile ``(D,)``;
            one more axis for ``per_channel`` (in front of H) and for
            ``reduce='none'`` (the first).
        grid (tuple[int, int]): Rows and columns of the layer's own map.
        position (tuple[float, float], optional): Where the seeded unit is in the
            image, row and column in pixels; None for ``unit='all'``.
        tokens (str, optional): Where the grid is from, of a layer on tokens.
    """

    map: np.ndarray
    grid: tuple[int, int]
    position: tuple[float, float] | None
    tokens: str | None = None


@dataclass(frozen=True)
class STERFResult:
    """What :func:`st_erf` measured.

    Attributes:
        per_layer (dict[str, LayerERF]): By layer, in the order asked for.
        n_images (int): Images measured.
        meta (dict): Every setting of the measurement.
    """

    per_layer: dict[str, LayerERF]
    n_images: int
    meta: dict = field(default_factory=dict)

    @property
    def map(self) -> np.ndarray:
        """The map of the only layer.

        Raises:
            ValueError: If there are several.
        """
        if len(self.per_layer) > 1:
            raise ValueError(f'choose one of the layers {tuple(self.per_layer)}')
        return next(iter(self.per_layer.values())).map


def st_erf(
    model: nn.Module,
    layers: Layers | None = None,
    images: Tensor | Iterable[Tensor] | None = None,
    *,
    mode: str = 'spatial',
    unit: str | tuple[int, int] = 'center',
    time: str | int | None = None,
    channels: str | int | Sequence[int] = 'sum',
    signal: str | int = 'output',
    per_channel: bool = False,
    reduce: str = 'mean',
    normalize: str | None = None,
    tokens: TokenLayout | None = None,
    time_steps: int | None = None,
    forward: Callable[[Tensor], object] | None = None,
    batch_size: int = 4,
    num_images: int = 20,
    image_size: tuple[int, int] = (224, 224),
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> STERFResult:
    """Effective receptive field of layers: ``|d y[t, u, v] / d x[t - n, i, j]|``.

    The absolute gradient of what a layer says at one place, with respect to the
    input, averaged over images (https://arxiv.org/abs/2510.21403; the definitions
    are those of its published code, see ``docs/st_erf.md``). The model is measured
    in evaluation mode and left as it was. One backward pass per layer and batch
    serves all samples, which do not meet in evaluation, and all delays.

    Args:
        model (nn.Module): A backbone, or any network from images to maps.
        layers (str | nn.Module | sequence, optional): See
            :func:`~snndense.analysis.layers.select_layers`. None: the attention
            projections that the backbone names in ``erf_layers()``.
        images (Tensor | Iterable[Tensor], optional): Normalised images
            ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)``, at once or in
            batches. None: standard normal noise, of the next three arguments.
        mode (str): ``'spatial'`` maps the image, before it is repeated over time (of
            event frames, the sum over steps); ``'spatiotemporal'`` has a map per
            delay n, 0 first, every step of a repeated image being an input of its
            own; ``'temporal'`` sums each of those to a number.
            Defaults to ``'spatial'``.
        unit (str | tuple[int, int]): Seeded unit, row and column in the layer's own
            grid, ``'center'`` (``h // 2, w // 2``) or ``'all'``.
        time (str | int, optional): Seeded steps: ``'all'``, ``'first'``, ``'last'``
            or one. Delays count back from it. None: ``'all'`` in mode ``'spatial'``,
            else ``'last'``.
        channels (str | int | sequence): Seeded channels: ``'sum'`` for all.
        signal (str | int): What of the layer is read: ``'output'``, ``'input'``, or
            an index or key where it gives several tensors.
        per_channel (bool): Whether to keep input channels apart instead of
            averaging over them.
        reduce (str): Over images: ``'mean'``, ``'sum'`` or ``'none'``.
        normalize (str, optional): Divide the map, with all its delays, by its
            ``'max'`` or ``'sum'``; in mode ``'temporal'``, before it is summed.
        tokens (TokenLayout, optional): For layers that work on tokens and do not
            tell their own grid.
        time_steps (int, optional): T. None: what the model or its parts say, else
            the number of event frames, else 1.
        forward (callable, optional): Runs the network on a batch, such as
            ``detector.extract_feat``. None: the model itself.
        batch_size (int): Images at a time, unless they come in batches.
            Defaults to 4.
        num_images, image_size, generator: Count, height and width, and random
            numbers of the noise. Default to 20, (224, 224) and torch's own.
        progress (bool): Whether to show a progress bar.

    Returns:
        STERFResult: Maps by layer.

    Raises:
        ValueError: For a setting, layer or image that does not fit.
    """
    _check_options(mode=mode, reduce=reduce, normalize=normalize)
    if layers is None:
        layers = _default_layers(model)
    selected = select_layers(model, layers)
    meta = dict(
        model=type(model).__name__,
        images='given' if images is not None else 'noise',
        mode=mode,
        unit=unit,
        channels=channels,
        signal=signal,
        per_channel=per_channel,
        reduce=reduce,
        normalize=normalize,
    )
    if images is None:
        shape = (num_images, getattr(model, 'in_channels', 3), *image_size)
        images = torch.randn(shape, generator=generator)
    batches = images.split(batch_size) if isinstance(images, Tensor) else images
    bar = tqdm(
        total=len(batches) * len(selected) if hasattr(batches, '__len__') else None,
        desc='ST-ERF',
        unit='map',
        disable=None if progress else True,
    )
    sums = {name: _Sum(reduce) for name in selected}
    fields, n_images = {}, 0
    with differentiable_evaluation(model), bar:
        for batch in batches:
            steps = find_time_steps(model, batch, time_steps)
            step = resolve_time(time, steps, mode)
            seed = Seed(unit, step, channels, signal)
            x = _leaf(batch, model, steps, mode)
            probes = run_probes(
                model, forward or model, selected, x, steps, seed, tokens
            )
            for index, (name, probe) in enumerate(probes.items(), start=1):
                grad = probe.gradient(x, keep_graph=index < len(probes))
                sums[name].add(_magnitude(grad, mode, step, per_channel))
                fields[name] = (probe.grid, probe.position(), probe.tokens)
                bar.update()
            n_images += len(batch)
            meta.update(time=step, time_steps=steps, image_size=tuple(x.shape[-2:]))
    if not n_images:
        raise ValueError('expected at least one image, but got none')
    per_layer = {
        name: LayerERF(_finish(sums[name].result(), mode, normalize), *fields[name])
        for name in selected
    }
    return STERFResult(per_layer, n_images, meta)


def _check_options(**options: object) -> None:
    choices = dict(mode=MODES, reduce=REDUCTIONS, normalize=NORMALIZATIONS)
    for name, value in options.items():
        if value not in choices[name]:
            raise ValueError(
                f'expected {name} to be one of {choices[name]}, but got {value!r}'
            )


def _default_layers(model: nn.Module) -> list[str]:
    names = model.erf_layers() if hasattr(model, 'erf_layers') else []
    if not names:
        children = ', '.join(name for name, _ in model.named_children())
        raise ValueError(
            f'{type(model).__name__} names no layers to measure at; give layers, names '
            f'or patterns below {children}'
        )
    return names


def find_time_steps(model: nn.Module, batch: Tensor, given: int | None = None) -> int:
    """T: as given, as parts of the model tell, or the number of event frames."""
    if batch.dim() not in (4, 5):
        raise ValueError(
            'expected images (N, C, H, W) or event frames (N, T, C, H, W), but got '
            f'{tuple(batch.shape)}'
        )
    if given is not None:
        return given
    told = {m.time_steps for m in model.modules() if hasattr(m, 'time_steps')}
    if len(told) > 1:
        raise ValueError(f'parts of the model have time_steps {told}; give time_steps')
    return told.pop() if told else batch.shape[1] if batch.dim() == 5 else 1


def resolve_time(time: str | int | None, steps: int, mode: str) -> str | int:
    """The seeded step of ``steps``, or ``'all'``; see :func:`st_erf`."""
    if time is None:
        time = 'all' if mode == 'spatial' else 'last'
    if time == 'all' and mode != 'spatial':
        if steps > 1:
            raise ValueError(
                f"delays count back from one step, but got time='all' in {mode=}; "
                "use 'last', 'first' or a number"
            )
        return 0
    if time == 'all':
        return time
    step = {'first': 0, 'last': steps - 1}.get(time, time)
    if not isinstance(step, int) or not -steps <= step < steps:
        raise ValueError(
            f'expected time to be one of {TIMES} or a step of {steps}, counted from 0, '
            f'but got {time!r}'
        )
    return step % steps


def _leaf(batch: Tensor, model: nn.Module, steps: int, mode: str) -> Tensor:
    """The input to differentiate: with delays, every step an entry of its own."""
    parameter = next(model.parameters(), batch)
    x = batch.detach().to(parameter.device, parameter.dtype)
    if mode != 'spatial' and steps > 1 and x.dim() == 4:
        x = x.unsqueeze(1).expand(-1, steps, -1, -1, -1)
    return x.clone().requires_grad_()


def _magnitude(grad: Tensor, mode: str, step: str | int, per_channel: bool) -> Tensor:
    """``|g|`` over input channels and, with delays, from the seeded step back."""
    grad = grad.abs()
    if mode == 'spatial' and grad.dim() == 5:
        grad = grad.sum(1)
    if mode != 'spatial':
        grad = grad if grad.dim() == 5 else grad.unsqueeze(1)  # one step
        grad = grad[:, : step + 1].flip(1)  # (N, D, C, H, W)
    return grad if per_channel else grad.mean(-3)


class _Sum:
    """Running sum over images, in float64."""

    def __init__(self, reduce: str) -> None:
        self.reduce = reduce
        self.parts: list[np.ndarray] = []
        self.count = 0

    def add(self, maps: Tensor) -> None:
        maps = maps.double().cpu().numpy()
        self.count += len(maps)
        if self.reduce != 'none':
            maps = maps.sum(0, keepdims=True)
            if self.parts:
                if self.parts[0].shape != maps.shape:
                    raise ValueError(
                        'maps of images of different sizes cannot be averaged; resize '
                        "them to one size or use reduce='none'"
                    )
                maps = maps + self.parts.pop()
        self.parts.append(maps)

    def result(self) -> np.ndarray:
        if self.reduce == 'none':
            return np.concatenate(self.parts)
        total = self.parts[0][0]
        return total / self.count if self.reduce == 'mean' else total


def _finish(maps: np.ndarray, mode: str, normalize: str | None) -> np.ndarray:
    if normalize is not None:
        total = maps.max() if normalize == 'max' else maps.sum()
        maps = maps / total if total > 0 else maps
    return maps.sum((-2, -1)) if mode == 'temporal' else maps
