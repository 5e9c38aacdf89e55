"""Steps of the set-up: what they print, how they lock, run and fail."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SetupError(Exception):
    """One line saying what is wrong and the command that mends it."""


def say(text: str) -> None:
    print(text, flush=True)


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes} min {seconds:02d} s' if minutes else f'{seconds} s'


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print what begins, and how long it took."""
    say(f'==> {title}')
    start = time.monotonic()
    yield
    say(f'    done in {duration(time.monotonic() - start)}')


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; wait while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'==> waiting for another process that holds {path}')
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command: object) -> None:
    words = [str(word) for word in command]
    status = subprocess.run(words, stdin=subprocess.DEVNULL).returncode
    if status:
        raise SetupError(
            f'this failed (exit status {status}, the reason stands above); mend it and '
            f'call make again: {shlex.join(words)}'
        )


def install_hint(package: str) -> str:
    for manager in ('apt-get', 'dnf', 'brew'):
        if shutil.which(manager):
            sudo = '' if manager == 'brew' or os.geteuid() == 0 else 'sudo '
            return f'{sudo}{manager} install {package}'
    return f'install {package} with the package manager of your system'


def cache_dir() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'snndense'
