"""One figure of the receptive fields of all variants, states and delays."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snndense.analysis.st_erf_plots import COLORS, LOG_FLOOR, PANEL

from .erf_comparison import Conditions, Group

LABELS = dict(
    area_50='area that holds 50% (% of the image)',
    area_90='area that holds 90% (% of the image)',
    area_above_1pct='area above 1% of the maximum (%)',
    square_50='square that holds 50% (% of the image)',
    radius_50='radius that holds 50% (pixels)',
    radius_90='radius that holds 90% (pixels)',
    sigma='sigma (pixels)',
)
DODGE = 0.16  # between the variants, in delays


def plot_comparison(conditions: Conditions, statistic: str) -> Figure:
    """A row per experiment and state: maps of the first layer, then every layer.

    On the left the mean map of every variant at the first layer, logarithmic; on the
    right a panel per layer with the statistic over the delays: a dot per seed, their
    mean as a line.

    Args:
        conditions (Conditions): Of
            :func:`~snndense.studies.erf_comparison.group_runs`.
        statistic (str): Which one, a key of ``LABELS``.
    """
    some = next(iter(conditions.values()))
    variants = list(dict.fromkeys(v for groups in conditions.values() for v in groups))
    layers = list(next(iter(some.values())).first.statistics)
    widths = [1] * len(variants) + [1.25] * len(layers)
    figure = Figure(
        (PANEL * sum(widths) + 0.8, (PANEL + 0.35) * len(conditions) + 0.6),
        layout='constrained',
    )
    axes = figure.subplots(
        len(conditions), len(widths), squeeze=False, width_ratios=widths
    )
    for row, ((experiment, state), groups) in zip(
        axes, conditions.items(), strict=True
    ):
        for axis, variant in zip(row, variants, strict=False):
            _draw_map(axis, groups.get(variant), layers[0])
            axis.set_title(f'{variant}, {layers[0]}', fontsize='small')
        row[0].set_ylabel(f'{experiment}\n{state}', fontsize='small')
        for axis, layer in zip(row[len(variants) :], layers, strict=True):
            for index, variant in enumerate(variants):
                if variant in groups:
                    place = index - (len(variants) - 1) / 2
                    _draw_delays(axis, groups[variant], layer, statistic, place, index)
            axis.set_title(layer, fontsize='small')
            axis.set(xlabel='delay (steps)', ylim=(0, None))
            axis.grid(alpha=0.3)
        row[len(variants)].set_ylabel(LABELS[statistic], fontsize='small')
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=len(labels))
    return figure


def _draw_map(axis: Axes, group: Group | None, layer: str) -> None:
    axis.set(xticks=[], yticks=[])
    if group is None:
        axis.set_frame_on(False)
        return
    image = group.mean_map(layer)
    shown = np.log10(image / (image.max() or 1) + LOG_FLOOR)
    axis.imshow(
        shown, 'magma', vmin=np.log10(LOG_FLOOR), vmax=0, interpolation='nearest'
    )


def _draw_delays(
    axis: Axes, group: Group, layer: str, statistic: str, place: float, index: int
) -> None:
    count = len(group.first.statistics[layer])
    factor = 100 if statistic.startswith(('area', 'square')) else 1
    delays = np.arange(count) + DODGE * place
    values = [
        [factor * value for value in group.values(layer, delay, statistic)]
        for delay in range(count)
    ]
    color = COLORS[index % len(COLORS)]
    for x, seeds in zip(delays, values, strict=True):
        axis.plot([x] * len(seeds), seeds, 'o', color=color, markersize=3, alpha=0.45)
    means = [np.mean(seeds) for seeds in values]
    axis.plot(delays, means, '_-', color=color, markersize=9, label=group.first.variant)
    axis.set_xticks(range(count))
    axis.set_xlim(-0.6, count - 0.4)
