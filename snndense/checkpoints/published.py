"""Published files: reading, conversion to this package's keys, writing."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from snndense.utils.files import complete_file
from snndense.utils.key_report import KeyReport
from snndense.version import __version__

from .reading import (
    BLOCK,
    SAFETENSORS,
    find_weights,
    has_averaged_weights,
    read_checkpoint,
)
from .recognition import (
    FAMILIES,
    Published,
    check_parts,
    find_backbone,
    recognise,
)
from .traps import find_notes

SUFFIXES = (SAFETENSORS, '.pth')
AUTO = 'auto'
ORIGIN_ENTRIES = ('source', 'source_sha256', 'converter')
BLOCK_ENTRIES = ('family', 'task', 'parts', 'unread', 'notes', *ORIGIN_ENTRIES)


def load_published(
    path: str | Path,
    *,
    family: str = AUTO,
    arch: str = AUTO,
    averaged: bool = False,
    allow_pickle: bool = False,
) -> Published:
    """Read a published or converted file and tell what it holds.

    The backbone's weights are known to fit their backbone afterwards; of neck and
    heads :func:`~snndense.checkpoints.recognition.check_parts` makes sure.

    Args:
        path (str | Path): A file in any published format (``.pth`` with the weights
            alone or in ``model`` or ``state_dict``, or ``.safetensors``), or one
            that :func:`convert_checkpoint` wrote.
        family (str): The family that it has to be of; ``'auto'`` takes any.
        arch (str): The size that its backbone has to be of; ``'auto'`` takes any.
        averaged (bool): Whether to take the running average of the weights (EMA)
            where the file holds both. Defaults to False.
        allow_pickle (bool): Whether to unpickle a file that holds more than weights,
            which runs whatever code is in it. Defaults to False.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or recognised, is of another family or size,
            or its weights do not fit the backbone they look like.
    """
    if family not in (AUTO, *FAMILIES):
        raise ValueError(f'expected family to be one of {FAMILIES}, but got {family!r}')
    checkpoint = read_checkpoint(path, allow_pickle=allow_pickle)
    try:
        published = find_published(checkpoint, Path(path).name, averaged=averaged)
        _check_expected(published, family, arch)
        check_parts(published, ('backbone',))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    return published


def find_published(
    checkpoint: dict, name: str = '', *, averaged: bool = False
) -> Published:
    """Tell what the contents of a published or converted file are.

    Args:
        checkpoint (dict): As from
            :func:`~snndense.checkpoints.reading.read_checkpoint`.
        name (str): Name of the file, which may tell what its keys don't.
        averaged (bool): See :func:`load_published`.

    Raises:
        ValueError: If nothing published looks like this.
    """
    block = find_block(checkpoint)
    if block is not None:
        unknown = set(BLOCK_ENTRIES) - set(block)
        if unknown:
            raise ValueError(f'the metadata of the file lacks {sorted(unknown)}')
        return Published(
            family=block['family'],
            task=block['task'],
            parts=block['parts'],
            state_dict=find_weights(checkpoint),
            unread=tuple(block['unread']),
            notes=tuple(block['notes']),
            origin={key: block[key] for key in ORIGIN_ENTRIES},
        )
    weights = find_weights(checkpoint, averaged=averaged)
    published = recognise(weights)
    published, notes = find_notes(published, name)
    if has_averaged_weights(checkpoint):
        used = 'the averages are' if averaged else 'the weights are'
        notes = (
            *notes,
            f'of weights and their averages (EMA) in the file, {used} used',
        )
    return replace(published, notes=notes)


def is_published(checkpoint: dict) -> bool:
    """Whether the contents of a file look published, or were converted."""
    if find_block(checkpoint) is not None:
        return True
    try:
        weights = find_weights(checkpoint)
    except ValueError:
        return False
    try:
        return find_backbone(weights) is not None
    except ValueError:  # published, and known to be damaged
        return True


def find_block(checkpoint: dict) -> dict | None:
    """What a file that this package converted says about itself, else None."""
    meta = checkpoint.get('meta')
    return meta.get(BLOCK) if isinstance(meta, dict) else None


def _check_expected(published: Published, family: str, arch: str) -> None:
    if family not in (AUTO, published.family):
        raise ValueError(
            f'expected weights of the family {family}, but they are those of a '
            f'{published}'
        )
    if arch not in (AUTO, published.arch):
        raise ValueError(
            f'expected weights of the size {arch}, but they are those of a {published}'
        )


def convert_checkpoint(
    source: str | Path, target: str | Path, **options
) -> tuple[Published, KeyReport]:
    """Rename a published file to this package's keys and write it.

    The target holds the weights and a metadata block: family, task, constructor
    arguments, name and SHA-256 of the source, version of this package. Every key of
    the source has its place in the modules it belongs to, or nothing is written. The
    file is complete or absent.

    Args:
        source (str | Path): Published file, see :func:`load_published`.
        target (str | Path): File to write: ``.safetensors``, or ``.pth`` as mmengine
            writes it.
        **options: Those of :func:`load_published`.

    Returns:
        tuple: What was found, and how the keys fit.

    Raises:
        FileNotFoundError: If there is no such source.
        ImportError: If the toolbox that neck and heads belong to is not installed.
        ValueError: If the source cannot be read or recognised, or does not fit.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if target.suffix not in SUFFIXES:
        raise ValueError(f'expected to write a file of {SUFFIXES}, but got {target}')
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f'{target} is the published file; give another name to write')
    published = load_published(source, **options)
    try:
        report = check_parts(published)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None
    write_converted(published, target, source)
    return published, report


def write_converted(published: Published, target: Path, source: Path) -> None:
    """Write weights with the metadata block, see :func:`convert_checkpoint`."""
    origin = published.origin
    if origin is None:
        with open(source, 'rb') as file:
            digest = hashlib.file_digest(file, 'sha256').hexdigest()
        values = (source.name, digest, f'snndense {__version__}')
        origin = dict(zip(ORIGIN_ENTRIES, values, strict=True))
    block = dict(
        family=published.family,
        task=published.task,
        parts=published.parts,
        unread=published.unread,
        notes=published.notes,
        **origin,
    )
    block = json.loads(json.dumps(block))
    with complete_file(target) as path:
        if target.suffix == SAFETENSORS:
            from safetensors.torch import save_file

            metadata = {'format': 'pt', BLOCK: json.dumps(block)}
            save_file(_unshared(published.state_dict), path, metadata)
            path.chmod(_new_file_mode())  # safetensors lets nobody else read it
        else:
            meta = {BLOCK: block}
            torch.save(dict(state_dict=published.state_dict, meta=meta), path)


def _new_file_mode() -> int:
    umask = os.umask(0)  # can only be read by setting it
    os.umask(umask)
    return 0o666 & ~umask


def _unshared(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy what safetensors refuse: tensors that share memory."""
    seen, copied = set(), {}
    for key, value in state_dict.items():
        value = value.contiguous()
        pointer = value.untyped_storage().data_ptr()
        is_part = value.untyped_storage().nbytes() != value.nbytes
        copied[key] = value.clone() if is_part or pointer in seen else value
        seen.add(pointer)
    return copied
