"""Figures of receptive fields, of one model or of several side by side.

Every function takes one :class:`~snndense.analysis.st_erf.STERFResult` or a dict of
them by label, and returns a matplotlib figure; none is shown.
"""

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .st_erf import LayerERF, STERFResult
from .st_erf_stats import contribution_area, radial_profile

Results = STERFResult | dict[str, STERFResult]

# of Okabe and Ito, told apart by colour-blind readers too
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#4D4D4D')
STYLES = ('-', '--', ':', '-.')
PANEL = 2.3  # inches
LOG_FLOOR = 1e-6
MAX_COLUMNS = 6
SHORT = 28  # characters of a title


def _by_label(results: Results) -> dict[str, STERFResult]:
    if isinstance(results, STERFResult):
        results = {results.meta.get('model', 'model'): results}
    if not results:
        raise ValueError('expected at least one result to draw, but got none')
    return results


def _layers(results: dict[str, STERFResult]) -> list[str]:
    """Names of all layers, in order; those of several models may differ."""
    return list(dict.fromkeys(k for r in results.values() for k in r.per_layer))


def _short(name: str) -> str:
    return name if len(name) <= SHORT else f'…{name[1 - SHORT :]}'


def _volume(erf: LayerERF) -> np.ndarray:
    """Maps ``(D, H, W)`` of a layer, D = 1 without delays."""
    if erf.map.ndim not in (2, 3):
        raise ValueError(
            'expected maps (H, W) or (D, H, W), but got the shape '
            f"{erf.map.shape}; measure with reduce='mean' and per_channel=False"
        )
    return erf.map if erf.map.ndim == 3 else erf.map[None]


def _panels(
    results: dict[str, STERFResult],
) -> Iterator[tuple[int, int, str, str, np.ndarray, LayerERF]]:
    """Row, column, title, label of the row, map, and layer of every panel."""
    layers = _layers(results)
    with_delays = any(
        len(_volume(erf)) > 1 for r in results.values() for erf in r.per_layer.values()
    )
    row = 0
    for label, result in results.items():
        for index, layer in enumerate(layers):
            if layer not in result.per_layer:
                continue
            erf = result.per_layer[layer]
            maps = _volume(erf)
            if with_delays:
                for delay, panel in enumerate(maps):
                    name = f'{label}\n{_short(layer)}'
                    yield row, delay, f'delay {delay}', name, panel, erf
                row += 1
            else:
                at = row + index // MAX_COLUMNS, index % MAX_COLUMNS
                yield *at, _short(layer), label, maps[0], erf
        if not with_delays:
            row += math.ceil(len(layers) / MAX_COLUMNS)


def plot_erf(
    results: Results, *, log: bool = False, cmap: str = 'gray', shared: bool = False
) -> Figure:
    """Maps: a row per model and a column per layer, or a row per layer with delays.

    The delays of a layer have a common scale, whose maximum is 1.

    Args:
        results (STERFResult | dict): With maps.
        log (bool): Whether to show ``log10(m / max + 1e-6)``. Defaults to False.
        cmap (str): Colour map. Defaults to ``'gray'``, as published.
        shared (bool): Whether all maps have one scale; gradients of different
            models and layers differ in magnitude for reasons of their own.
            Defaults to False.
    """
    results = _by_label(results)
    panels = list(_panels(results))
    rows, columns = (max(panel[axis] for panel in panels) + 1 for axis in (0, 1))
    figure = Figure((PANEL * columns + 1.2, PANEL * rows + 0.4), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    largest = max(panel.max() for *_, panel, _ in panels)
    image, titles = None, {}
    for row, column, title, label, panel, erf in panels:
        axis = axes[row, column]
        axis.set_axis_on()
        axis.set(xticks=[], yticks=[])
        if titles.get(column) != title:
            axis.set_title(title)
            titles[column] = title
        if column == 0:
            axis.set_ylabel(label)
        top = largest if shared else erf.map.max()
        shown = panel / (top or 1)
        shown = np.log10(shown + LOG_FLOOR) if log else shown
        bounds = (math.log10(LOG_FLOOR), 0) if log else (0, 1)
        image = axis.imshow(
            shown, cmap, vmin=bounds[0], vmax=bounds[1], interpolation='nearest'
        )
    name = 'share of the\nmaximum of ' + ('all' if shared else 'the layer')
    bar = figure.colorbar(image, ax=axes[: min(rows, 3)], aspect=15 * min(rows, 3))
    bar.set_label(f'log10 of the {name}' if log else name)
    return figure


def _layer_axes(
    results: dict[str, STERFResult], rows: int = 1
) -> tuple[Figure, dict[str, list[Axes]]]:
    """A figure with a column of axes per layer."""
    layers = _layers(results)
    columns = min(len(layers), MAX_COLUMNS)
    blocks = math.ceil(len(layers) / columns)
    size = (PANEL * 1.35 * columns + 0.8, PANEL * rows * blocks + 0.6)
    figure = Figure(size, layout='constrained')
    axes = figure.subplots(rows * blocks, columns, squeeze=False, sharey='row')
    by_layer = {}
    for index, layer in enumerate(layers):
        block, column = divmod(index, columns)
        by_layer[layer] = list(axes[block * rows : (block + 1) * rows, column])
        by_layer[layer][0].set_title(_short(layer))
    for index in range(len(layers), blocks * columns):
        for axis in axes[-rows:, index % columns]:
            axis.set_axis_off()
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    return figure, by_layer


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc='outside lower center', ncols=4)


def plot_profiles(results: Results) -> Figure:
    """Radial profiles, and cuts through the row and column of the seeded unit.

    Each is over the maximum of its map; maps of several delays are added up.

    Raises:
        ValueError: If the results have no seeded unit (``unit='all'``).
    """
    results = _by_label(results)
    figure, axes = _layer_axes(results, rows=2)
    for index, (label, result) in enumerate(results.items()):
        style = dict(color=COLORS[index % len(COLORS)], lw=1.2)
        for layer, erf in result.per_layer.items():
            if erf.position is None:
                raise ValueError("profiles need a seeded unit, but got unit='all'")
            radial, cuts = axes[layer]
            image = _volume(erf).sum(0)
            image = image / (image.max() or 1)
            profile = radial_profile(image, erf.position)
            radial.semilogy(np.maximum(profile, LOG_FLOOR), label=label, **style)
            row, column = (round(place) for place in erf.position)
            cuts.plot(np.arange(image.shape[1]) - column, image[row], **style)
            cuts.plot(np.arange(image.shape[0]) - row, image[:, column], ':', **style)
            radial.set(xlabel='distance (pixels)')
            cuts.set(xlabel='row (–) and column (···)')
    first = next(iter(axes.values()))
    first[0].set_ylabel('mean over the ring')
    first[1].set_ylabel('cut')
    _legend(figure, first[0])
    return figure


def plot_areas(results: Results, quantiles: tuple[float, ...] = (0.5, 0.9)) -> Figure:
    """Contribution area per layer: pixels that, strongest first, hold a share.

    Args:
        results (STERFResult | dict): With maps; those of several delays are added up.
        quantiles (tuple[float]): The shares. Default to (0.5, 0.9).
    """
    results = _by_label(results)
    layers = _layers(results)
    figure = Figure((max(1.1 * len(layers), 3) + 2.5, 3.6), layout='constrained')
    axis = figure.add_subplot()
    for index, (label, result) in enumerate(results.items()):
        places = [layers.index(layer) for layer in result.per_layer]
        maps = [_volume(erf).sum(0) for erf in result.per_layer.values()]
        for number, quantile in enumerate(quantiles):
            areas = [contribution_area(m, quantile) if m.any() else 0 for m in maps]
            axis.plot(
                places,
                areas,
                STYLES[number % len(STYLES)],
                marker='o',
                markersize=4,
                color=COLORS[index % len(COLORS)],
                label=f'{label}, {quantile:.0%}'
                if len(results) > 1
                else f'{quantile:.0%}',
            )
    axis.set_xticks(range(len(layers)), [_short(layer) for layer in layers])
    axis.tick_params('x', rotation=20 if len(layers) > 4 else 0)
    axis.set(ylabel='share of the image', ylim=(0, None))
    axis.grid(alpha=0.3)
    figure.legend(loc='outside right upper', fontsize='small')
    return figure


def plot_temporal(results: Results, *, log: bool = False) -> Figure:
    """Temporal profiles: what every delay contributes, over the largest.

    Args:
        results (STERFResult | dict): With delays: maps or profiles.
        log (bool): Logarithmic scale. Defaults to False.
    """
    results = _by_label(results)
    figure, axes = _layer_axes(results)
    for index, (label, result) in enumerate(results.items()):
        for layer, erf in result.per_layer.items():
            profile = erf.map if erf.map.ndim == 1 else _volume(erf).sum((1, 2))
            (axis,) = axes[layer]
            axis.plot(
                profile / (profile.max() or 1),
                'o-',
                markersize=4,
                color=COLORS[index % len(COLORS)],
                label=label,
            )
            axis.set_xticks(range(len(profile)))
            axis.set(xlabel='delay (steps)', yscale='log' if log else 'linear')
            if not log:
                axis.set_ylim(0, 1.05)
    first = next(iter(axes.values()))[0]
    first.set_ylabel('share of the largest')
    _legend(figure, first)
    return figure
