"""Files and folders that are complete or absent, whenever the process dies."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = '.unfinished'


def unfinished_path(path: str | Path) -> Path:
    """Name under which ``path`` is written; hidden, beside it, same suffix."""
    path = Path(path)
    return path.with_name(f'.{path.stem}{UNFINISHED}{path.suffix}')


def _sync_folder(folder: Path) -> None:
    # a rename survives a power failure only once its folder is on the disk
    if os.name == 'posix':
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def complete_file(path: str | Path) -> Iterator[Path]:
    """Write a file under a temporary name and give it its name when it is complete.

    Whoever looks at ``path`` sees the earlier file or the new one, never a part of
    it. After an error the temporary file is removed; after a kill it stays behind
    under :func:`unfinished_path`.

    Args:
        path (str | Path): The file to write; its folder is made if it is missing.

    Yields:
        Path: Where to write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished_path(path)
    try:
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: str | Path) -> Iterator[Path]:
    """As :func:`complete_file`, for a whole folder that must be new or empty.

    Raises:
        FileExistsError: If ``path`` has contents.
    """
    path = Path(path)
    check_new_folder(path)
    temporary = unfinished_path(path)
    shutil.rmtree(temporary, ignore_errors=True)  # left behind by a killed process
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new_folder(path: str | Path) -> None:
    """Raise FileExistsError if ``path`` is a file or a folder with contents."""
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise FileExistsError(
            f'{path} is already there and not empty: results of two runs are never '
            'mixed. Remove it or choose another place'
        )
