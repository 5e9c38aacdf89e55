"""Folders of an event data set, from archives to frames; each complete or absent."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock
from mmengine.logging import print_log
from tqdm import tqdm

from ..utils.files import complete_folder
from ..utils.tables import bullets

ARCHIVES = ('.zip', '.tar.gz')
MAX_THREADS = 8  # numpy and zlib let them run side by side


def frames_folder(time_steps: int, split_by: str) -> str:
    """Name of the folder of frames, which is spikingjelly's."""
    return f'frames_number_{time_steps}_split_by_{split_by}'


def archives(reader: type) -> list[tuple[str, str, str]]:
    """Name, address and MD5 sum of every archive with events.

    Args:
        reader (type): Data set class of spikingjelly.
    """
    return [
        resource
        for resource in reader.resource_url_md5()
        if resource[0].endswith(ARCHIVES) and 'annotations' not in resource[0]
    ]


def check_archives(root: Path, name: str, raw_pattern: str, reader: type) -> None:
    """Make sure that all archives are in ``root/download``.

    Raises:
        FileNotFoundError: Naming those that are missing if some are there, with all
            that is expected under ``root``, and where.
    """
    wanted = archives(reader)
    missing = [
        file for file, _, _ in wanted if not (root / 'download' / file).is_file()
    ]
    if not missing:
        return
    is_partial = len(missing) < len(wanted)
    what = f'Missing: {", ".join(missing)}. ' if is_partial else ''
    listed = '\n'.join(f'      {file}  (MD5 {md5}; {url})' for file, url, md5 in wanted)
    raise FileNotFoundError(
        f'{what}{name} is not in {root}. Nothing is downloaded; expected one of\n'
        f'  - archives, unpacked on first use:\n'
        f'    {root / "download"}/\n{listed}\n'
        f'  - what is in the archives: {root / "extract" / raw_pattern}\n'
        f'  - events or frames made by spikingjelly: {root / "events_np"}/, '
        f'{root / "frames_number_*"}/\n'
        'Put or link the data there (ln -s /path/to/it ...), or name another place '
        'with data_root='
    )


def is_there(folder: Path) -> bool:
    """Whether a folder has contents.

    Raises:
        ValueError: If spikingjelly was interrupted while it wrote it.
    """
    marker = folder.with_name(f'{folder.name}.building')
    if marker.exists():
        raise ValueError(
            f'spikingjelly did not finish {folder}: {marker} is still there. Remove '
            'both and start again'
        )
    return folder.is_dir() and any(folder.iterdir())


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Let one process at a time prepare a data set; the others wait."""
    with FileLock(root / '.preparing.lock'):
        yield


def unpack(root: Path, name: str, raw_pattern: str, reader: type) -> Path:
    """Unpack the archives in ``root/download`` into ``root/extract``.

    Returns:
        Path: The unpacked folder.

    Raises:
        FileNotFoundError: Naming the archives that are missing.
        ValueError: Naming the archives that are damaged.
    """
    target, source = root / 'extract', root / 'download'
    if is_there(target):
        return target
    check_archives(root, name, raw_pattern, reader)
    wanted = archives(reader)
    print_log(f'Checking {len(wanted)} archives of {name} ...', 'current')
    damaged = []
    for file, _, expected in wanted:
        actual = md5_sum(source / file)
        if actual != expected:
            damaged.append(f'  - {source / file}: {actual}, expected {expected}')
    if damaged:
        listed = '\n'.join(damaged)
        raise ValueError(f'Archives with a wrong MD5 sum, copy them again:\n{listed}')
    print_log(f'Unpacking {name} into {target} ...', 'current')
    with complete_folder(target) as folder:
        reader.extract_downloaded_files(source, folder)
    return target


def md5_sum(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'md5').hexdigest()


def convert(
    sources: Iterable[Path],
    process: Callable[[Path, Path], None],
    target: Path,
    what: str,
) -> None:
    """Make a folder out of files, with progress; it is complete or absent.

    Args:
        sources (Iterable[Path]): The files.
        process (Callable): Reads a file and writes below the folder given to it.
        target (Path): The folder to make.
        what (str): What is being done, for messages.

    Raises:
        ValueError: Naming the files that cannot be used.
        RuntimeError: If ``process`` fails otherwise, naming the file.
    """
    sources = list(sources)
    print_log(f'{what}: {len(sources)} files into {target} ...', 'current')
    bad = []
    workers = min(MAX_THREADS, os.cpu_count() or 1)
    with complete_folder(target) as folder, ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(process, source, folder): source for source in sources}
        try:
            finished = as_completed(futures)
            for future in tqdm(finished, what, len(futures), False, disable=None):
                error, source = future.exception(), str(futures[future])
                if isinstance(error, ValueError):
                    text = str(error)
                    bad.append(text if source in text else f'{source}: {text}')
                elif isinstance(error, Exception) and not isinstance(error, OSError):
                    kind = type(error).__name__
                    raise RuntimeError(f'{source}: {kind}: {error}') from error
                elif error is not None:
                    raise error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if bad:
            raise ValueError(
                f'{len(bad)} of {len(sources)} files cannot be used; nothing was '
                f'written:\n{bullets(sorted(bad))}'
            )


def save_npz(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def samples(folder: Path) -> list[Path]:
    """Sample files below a folder, sorted."""
    return sorted(folder.rglob('*.npz'))
