"""Time and peak memory of models, side by side.

Every contender lives in a process of its own and the processes take turns step by
step, so that a disturbance of the machine hits all of them alike and the ratios keep
their meaning. Peak memory is measured afterwards, in a fresh process for each.
"""

import ast
import multiprocessing
import os
import runpy
import statistics
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Optional

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from .cli import USER_ERRORS, read_config
from .synthetic import synthetic_batch

PARTS = ('backbone', 'model')
PEAK_STEPS = 2  # what is made once and kept, such as oneDNN's buffers, counts too
GLIBC_MMAP_THRESHOLD = 'MALLOC_MMAP_THRESHOLD_'


@dataclass(frozen=True)
class Workload:
    """What every contender runs.

    Args:
        shape (tuple[int, int]): Height and width of the input.
        batch_size (int): Images per step.
        train (bool): Forward and backward in training mode instead of a forward
            in evaluation mode.
        device (str): ``'cpu'`` or ``'cuda:0'`` and the like.
        amp (bool): Automatic mixed precision: bfloat16 on the CPU, float16 on CUDA.
        part (str): ``'backbone'``, or ``'model'`` with neck, heads, losses and
            post-processing, on random images and annotations.
        fuse_conv_bn (bool): Fold batch norms into convolutions (evaluation only).

    Raises:
        ValueError: For a setting that cannot be run here.
    """

    shape: tuple[int, int]
    batch_size: int = 1
    train: bool = False
    device: str = 'cpu'
    amp: bool = False
    part: str = 'backbone'
    fuse_conv_bn: bool = False

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f'expected part in {PARTS}, but got {self.part!r}')
        if min(*self.shape, self.batch_size) < 1:
            raise ValueError(
                'expected a height, a width and a batch size >= 1, but got '
                f'shape={self.shape}, batch_size={self.batch_size}'
            )
        if self.is_cuda and not torch.cuda.is_available():
            raise ValueError(
                f'device={self.device!r} was asked for, but torch sees no CUDA device; '
                "use 'cpu'"
            )
        if self.fuse_conv_bn and self.train:
            raise ValueError('fuse_conv_bn needs running statistics: not for training')

    @property
    def is_cuda(self) -> bool:
        return torch.device(self.device).type == 'cuda'


@dataclass(frozen=True)
class Contender:
    """One model to measure.

    Args:
        config (str): Config file of a detector, segmentor or classifier.
        patch (str, optional): Python file with a function ``patch(model)`` that
            changes the built model in place, such as a reference to compare with.
        cfg_options (dict): Overrides of the config.

    Raises:
        FileNotFoundError: If a file does not exist.
    """

    config: str
    patch: Optional[str] = None
    cfg_options: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in filter(None, (self.config, self.patch)):
            if not Path(path).is_file():
                raise FileNotFoundError(f'no such file: {path}')

    @property
    def name(self) -> str:
        return Path(self.patch or self.config).stem

    def build(self, part: str) -> tuple[nn.Module, str]:
        """The untrained model and the scope of its toolbox; reads no checkpoint.

        Raises:
            ValueError: If the config has no such part.
        """
        cfg = read_config(self.config, self.cfg_options)
        init_default_scope(cfg.default_scope)
        model_cfg = cfg.get('model')
        if model_cfg is not None and part == 'backbone':
            model_cfg = model_cfg.get('backbone')
        if model_cfg is None:
            wanted = 'model.backbone' if part == 'backbone' else 'model'
            raise ValueError(f'the config has no {wanted}')
        model = MODELS.build(model_cfg)
        if self.patch is not None:
            runpy.run_path(self.patch)['patch'](model)
        return model, cfg.default_scope


@dataclass(frozen=True)
class Measurement:
    """Seconds of every step, and peak memory on top of the model and its input.

    ``peak_bytes`` is None where the operating system does not tell.
    """

    name: str
    seconds: tuple[float, ...]
    peak_bytes: Optional[int]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def times_slower(self, other: 'Measurement') -> float:
        """Median over the rounds of this time over the other's."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def times_memory(self, other: 'Measurement') -> Optional[float]:
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
        workers = [_Worker(contender, workload) for contender in contenders]
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
) -> Optional[int]:
    """Peak memory in a fresh process of its own.

    There glibc maps every large tensor on its own. By default it moves that bound
    while it runs and keeps freed tensors in a fragmented heap, whose size depends
    more on chance than on the model. It would cost time, hence the second process.
    """
    outside = os.environ.get(GLIBC_MMAP_THRESHOLD)
    os.environ[GLIBC_MMAP_THRESHOLD] = str(2**16)
    try:
        worker = _Worker(contender, workload)
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


class _Worker:
    """The process of one contender, as seen by the one that takes the times."""

    def __init__(self, contender: Contender, workload: Workload) -> None:
        context = multiprocessing.get_context('spawn')
        self.name = contender.name
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, contender, workload), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, request: str) -> float | int | None:
        self.connection.send(request)
        return self.receive()

    def receive(self) -> float | int | None:
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError) as lost:
            self.process.join()
            raise RuntimeError(
                f'{self.name} ended without a result (exit code '
                f'{self.process.exitcode}); -9 usually means out of memory'
            ) from lost
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, contender: Contender, workload: Workload) -> None:
    try:
        step = _prepare(contender, workload)
        used = _memory(workload)
        connection.send(None)
        while True:
            request = connection.recv()
            if request == 'step':
                connection.send(_timed(step, workload))
            else:
                connection.send(_peak_increase(used, workload))
    except EOFError:  # the other side has hung up
        return
    except _CannotBuild as error:
        connection.send(ValueError(f'{contender.config}: {error}'))
    except Exception:  # whatever it is, the other side reports it
        trace = traceback.format_exc()
        connection.send(RuntimeError(f'{contender.name} failed:\n{trace}'))


def _timed(step: Callable[[], None], workload: Workload) -> float:
    def clock() -> float:
        if workload.is_cuda:
            torch.cuda.synchronize(workload.device)
        return time.perf_counter()

    start = clock()
    step()
    return clock() - start


class _CannotBuild(Exception):
    """A mistake in a config, such as an unknown size."""


def _prepare(contender: Contender, workload: Workload) -> Callable[[], None]:
    torch.manual_seed(0)
    try:
        model, scope = contender.build(workload.part)
    except USER_ERRORS as error:
        raise _CannotBuild(error) from error
    if workload.fuse_conv_bn:
        from mmcv.cnn import fuse_conv_bn

        model = fuse_conv_bn(model)
    model = model.to(workload.device).train(workload.train)
    if workload.part == 'model':
        forward, backward = _model_pass(model, scope, workload)
    else:
        forward, backward = _backbone_pass(model, workload)
    device_type = torch.device(workload.device).type
    dtype = torch.float16 if workload.is_cuda else torch.bfloat16
    grad_mode = nullcontext if workload.train else torch.no_grad

    def step() -> None:
        with grad_mode(), torch.autocast(device_type, dtype, enabled=workload.amp):
            outputs = forward()
        if workload.train:
            backward(outputs)
            model.zero_grad(set_to_none=True)

    return step


def _backbone_pass(model: nn.Module, workload: Workload) -> tuple[Callable, Callable]:
    channels = getattr(model, 'in_channels', 3)
    shape = (workload.batch_size, channels, *workload.shape)
    inputs = torch.randn(shape, device=workload.device)

    def backward(outputs: tuple) -> None:
        # random, since batch norms would turn the gradient of a mean into zeros
        torch.autograd.backward(outputs, [torch.randn_like(x) for x in outputs])

    return lambda: model(inputs), backward


def _model_pass(
    model: nn.Module, scope: str, workload: Workload
) -> tuple[Callable, Callable]:
    batch = synthetic_batch(model, scope, workload.shape, workload.batch_size)
    batch = model.data_preprocessor(batch, workload.train)
    mode = 'loss' if workload.train else 'predict'

    def backward(losses: dict) -> None:
        model.parse_losses(losses)[0].backward()

    return lambda: model(**batch, mode=mode), backward


def _memory(workload: Workload) -> Optional[int]:
    if workload.is_cuda:
        torch.cuda.reset_peak_memory_stats(workload.device)
        return torch.cuda.memory_allocated(workload.device)
    return _resident('VmRSS')


def _peak_increase(used: Optional[int], workload: Workload) -> Optional[int]:
    if workload.is_cuda:
        return torch.cuda.max_memory_allocated(workload.device) - used
    return None if used is None else _resident('VmHWM') - used


def _resident(entry: str) -> Optional[int]:
    """Bytes of this process in memory: ``'VmRSS'`` now, ``'VmHWM'`` at most."""
    # not resource.getrusage: its peak starts at that of the parent process
    status = Path('/proc/self/status')
    if not status.exists():  # not Linux
        return None
    lines = dict(line.split(':', 1) for line in status.read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024  # kB
