"""The zoo in print: a table of entries, and everything about one."""

import os
import textwrap
from collections.abc import Iterable
from pathlib import Path

from snndense.utils.tables import format_fields, format_table

from .entries import Entry, PublishedWeights, zoo_root

HEADER = ('config', 'task', 'family', 'params (M)', 'weights', 'reported', 'status')
WIDTH = 88


def list_entries(entries: Iterable[Entry]) -> str:
    """A table with a line per entry; what is unknown is empty."""
    rows = [
        (
            entry.stem,
            entry.task,
            entry.family,
            f'{entry.parameters / 1e6:.3f}',
            'published' if entry.published else '',
            '; '.join(map(str, entry.results)),
            ', '.join(dict.fromkeys(result.status for result in entry.results)),
        )
        for entry in entries
    ]
    return format_table(HEADER, rows, right=(3,), rule=True)


def describe_entry(entry: Entry) -> str:
    """Everything about an entry: numbers, weights, commands and the config itself."""
    fields = {
        'name': entry.name,
        'config': shown(entry.config_path),
        'family': entry.family,
        'paper': f'{entry.paper["Title"]}, {entry.paper["URL"]}',
        'parameters': f'{entry.parameters:,}',
    }
    if entry.macs is not None:
        fields['MACs'] = f'{entry.macs:,}, of one time step'
    fields.update({key.lower(): str(value) for key, value in entry.training.items()})
    sections = [format_fields(fields)]
    for result in entry.results:
        sections.append(
            format_fields({'reported': str(result), result.status: result.source})
        )
    if not entry.results:
        sections.append('No number is reported for this model.')
    sections.append(_describe_published(entry.published))
    traps = (*(entry.published.traps if entry.published else ()), *entry.traps)
    if traps:
        sections.append('To look out for\n' + format_traps(traps))
    check = '  python -m snndense.zoo check FILE'
    sections.append(f'Evaluate\n{check}\n{test_command(entry)}')
    text = entry.config_path.read_text(encoding='utf-8').rstrip()
    sections.append(f'Config\n{textwrap.indent(text, "  ")}')
    return '\n\n'.join(sections)


def _describe_published(published: PublishedWeights | None) -> str:
    if published is None:
        return 'No published weights of this model are known.'
    fields = {
        'weights': published.weights,
        'stated in': published.stated_in,
        'file names': ', '.join(published.file_names)
        + (f' (from {published.file_names_from})' if published.file_names else ''),
        'sha256': f'{published.sha256} (from {published.sha256_from})'
        if published.sha256
        else '',
        'backbone': format_arguments(published.backbone),
    }
    return f'Published weights\n{textwrap.indent(format_fields(fields), "  ")}'


def format_traps(traps: Iterable[str]) -> str:
    """Sentences as a list of wrapped lines."""
    style = dict(width=WIDTH, initial_indent='  - ', subsequent_indent='    ')
    return '\n'.join(textwrap.fill(trap, **style) for trap in traps)


def format_arguments(config: dict) -> str:
    """A config with ``type`` as the call that it stands for."""
    arguments = dict(config)
    name = arguments.pop('type')
    return f'{name}({", ".join(f"{k}={v!r}" for k, v in arguments.items())})'


def test_command(entry: Entry, file: str = 'FILE') -> str:
    """The command that evaluates weights with the config of an entry."""
    tool = shown(zoo_root() / 'tools/test.py')
    return f'  python {tool} {shown(entry.config_path)} {file}'


def shown(path: Path) -> str:
    """A path as it is typed: relative to the current folder if it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
