"""Reading checkpoints safely, and comparing them with a model before they load."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

MAX_LISTED = 5  # keys named in a message, of each kind
# what mmengine stores beside tensors: the log's buffers, as numpy arrays
_array, _scalar = np.ones(1).__reduce__()[0], np.float64(0).__reduce__()[0]
STORED_TYPES = (
    HistoryBuffer,
    Namespace,  # published classification files keep their command line
    getattr,  # finds the methods of HistoryBuffer; what it finds cannot be called
    np.ndarray,
    np.dtype,
    _array,
    _scalar,
    *(type(np.dtype(name)) for name in ('f4', 'f8', 'i4', 'i8', 'u4', 'u8', 'bool')),
)


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint without running any code that it may contain.

    Args:
        path (str | Path): Local file, or an address that mmengine can fetch.

    Returns:
        dict: Its contents, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, no checkpoint, or holds objects that
            only unpickling could restore.
    """
    if '://' in str(path):
        return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    try:
        with torch.serialization.safe_globals(list(STORED_TYPES)):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except UnpicklingError as error:
        if not Path(path).read_bytes()[:2] == b'PK':  # the archive torch.save writes
            raise ValueError(f'{path} is no checkpoint') from error
        raise ValueError(
            f'{path} holds more than weights and is not unpickled, since that could '
            'run code. If you trust it, keep the weights alone: torch.save(torch.load('
            "PATH, weights_only=False)['state_dict'], NEW_PATH)"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f'{path} cannot be read, it is truncated or damaged '
            f'({str(error).partition(".")[0]})'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'expected {path} to hold a dict, but got {type(checkpoint).__name__}'
        )
    return checkpoint


def get_state_dict(checkpoint: dict) -> dict[str, Tensor]:
    """Weights of a checkpoint, without the prefix of a distributed wrapper."""
    state_dict = checkpoint.get('state_dict', checkpoint)
    return {
        key.removeprefix('module.'): value
        for key, value in state_dict.items()
        if isinstance(value, Tensor)
    }


@dataclass(frozen=True)
class KeyReport:
    """How the keys of a checkpoint fit a model.

    Attributes:
        matched (tuple[str]): Keys of both, with the same shape.
        missing (tuple[str]): Keys of the model that the checkpoint lacks.
        unexpected (tuple[str]): Keys of the checkpoint that the model lacks.
        conflicts (dict[str, tuple]): Shapes in the checkpoint and in the model, of
            the keys where they differ.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    conflicts: dict[str, tuple[tuple, tuple]]

    @property
    def unloaded(self) -> tuple[str, ...]:
        """Keys of the model that would keep their initial values."""
        return (*self.missing, *self.conflicts)

    def __str__(self) -> str:
        shapes = [
            f'{key} {stored} instead of {wanted}'
            for key, (stored, wanted) in self.conflicts.items()
        ]
        lines = [f'{len(self.matched)} keys match']
        for what, keys in (
            ('missing in the checkpoint', self.missing),
            ('unexpected in the checkpoint', self.unexpected),
            ('of another shape', shapes),
        ):
            if keys:
                more = f', and {len(keys) - MAX_LISTED} more'
                listed = ', '.join(keys[:MAX_LISTED])
                listed += more if len(keys) > MAX_LISTED else ''
                lines.append(f'{len(keys)} {what}: {listed}')
        return '\n'.join(f'  - {line}' for line in lines)


def compare_keys(
    wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor]
) -> KeyReport:
    """Compare the state dict of a model with the one of a checkpoint.

    Args:
        wanted (Mapping): State dict of the model.
        stored (Mapping): State dict of the checkpoint.
    """
    conflicts = {
        key: (tuple(stored[key].shape), tuple(value.shape))
        for key, value in wanted.items()
        if key in stored and stored[key].shape != value.shape
    }
    return KeyReport(
        matched=tuple(k for k in wanted if k in stored and k not in conflicts),
        # old checkpoints lack the counter, and torch fills it in
        missing=tuple(
            k
            for k in wanted
            if k not in stored and not k.endswith('num_batches_tracked')
        ),
        unexpected=tuple(k for k in stored if k not in wanted),
        conflicts=conflicts,
    )


def _sized_by_classes(model: nn.Module, report: KeyReport) -> set[str]:
    """Conflicts in heads that predict classes, only in the number of outputs."""
    heads = tuple(
        f'{name}.'
        for name, module in model.named_modules()
        if name and hasattr(module, 'num_classes') and not name.endswith('rpn_head')
    )
    return {
        key
        for key, (stored, wanted) in report.conflicts.items()
        if key.startswith(heads) and stored[1:] == wanted[1:]
    }


def check_checkpoint(
    model: nn.Module, path: str | Path, *, allow_other_classes: bool = False
) -> KeyReport:
    """Make sure that a checkpoint belongs to a model.

    mmengine loads what fits and warns about the rest in the log, so that a
    checkpoint of another model leaves random weights behind.

    Args:
        model (nn.Module): The model, on any device; it is not changed.
        path (str | Path): The checkpoint.
        allow_other_classes (bool): Whether layers that predict classes may have
            another shape and start anew, as when fine-tuning on other classes.
            Defaults to False.

    Returns:
        KeyReport: How the keys fit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or weights of the model are missing
            in it or have another shape.
    """
    report = compare_keys(model.state_dict(), get_state_dict(read_checkpoint(path)))
    anew = _sized_by_classes(model, report) if allow_other_classes else set()
    if report.missing or set(report.conflicts) - anew:
        raise ValueError(
            f'{path} is a checkpoint of another model than this '
            f'{type(model).__name__}:\n{report}\nGive the config that it was trained '
            'with. To start a new training from the weights of a part, set '
            "init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...) in that part"
        )
    return report
