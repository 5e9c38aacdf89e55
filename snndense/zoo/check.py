"""What a file of weights is, and which entries of the zoo it can be."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snndense.checkpoints import Published, check_parts
from snndense.checkpoints.published import find_block, find_published
from snndense.checkpoints.reading import read_checkpoint
from snndense.utils.cli import read_config
from snndense.utils.tables import format_fields

from .entries import Entry, load_zoo, plain
from .report import format_arguments, format_traps, test_command

#: Tasks of published files -> tasks of the zoo.
TASK_OF = dict(classifier='cls', detector='det', segmentor='seg')


@dataclass(frozen=True)
class FileCheck:
    """What a file of weights is.

    Attributes:
        path (Path): The file.
        published (Published): What it holds.
        sha256 (str): Hash of the published file; of a converted one, of its source.
        entries (tuple[Entry]): Entries of the zoo whose weights it can be.
    """

    path: Path
    published: Published
    sha256: str
    entries: tuple[Entry, ...]

    @property
    def stated_hashes(self) -> dict[str, str]:
        """Hashes that these entries state, and who says so."""
        published = (entry.published for entry in self.entries)
        return {p.sha256: p.sha256_from for p in published if p and p.sha256}

    @property
    def is_another_file(self) -> bool:
        """Whether the hash contradicts those that the entries state."""
        return bool(self.stated_hashes) and self.sha256 not in self.stated_hashes


def check_file(path: str | Path, *, allow_pickle: bool = False) -> FileCheck:
    """Recognise a published or converted file and look it up in the zoo.

    Args:
        path (str | Path): The file.
        allow_pickle (bool): Whether to unpickle a file that holds more than weights,
            which runs whatever code is in it. Defaults to False.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the toolbox that its neck and heads belong to is missing.
        ValueError: If it cannot be read, is none of the published models, or lacks
            weights of the model that it looks like.
    """
    path = Path(path).expanduser()
    checkpoint = read_checkpoint(path, allow_pickle=allow_pickle)
    try:
        published = find_published(checkpoint, path.name)
        check_parts(published)
    except ValueError as error:
        hint = ''
        if 'mmengine_version' in (checkpoint.get('meta') or {}):
            hint = ' (it was written by a training: evaluate it with its own config)'
        raise ValueError(f'{path}: {error}{hint}') from None
    block = find_block(checkpoint)
    with open(path, 'rb') as file:
        own = hashlib.file_digest(file, 'sha256').hexdigest()
    return FileCheck(
        path=path,
        published=published,
        sha256=own if block is None else block['source_sha256'],
        entries=tuple(find_entries(published)),
    )


def find_entries(published: Published) -> Iterator[Entry]:
    """Entries of the zoo that weights can be of, those with published weights first.

    Classifiers, detectors and segmentors are told by their number of parameters and
    the type of their neck, bare backbones by their constructor arguments.
    """
    family = plain(published.family)  # the zoo has SDT-V3 in one collection
    entries = [e for e in load_zoo() if family.startswith(plain(e.family))]
    # the settings of the published code come first
    entries.sort(key=lambda e: (e.published is None, not e.stem.endswith('_published')))
    for entry in entries:
        if published.task == 'backbone':
            fits = entry.published is not None and _size(
                entry.published.backbone
            ) == _size(published.backbone)
        else:
            fits = (
                entry.task == TASK_OF[published.task]
                and entry.parameters == published.num_params
                and _has_neck_of(entry, published)
            )
        if fits:
            yield entry


def _size(backbone: dict) -> tuple:
    """What decides over the weights of a backbone."""
    mixer, ratio = backbone.get('mixer', 'conv'), backbone.get('mlp_ratio')
    return backbone['type'], backbone['arch'], mixer, ratio


def _has_neck_of(entry: Entry, published: Published) -> bool:
    """Whether a config has the neck that weights were trained with, spiking or not."""
    neck = published.parts.get('neck')
    if neck is None:
        return True
    found = read_config(str(entry.config_path)).model.get('neck') or {}
    return found.get('type') == neck['type']


def describe_file(check: FileCheck) -> str:
    """What a file of weights is, the entries that it can be, and how to go on."""
    published = check.published
    fields = {
        'file': str(check.path),
        'sha256': check.sha256,
        'family': published.family,
        'task': published.task,
        'parameters': f'{published.num_params:,}',
    }
    for place, arguments in published.parts.items():
        fields[place] = format_arguments(arguments)
    sections = [format_fields(fields), _describe_hash(check), _describe_use(check)]
    own = (entry.published.traps for entry in check.entries if entry.published)
    traps = (*published.notes, *(trap for traps in own for trap in traps))
    if traps:
        sections.append(f'To look out for\n{format_traps(traps)}')
    return '\n\n'.join(section for section in sections if section)


def _describe_hash(check: FileCheck) -> str:
    known = check.stated_hashes
    if check.is_another_file:
        stated = '\n'.join(f'  {key} (from {source})' for key, source in known.items())
        return f'The published file has another hash:\n{stated}'
    if known:
        return f'The hash is that of the published file (from {known[check.sha256]}).'
    return ''


def _describe_use(check: FileCheck) -> str:
    if not check.entries:
        return 'The zoo has no entry with such weights.'
    if check.published.task == 'backbone':
        names = ', '.join(entry.stem for entry in check.entries)
        return f'A backbone alone, as that of {names}'
    commands = (test_command(entry, str(check.path)) for entry in check.entries)
    return '\n'.join(('Evaluate with', *commands))
