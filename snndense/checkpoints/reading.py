"""Reading checkpoint files without running any code that they may contain."""

import hashlib
import json
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import HTTPError
from urllib.parse import urlsplit

import numpy as np
import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import HistoryBuffer
from torch import Tensor

# what mmengine stores beside tensors: the log's buffers, as numpy arrays
_array, _scalar = np.ones(1).__reduce__()[0], np.float64(0).__reduce__()[0]
STORED_TYPES = (
    HistoryBuffer,
    Namespace,  # published classification files keep their command line
    getattr,  # finds the methods of HistoryBuffer; what it finds cannot be called
    slice,
    np.ndarray,
    np.dtype,
    _array,
    _scalar,
    *{type(np.dtype(name)) for name in np.typecodes['AllInteger'] + 'efd?SU'},
)
SAFETENSORS = '.safetensors'
WEB = ('http://', 'https://')
#: Entry of ``meta`` with what this package writes about a converted file.
BLOCK = 'snndense'
# where training scripts put weights, and their running averages
ENTRIES = ('model', 'state_dict', 'net', 'model_state_dict')
AVERAGED_ENTRIES = ('state_dict_ema', 'model_ema', 'ema_state_dict', 'ema')
# what DDP, averaged models, torch.compile and Lightning put in front of every key
WRAPPERS = ('module.', '_orig_mod.', 'model.')
COUNTERS = ('n_averaged', 'steps')  # of averaged models, beside their weights


def read_checkpoint(
    path: str | Path, *, allow_pickle: bool = False, map_location: str | None = 'cpu'
) -> dict:
    """Read a ``.pth`` or ``.safetensors`` file.

    Args:
        path (str | Path): Local file, or an address that mmengine can fetch.
        allow_pickle (bool): Whether a file that holds more than weights is
            unpickled, which runs whatever code is in it. Defaults to False.
        map_location (str, optional): Where tensors go; None: where they came from.
            Defaults to ``'cpu'``.

    Returns:
        dict: Its contents. Of a ``.safetensors`` file: ``state_dict``, and ``meta``
        if this package wrote it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, no checkpoint, or holds objects that
            only unpickling could restore.
    """
    if str(path).startswith(WEB):
        path = fetch(str(path))
    elif '://' in str(path):
        from mmengine.runner import CheckpointLoader

        return CheckpointLoader.load_checkpoint(str(path), map_location=map_location)
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path, map_location)
    try:
        if allow_pickle:
            checkpoint = torch.load(path, map_location=map_location, weights_only=False)
        else:
            with torch.serialization.safe_globals(list(STORED_TYPES)):
                checkpoint = torch.load(
                    path, map_location=map_location, weights_only=True
                )
    except UnpicklingError as error:
        raise ValueError(_unpickling_message(path)) from error
    except (ImportError, AttributeError) as error:  # of a pickled class
        raise ValueError(f'{path} cannot be unpickled here: {error}') from error
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


def fetch(address: str) -> Path:
    """Download a file into the folder that torch keeps downloads in, once.

    Of several processes the first one downloads, and the others wait for it; those
    that do not share its folder download after it.

    Args:
        address (str): An ``http://`` or ``https://`` address.

    Raises:
        FileNotFoundError: If there is no file at the address.
        OSError: If the download breaks off; nothing is kept.
    """
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    name = f'{digest}_{Path(urlsplit(address).path).name}'
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if get_rank() == 0:
        _download(address, path)
    barrier()
    _download(address, path)  # on another machine the file may still be missing
    return path


def _download(address: str, path: Path) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(address, str(path))
    except HTTPError as error:
        raise FileNotFoundError(f'there is no {address}: {error}') from error


def _unpickling_message(path: Path) -> str:
    with open(path, 'rb') as file:
        start = file.read(2)
    # an archive, or the bare pickle that torch.save wrote before version 1.6
    if start != b'PK' and start[:1] != b'\x80':
        return f'{path} is no checkpoint'
    return (
        f'{path} holds more than weights and is not unpickled, since that could run '
        'code. If you trust where it comes from, keep its weights alone with '
        'tools/model_converters/convert.py --allow-pickle (a published file), or with '
        "torch.save(torch.load(PATH, weights_only=False)['state_dict'], NEW_PATH)"
    )


def _read_safetensors(path: Path, map_location: str | None) -> dict:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='pt', device=str(map_location or 'cpu')) as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f'{path} cannot be read, it is truncated or damaged ({error})'
        ) from error
    checkpoint = dict(state_dict=tensors)
    if BLOCK in metadata:
        checkpoint['meta'] = {BLOCK: json.loads(metadata[BLOCK])}
    return checkpoint


def strip_wrappers(keys: Iterable[str]) -> dict[str, str]:
    """Keys without what wrappers put in front of all of them, by the key."""
    stripped = {key: key for key in keys}
    while stripped:
        for wrapper in WRAPPERS:
            if all(name.startswith(wrapper) for name in stripped.values()):
                break
        else:
            return stripped
        stripped = {k: name.removeprefix(wrapper) for k, name in stripped.items()}
    return stripped


def get_state_dict(checkpoint: dict) -> dict[str, Tensor]:
    """Weights of a checkpoint, without the prefix of a distributed wrapper."""
    state_dict = checkpoint.get('state_dict', checkpoint)
    return {
        key.removeprefix('module.'): value
        for key, value in state_dict.items()
        if isinstance(value, Tensor)
    }


def find_weights(checkpoint: dict, *, averaged: bool = False) -> dict[str, Tensor]:
    """Weights of a published file, without half precision and wrappers.

    Args:
        checkpoint (dict): Contents of the file: the weights themselves, or a dict
            with them in an entry ``model``, ``state_dict`` or the like.
        averaged (bool): Whether to take the running average of the weights (EMA)
            where a file holds both. Defaults to False.

    Raises:
        ValueError: If there are no weights, or no averaged ones.
    """
    first, second = ENTRIES, AVERAGED_ENTRIES
    if averaged:
        first, second = second, ()
    names = [name for name in (*first, *second) if _has_weights(checkpoint.get(name))]
    if averaged and not names:
        raise ValueError(
            'the file holds no averaged weights: expected an entry of '
            f'{AVERAGED_ENTRIES}, but got {sorted(map(str, checkpoint))[:8]}'
        )
    entry = checkpoint[names[0]] if names else checkpoint
    tensors = {
        key: value
        for key, value in entry.items()
        if isinstance(value, Tensor) and key not in COUNTERS
    }
    if not tensors:
        raise ValueError(
            f'expected weights, but the file holds only {sorted(map(str, entry))[:8]}'
        )
    names_of = strip_wrappers(tensors)
    return {names_of[key]: _without_half_precision(v) for key, v in tensors.items()}


def has_averaged_weights(checkpoint: dict) -> bool:
    """Whether a file holds weights and, besides, their running average."""
    has = {
        names: any(_has_weights(checkpoint.get(name)) for name in names)
        for names in (ENTRIES, AVERAGED_ENTRIES)
    }
    return all(has.values())


def _has_weights(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    return any(isinstance(value, Tensor) for value in entry.values())


def _without_half_precision(value: Tensor) -> Tensor:
    # buffers updated under autocast are stored in half precision
    is_half = value.is_floating_point() and value.itemsize < 4
    return value.float() if is_half else value
