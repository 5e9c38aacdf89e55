"""Figures of firing rates."""

import numpy as np
from matplotlib.figure import Figure

from .firing import FiringReport, LayerFiring

BLUE, ORANGE = '#0072B2', '#D55E00'  # of Okabe and Ito, safe for colour-blind readers
ROW = 0.19  # inches per layer
MAX_ROWS = 400


def plot_firing(report: FiringReport) -> Figure:
    """Rate of every layer, its silent neurons, and how the rate develops.

    Left, a bar per layer, in the order of the model: the firing rate, with a dot for
    the share of silent neurons where it is known. Right, the rate at every step, or at
    T = 1 the shares of the spike counts.

    Raises:
        ValueError: If there is no layer, or there are too many for a figure.
    """
    layers = report.layers
    if not 0 < len(layers) <= MAX_ROWS:
        raise ValueError(f'expected 1 to {MAX_ROWS} layers, but got {len(layers)}')
    figure = Figure(figsize=(10, 1.4 + ROW * len(layers)), layout='constrained')
    bars, table = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    rows = np.arange(len(layers))
    bars.barh(rows, [x.firing_rate for x in layers], color=BLUE, label='firing rate')
    silent = [(i, x.silent_share) for i, x in enumerate(layers) if x.silent_share]
    if silent:
        positions, shares = zip(*silent, strict=True)
        bars.plot(shares, positions, '.', color=ORANGE, label='silent neurons')
    bars.set_yticks(rows, [x.name for x in layers], fontsize=6)
    bars.set_ylim(len(layers) - 0.5, -0.5)
    bars.set_xlim(0, 1.02)
    bars.set_xlabel('share')
    bars.grid(axis='x', linewidth=0.3)
    bars.legend(fontsize=7, loc='lower right')
    title, values = _second_panel(layers)
    image = table.imshow(values, aspect='auto', cmap='viridis', vmin=0)
    table.set_title(title, fontsize=8)
    table.set_xticks(range(values.shape[1]))
    figure.colorbar(image, ax=table)
    figure.suptitle(
        f'firing rate {report.firing_rate:.3f} (mean of layers '
        f'{report.mean_layer_rate:.3f}), {report.num_images} images',
        fontsize=9,
    )
    return figure


def _second_panel(layers: tuple[LayerFiring, ...]) -> tuple[str, np.ndarray]:
    if max(layer.time_steps for layer in layers) > 1:
        rows, title = [layer.per_step for layer in layers], 'rate at step'
    else:
        rows, title = [layer.histogram for layer in layers], 'share of count'
    values = np.full((len(rows), max(map(len, rows))), np.nan)
    for i, row in enumerate(rows):
        values[i, : len(row)] = row
    return title, values
