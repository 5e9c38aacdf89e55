"""Time and peak memory of models, side by side.

Every contender lives in a process of its own and the processes take turns step by
step, so that a disturbance of the machine hits all of them alike and the ratios keep
their meaning. Peak memory is measured afterwards, in a fresh process for each.
"""

import ast
import os
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .benchmark_worker import Contender, Worker, Workload

PEAK_STEPS = 2  # what is made once and kept, such as oneDNN's buffers, counts too
GLIBC_MMAP_THRESHOLD = 'MALLOC_MMAP_THRESHOLD_'


@dataclass(frozen=True)
class Measurement:
    """Seconds of every step, and peak memory on top of the model and its input.

    ``peak_bytes`` is None where the operating system does not tell.
    """

    name: str
    seconds: tuple[float, ...]
    peak_bytes: int | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def times_slower(self, other: 'Measurement') -> float:
        """Median over the rounds of this time over the other's."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def times_memory(self, other: 'Measurement') -> float | None:
        """This peak over the other's; None where one of them is unknown."""
        if not self.peak_bytes or not other.peak_bytes:
            return None
        return self.peak_bytes / other.peak_bytes


def defines_patch(path: str) -> bool:
    """Whether a Python file is a patch: has ``patch(model)`` at its top level."""
    tree = ast.parse(Path(path).read_text(encoding='utf-8'), filename=path)
    return any(
        isinstance(node, ast.FunctionDef) and node.name == 'patch' for node in tree.body
    )


def measure(
    contenders: list[Contender],
    workload: Workload,
    *,
    repeat: int = 10,
    warmup: int = 2,
    on_step: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Run all contenders in turns and report what each step took.

    Args:
        contenders (list[Contender]): Models to compare.
        workload (Workload): What each of them runs.
        repeat (int): Measured steps of each. Defaults to 10.
        warmup (int): Steps of each before them. Defaults to 2.
        on_step (Callable): Called after every step of any contender.

    Raises:
        ValueError: If ``repeat`` or ``warmup`` is out of range, or a contender cannot
            be built from its config.
        RuntimeError: If a contender fails; its traceback is in the message.
    """
    if repeat < 1 or warmup < 0:
        raise ValueError(
            f'expected repeat >= 1 and warmup >= 0, but got {repeat=}, {warmup=}'
        )
    seconds = _take_turns(contenders, workload, warmup + repeat, on_step)
    measurements = []
    for contender, taken in zip(contenders, seconds, strict=True):
        peak = _measure_peak(contender, workload, on_step)
        measurements.append(Measurement(contender.name, tuple(taken[warmup:]), peak))
    return measurements


def num_steps(num_contenders: int, repeat: int, warmup: int) -> int:
    """How often :func:`measure` calls ``on_step``."""
    return num_contenders * (repeat + warmup + PEAK_STEPS)


def _take_turns(
    contenders: list[Contender],
    workload: Workload,
    steps: int,
    on_step: Callable[[], None],
) -> list[list[float]]:
    with ExitStack() as stack:
        workers = [Worker(contender, workload) for contender in contenders]
        for worker in workers:
            stack.callback(worker.close)
        for worker in workers:
            worker.receive()  # built
        seconds = [[] for _ in workers]
        for _ in range(steps):
            for worker, taken in zip(workers, seconds, strict=True):
                taken.append(worker.ask('step'))
                on_step()
    return seconds


def _measure_peak(
    contender: Contender, workload: Workload, on_step: Callable[[], None]
) -> int | None:
    """Peak memory in a fresh process of its own.

    There glibc maps every large tensor on its own. By default it moves that bound
    while it runs and keeps freed tensors in a fragmented heap, whose size depends
    more on chance than on the model. It would cost time, hence the second process.
    """
    outside = os.environ.get(GLIBC_MMAP_THRESHOLD)
    os.environ[GLIBC_MMAP_THRESHOLD] = str(2**16)
    try:
        worker = Worker(contender, workload)
    finally:
        if outside is None:
            del os.environ[GLIBC_MMAP_THRESHOLD]
        else:
            os.environ[GLIBC_MMAP_THRESHOLD] = outside
    with ExitStack() as stack:
        stack.callback(worker.close)
        worker.receive()  # built
        for _ in range(PEAK_STEPS):
            worker.ask('step')
            on_step()
        return worker.ask('peak')
