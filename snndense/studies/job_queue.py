"""Processes that run side by side, and end with the one that started them."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import torch

DEVICES = ('auto', 'cuda', 'cpu')


class Processes:
    """Child processes that :meth:`stop` ends all at once.

    Each has a session of its own, so that its data loader's workers end with it.

    Args:
        inherited (tuple[int]): File descriptors that stay open in them.
    """

    def __init__(self, inherited: tuple[int, ...] = ()) -> None:
        self._inherited = inherited
        self._running: set[subprocess.Popen] = set()
        self._lock = Lock()
        self._stopped = False

    def run(self, command: Sequence[str], log: Path, env: dict[str, str]) -> int:
        """Run a command to its end, its output appended to ``log``.

        Returns:
            int: Its exit status.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('ab') as output:
            with self._lock:
                if self._stopped:
                    return -signal.SIGTERM
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **env},
                    start_new_session=True,
                    pass_fds=self._inherited,
                )
                self._running.add(process)
            try:
                return process.wait()
            finally:
                with self._lock:
                    self._running.discard(process)

    def stop(self) -> None:
        """End all processes and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """Keep a folder to this process and its children.

    Yields:
        int: The descriptor to hand on to them: the folder is free when all are gone,
        also after a kill.

    Raises:
        ValueError: If other processes have it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / '.lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f'other processes are at work in {folder}; wait for them, end them, '
                'or choose another --work-dir'
            ) from None
        yield file.fileno()


def work_off(
    items: Sequence[Any],
    work: Callable[[Any, dict[str, str]], Any],
    report: Callable[[Any, Future], None],
    environments: Sequence[dict[str, str]],
    processes: Processes,
) -> None:
    """Do ``work(item, environment)`` for all items, in threads side by side.

    Args:
        items (Sequence): What to work on, in this order.
        work (Callable): Called in a thread; runs its commands in ``processes``.
        report (Callable): Called here with an item and its future when it is done.
        environments (Sequence[dict]): One per item that is worked on at a time.
        processes (Processes): Stopped when this process is interrupted.
    """
    free: SimpleQueue = SimpleQueue()
    for environment in environments:
        free.put(environment)

    def take(item: Any) -> Any:
        environment = free.get()
        try:
            return work(item, environment)
        finally:
            free.put(environment)

    with ThreadPoolExecutor(len(environments)) as pool:
        futures = {pool.submit(take, item): item for item in items}
        try:
            for future in as_completed(futures):
                report(futures[future], future)
        except BaseException:
            for future in futures:
                future.cancel()
            processes.stop()
            raise


def job_environments(
    jobs: int, threads: int = 1, device: str = 'auto'
) -> list[dict[str, str]]:
    """Environment variables of ``jobs`` trainings side by side.

    Args:
        jobs (int): How many; of several GPUs, they take one each in turn.
        threads (int): CPU threads of each. Defaults to 1.
        device (str): ``'cuda'``, ``'cpu'``, or ``'auto'`` for GPUs where there are
            some. Defaults to ``'auto'``.

    Raises:
        ValueError: If there is no GPU for ``'cuda'``, or for numbers below 1.
    """
    if jobs < 1 or threads < 1:
        raise ValueError(f'expected at least 1, but got {jobs=}, {threads=}')
    gpus = _visible_gpus() if device != 'cpu' else []
    if device == 'cuda' and not gpus:
        raise ValueError("device='cuda', but torch finds no GPU; leave it at 'auto'")
    # idle threads of GNU's OpenMP would spin for long, and keep others from working
    common = dict(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    common['GOMP_SPINCOUNT'] = os.environ.get('GOMP_SPINCOUNT', '1000')
    return [
        dict(common, CUDA_VISIBLE_DEVICES=gpus[job % len(gpus)] if gpus else '-1')
        for job in range(jobs)
    ]


def _visible_gpus() -> list[str]:
    named: str | None = os.environ.get('CUDA_VISIBLE_DEVICES')
    count = torch.cuda.device_count()  # makes no context on the GPU
    return named.split(',')[:count] if named else [str(i) for i in range(count)]
