"""Backbones by tasks: cost and accuracy of every pair in one Markdown table."""

from collections.abc import Iterable

from snndense.utils.tables import markdown_table

from .entries import Entry, load_zoo

#: Ending of a config's name -> heading of its accuracy, and the metrics it stands for.
TASKS = {
    'coco': ('COCO: params (M)', 'box / mask AP', ('box AP', 'mask AP')),
    'ade20k': ('ADE20K: params (M)', 'mIoU', ('mIoU',)),
    'imagenet': ('ImageNet: params (M)', 'top-1', ('Top 1 Accuracy',)),
}
#: What stands behind a number, by its provenance.
MARKS = {'paper': 'ᵖ', 'converted': 'ᶜ', 'trained here': 'ᵗ'}
PUBLISHED = '_published'  # ending of configs with the settings of published weights


def backbones(entries: Iterable[Entry]) -> dict[str, dict[str, Entry]]:
    """Entries of every backbone by task, sorted by family and size.

    A backbone is what an ImageNet config is named after: ``meta_sdt_srb_s`` of
    ``meta_sdt_srb_s_imagenet``. Those that no config takes to a dense task are left
    out, and so are configs that have a detector or a decoder in their name.

    Returns:
        dict: Backbone -> key of ``TASKS`` -> entry.
    """
    by_stem = {entry.stem: entry for entry in entries}
    table = {}
    for stem in by_stem:
        name, _, dataset = stem.rpartition('_')
        if dataset == 'imagenet':
            row = {task: by_stem.get(f'{name}_{task}') for task in TASKS}
            table[name] = {task: entry for task, entry in row.items() if entry}

    def order(item: tuple) -> tuple:
        entry = item[1]['imagenet']
        return entry.family, entry.parameters, item[0]

    return {n: row for n, row in sorted(table.items(), key=order) if len(row) > 1}


def combined_table(entries: Iterable[Entry] | None = None) -> str:
    """The table, with links relative to the folder that holds ``configs``.

    Args:
        entries (Iterable[Entry], optional): Defaults to the whole zoo. Numbers of
            ``*_published`` entries stand in the rows that they are variants of.
    """
    entries = tuple(load_zoo() if entries is None else entries)
    by_stem = {entry.stem: entry for entry in entries}
    header = ['family', 'backbone']
    for params, accuracy, _ in TASKS.values():
        header += [params, 'MACs (G)', accuracy]
    rows = []
    for name, row in backbones(entries).items():
        cells = [row['imagenet'].family, f'`{name}`']
        for task, (_, _, metrics) in TASKS.items():
            entry = row.get(task)
            if entry is None:
                cells += ['', '', '']
                continue
            variants = (entry, by_stem.get(entry.stem + PUBLISHED))
            cells += [*_cost(entry), _accuracy(filter(None, variants), metrics)]
        rows.append(cells)
    return markdown_table(header, rows, right=range(2, len(header)))


def _cost(entry: Entry) -> tuple[str, str]:
    macs = '' if entry.macs is None else f'{entry.macs / 1e9:.1f}'
    return f'[{entry.parameters / 1e6:.1f}]({entry.config})', macs


def _accuracy(entries: Iterable[Entry], metrics: tuple[str, ...]) -> str:
    """Numbers of the first entry that has them, and the mark of their provenance."""
    for entry in entries:
        found = {
            metric: (value, result.status)
            for result in entry.results
            for metric, value in result.metrics.items()
        }
        if all(metric in found for metric in metrics):
            values = ' / '.join(str(found[metric][0]) for metric in metrics)
            return f'{values} {MARKS[found[metrics[0]][1]]}'
    return ''
