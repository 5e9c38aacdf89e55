"""Figures of receptive fields, of one model or of several side by side.

Every function takes one :class:`~snndense.analysis.st_erf.STERFResult` or a dict of
them by label, and returns a matplotlib figure; none is shown. Figures grow with the
panels and with matplotlib's ``font.size``.
"""

import math
from collections.abc import Iterator

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from .st_erf import LayerERF, STERFResult
from .st_erf_stats import contribution_area, radial_profile

Results = STERFResult | dict[str, STERFResult]

# of Okabe and Ito, told apart by colour-blind readers too
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#4D4D4D')
STYLES = ('-', '--', ':', '-.')
PANEL = 2.3  # inches
LOG_FLOOR = 1e-6
COLUMNS = 6
LETTER = 0.7  # width of one in a title over the size of the font


def _by_label(results: Results) -> dict[str, STERFResult]:
    if isinstance(results, STERFResult):
        results = {results.meta.get('model', 'model'): results}
    if not results:
        raise ValueError('expected at least one result to draw, but got none')
    return results


def _layers(results: dict[str, STERFResult]) -> list[str]:
    """Names of all layers, in order; those of several models may differ."""
    return list(dict.fromkeys(k for r in results.values() for k in r.per_layer))


def _lines(name: str, inches: float) -> str:
    """A dotted name in lines that fit, as far as its parts do."""
    most = inches * 72 / (LETTER * rcParams['font.size'])
    lines = ['']
    for part in name.replace('.', '.\n').split('\n'):
        if len(lines[-1] + part) > most:
            lines.append('')
        lines[-1] += part
    return '\n'.join(filter(None, lines))


def _margin(inches: float, *texts: str) -> float:
    """What letters of 10 points need, for those that are set; more for more lines."""
    lines = max((text.count('\n') for text in texts), default=0)
    return (inches + 0.18 * lines) * rcParams['font.size'] / 10


def _volume(erf: LayerERF) -> np.ndarray:
    """Maps ``(D, H, W)`` of a layer, D = 1 without delays."""
    if erf.map.ndim not in (2, 3):
        raise ValueError(
            'expected maps (H, W) or (D, H, W), but got the shape '
            f"{erf.map.shape}; measure with reduce='mean' and per_channel=False"
        )
    return erf.map if erf.map.ndim == 3 else erf.map[None]


def _panels(
    results: dict[str, STERFResult], size: float, columns: int
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
                    name = f'{label}\n{_lines(layer, size)}'.strip()
                    yield row, delay, f'delay {delay}', name, panel, erf
                row += 1
            else:
                at = row + index // columns, index % columns
                yield *at, _lines(layer, size), label, maps[0], erf
        if not with_delays:
            row += math.ceil(len(layers) / columns)


def plot_erf(
    results: Results,
    *,
    log: bool = False,
    cmap: str = 'gray',
    shared: bool = False,
    size: float = PANEL,
    columns: int = COLUMNS,
    bar: str = 'right',
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
        size (float): Of a panel, in inches. Defaults to 2.3.
        columns (int): Layers side by side; delays are all in one row. Defaults to 6.
        bar (str): Where the scale is, ``'right'`` or ``'bottom'``.
    """
    results = _by_label(results)
    panels = list(_panels(results, size, columns))
    rows, columns = (max(panel[axis] for panel in panels) + 1 for axis in (0, 1))
    margins = (1.2, 0.4) if bar == 'right' else (0.4, 1.1)
    titles, labels = ([panel[index] for panel in panels] for index in (2, 3))
    inches = (
        size * columns + _margin(margins[0], *labels),
        size * rows + _margin(margins[1]) + rows * _margin(0, *titles),
    )
    figure = Figure(inches, layout='constrained')
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
    name = 'share of the maximum of ' + ('all' if shared else 'the layer')
    _add_scale(figure, image, axes, f'log10 of the {name}' if log else name, bar)
    return figure


def _add_scale(
    figure: Figure, image: AxesImage, axes: np.ndarray, name: str, bar: str
) -> None:
    """A bar of colours: below all maps, or beside the first three rows of them."""
    across = axes.shape[1]
    if bar == 'right':
        axes = axes[:3]
        across = len(axes)
        name = name.replace('the maximum', 'the\nmaximum')
    figure.colorbar(image, ax=axes, aspect=15 * across, location=bar, label=name)


def _layer_axes(
    results: dict[str, STERFResult],
    rows: int = 1,
    size: float = 1.35 * PANEL,
    columns: int = COLUMNS,
) -> tuple[Figure, dict[str, list[Axes]]]:
    """A figure with a column of axes per layer."""
    layers = _layers(results)
    columns = min(len(layers), columns)
    blocks = math.ceil(len(layers) / columns)
    titles = [_lines(layer, size) for layer in layers]
    height = max(size / 1.35, _margin(1.9)) * rows + _margin(0, *titles)
    height = height * blocks + _margin(0.6)
    figure = Figure((size * columns + _margin(0.8), height), layout='constrained')
    axes = figure.subplots(rows * blocks, columns, squeeze=False, sharey='row')
    by_layer = {}
    for index, layer in enumerate(layers):
        block, column = divmod(index, columns)
        by_layer[layer] = list(axes[block * rows : (block + 1) * rows, column])
        by_layer[layer][0].set_title(titles[index])
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


def plot_areas(
    results: Results,
    quantiles: tuple[float, ...] = (0.5, 0.9),
    *,
    size: float = 1.1,
) -> Figure:
    """Contribution area per layer: pixels that, strongest first, hold a share.

    Args:
        results (STERFResult | dict): With maps; those of several delays are added up.
        quantiles (tuple[float]): The shares. Default to (0.5, 0.9).
        size (float): Inches from one layer to the next. Defaults to 1.1.
    """
    results = _by_label(results)
    layers = _layers(results)
    width = max(size * len(layers), 2.5 if len(results) == 1 else 5)
    ticks = [_lines(layer, width / len(layers)) for layer in layers]
    inches = (width + _margin(1), 2 + _margin(1.6, *ticks))
    figure = Figure(inches, layout='constrained')
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
    axis.set_xticks(range(len(layers)), ticks)
    axis.set(ylabel='share of the image', ylim=(0, None))
    axis.grid(alpha=0.3)
    figure.legend(loc='outside upper center', ncols=len(quantiles), handlelength=3)
    return figure


def plot_temporal(
    results: Results,
    *,
    log: bool = False,
    size: float = 1.35 * PANEL,
    columns: int = COLUMNS,
) -> Figure:
    """Temporal profiles: what every delay contributes, over the largest.

    Args:
        results (STERFResult | dict): With delays: maps or profiles.
        log (bool): Logarithmic scale. Defaults to False.
        size (float): Width of a panel, in inches. Defaults to 3.1.
        columns (int): Layers side by side. Defaults to 6.
    """
    results = _by_label(results)
    figure, axes = _layer_axes(results, size=size, columns=columns)
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
