"""Tables, lists and numbers as text, and tables as files."""

import csv
import statistics
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from .files import complete_file

UNITS = ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k'))


def format_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[int] | None = None,
    rule: bool = False,
) -> str:
    """Columns of equal width, for a terminal.

    Args:
        header (sequence[str]): The first line.
        rows (iterable[sequence[str]]): The other lines.
        right (collection[int], optional): Columns that are aligned to the right.
            None: all but the first one.
        rule (bool): Whether a line is drawn below the header. Defaults to False.
    """
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if rule:
        lines.insert(1, tuple('-' * width for width in widths))
    right = range(1, len(widths)) if right is None else right
    return '\n'.join(
        '  '.join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[int] | None = None,
) -> str:
    """A table in Markdown; arguments as of :func:`format_table`."""
    right = range(1, len(header)) if right is None else right
    rule = ['---:' if index in right else '---' for index in range(len(header))]
    lines = (
        ''.join(f' {cell} |' if cell else ' |' for cell in line)
        for line in (header, rule, *rows)
    )
    return '\n'.join(f'|{line}' for line in lines)


def format_fields(fields: dict[str, str]) -> str:
    """A line per field, values aligned."""
    width = max(map(len, fields))
    return '\n'.join(
        f'{key.ljust(width)}  {value}'.rstrip() for key, value in fields.items()
    )


def listed(items: Sequence[object], most: int = 5) -> str:
    """The first items in a line, and how many more there are."""
    return ', '.join([*map(str, items[:most]), *_more(items, most)])


def bullets(items: Sequence[object], most: int = 5) -> str:
    """The same with a line for each."""
    return '\n'.join(f'  - {item}' for item in (*items[:most], *_more(items, most)))


def _more(items: Sequence[object], most: int) -> list[str]:
    rest = len(items) - most
    return [f'and {rest} more'] if rest > 0 else []


def mean_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; None for those of too few values."""
    mean = statistics.mean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def format_mean_std(mean: float | None, std: float | None, decimals: int) -> str:
    """Of :func:`mean_std`: ``'0.301 ± 0.071'``, without what there is none of."""
    numbers = (f'{x:.{decimals}f}' for x in (mean, std) if x is not None)
    return ' ± '.join(numbers)


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
