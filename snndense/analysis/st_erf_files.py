"""Receptive fields as arrays, and their statistics as a table."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from snndense.utils.files import complete_file
from snndense.utils.tables import format_table, write_csv

from .layers import Layers
from .st_erf import STERFResult, find_time_steps, resolve_time, st_erf
from .st_erf_stats import describe, temporal_decay, temporal_half_life

COLUMNS = (
    'radius_50',
    'radius_90',
    'sigma',
    'area_50',
    'area_90',
    'area_above_1pct',
    'square_50',
)
CSV_COLUMNS = (
    *('model', 'layer', 'mode', 'delay', 'sum'),
    *COLUMNS,
    *('half_life', 'decay'),
)


def measure_erf(
    model: nn.Module, layers: Layers | None, images: Tensor, **options
) -> dict[str, STERFResult]:
    """All maps of some layers: spatial and, where there is time, of every delay.

    Args:
        model (nn.Module): See :func:`~snndense.analysis.st_erf.st_erf`, as for the
            rest.
        layers (str | nn.Module | sequence, optional): Layers.
        images (Tensor): Images.
        **options: Other arguments of ``st_erf``; ``time`` is that of the delays.

    Returns:
        dict[str, STERFResult]: ``'spatial'`` and, with T > 1, ``'spatiotemporal'``.

    Raises:
        ValueError: As ``st_erf``; for a time that is no step, before anything runs.
    """
    time = options.pop('time', None)
    steps = find_time_steps(model, images, options.get('time_steps'))
    resolve_time(time, steps, 'spatiotemporal')
    results = dict(spatial=st_erf(model, layers, images, **options))
    if results['spatial'].meta['time_steps'] > 1:
        options.update(mode='spatiotemporal', time=time)
        results['spatiotemporal'] = st_erf(model, layers, images, **options)
    return results


def statistics_rows(label: str, results: dict[str, STERFResult]) -> Iterator[dict]:
    """Rows of the table: of every layer, its spatial map and the maps of its delays.

    Args:
        label (str): Name of the model.
        results (dict[str, STERFResult]): Of :func:`measure_erf`.

    Yields:
        dict: ``model``, ``layer``, ``mode``, ``delay``, ``sum`` of the map, and the
        statistics of :func:`~snndense.analysis.st_erf_stats.describe`, empty for a
        map that is zero everywhere; in rows without a delay of the mode
        ``'temporal'``, ``half_life`` and ``decay`` of the temporal profile.
    """
    for mode, result in results.items():
        for layer, erf in result.per_layer.items():
            row = dict(model=label, layer=layer, mode=mode)
            if mode == 'spatial':
                yield {**row, **_describe(erf.map, erf.position)}
                continue
            for delay, image in enumerate(erf.map):
                yield {**row, 'delay': delay, **_describe(image, erf.position)}
            profile = erf.map.sum((-2, -1))
            yield dict(
                row,
                mode='temporal',
                sum=float(profile.sum()),
                half_life=temporal_half_life(profile),
                decay=temporal_decay(profile),
            )


def _describe(erf: np.ndarray, position: tuple | None) -> dict:
    if position is None:  # all units: there is no distance to speak of
        position = tuple((side - 1) / 2 for side in erf.shape)
    return dict(sum=float(erf.sum()), **(describe(erf, position) or {}))


def write_arrays(path: str | Path, results: dict[str, STERFResult]) -> None:
    """Write ``MODE/LAYER`` arrays and, as JSON, ``meta`` to an ``.npz`` file."""
    arrays, meta = {}, {}
    for mode, result in results.items():
        meta[mode] = dict(result.meta, n_images=result.n_images, layers={})
        for layer, erf in result.per_layer.items():
            arrays[f'{mode}/{layer}'] = erf.map
            place = dict(grid=erf.grid, position=erf.position, tokens=erf.tokens)
            meta[mode]['layers'][layer] = place
    with complete_file(path) as temporary, open(temporary, 'wb') as file:
        np.savez_compressed(file, meta=json.dumps(meta), **arrays)


def write_statistics(path: str | Path, rows: list[dict]) -> None:
    """Write rows of :func:`statistics_rows` as CSV."""
    write_csv(path, [{**dict.fromkeys(CSV_COLUMNS), **row} for row in rows])


def format_statistics(rows: list[dict]) -> str:
    """The rows of the spatial maps as text."""
    header = ('model', 'layer', *COLUMNS)
    spatial = (row for row in rows if row['mode'] == 'spatial')
    return format_table(header, ([_cell(r.get(k)) for k in header] for r in spatial))


def format_token_grids(results: dict[str, STERFResult]) -> str:
    """Rows and columns of all layers on tokens, and where they are from."""
    return '\n'.join(
        f'{layer}: tokens in {erf.grid[0]} rows of {erf.grid[1]} ({erf.tokens})'
        for layer, erf in results['spatial'].per_layer.items()
        if erf.tokens is not None
    )


def _cell(value: object) -> str:
    if value is None:
        return '-'
    return f'{value:.3g}' if isinstance(value, float) else str(value)
