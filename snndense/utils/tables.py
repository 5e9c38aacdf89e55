"""Tables for a terminal and for files."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from .files import complete_file

UNITS = ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k'))


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of equal width, the first one left-aligned, all others right-aligned."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return '\n'.join(
        '  '.join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def format_count(value: float) -> str:
    """A number with four digits and a unit: ``'5.867 G'``."""
    for size, unit in UNITS:
        if abs(value) >= size:
            return f'{value / size:.4g} {unit}'
    return f'{value:.4g}'


def format_shape(shape: Iterable[int]) -> str:
    """Sides of an image or a tensor: ``'3 x 224 x 224'``."""
    return ' x '.join(map(str, shape))


def write_csv(path: str | Path, rows: Sequence[dict]) -> None:
    """Write rows with the same keys as CSV; the file is complete or absent."""
    with complete_file(path) as temporary, open(temporary, 'w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
