"""The process that runs one contender of a benchmark."""

import multiprocessing
import runpy
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import nn

from snndense.engine.preflight import build_model
from snndense.utils.cli import USER_ERRORS, read_config
from snndense.utils.synthetic import input_shape, synthetic_batch

PARTS = ('backbone', 'model')


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
            changes what is run, the model or its backbone, in place, such as a
            reference to compare with.
        cfg_options (dict): Overrides of the config.

    Raises:
        FileNotFoundError: If a file does not exist.
    """

    config: str
    patch: str | None = None
    cfg_options: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in filter(None, (self.config, self.patch)):
            if not Path(path).is_file():
                raise FileNotFoundError(f'no such file: {path}')

    @property
    def name(self) -> str:
        return Path(self.patch or self.config).stem

    def build(self) -> tuple[BaseModel, str]:
        """The untrained, unpatched model and the scope of its toolbox.

        Raises:
            ValueError: If the config has no model with a backbone.
        """
        cfg = read_config(self.config, self.cfg_options)
        if (cfg.get('model') or {}).get('backbone') is None:
            raise ValueError('the config has no model with a backbone')
        return build_model(cfg), cfg.default_scope


class Worker:
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
        model, scope = contender.build()
    except USER_ERRORS as error:
        raise _CannotBuild(error) from error
    shape = (workload.batch_size, *input_shape(model, workload.shape))
    if workload.part == 'backbone':
        model = model.backbone
    if contender.patch is not None:
        runpy.run_path(contender.patch)['patch'](model)
    if workload.fuse_conv_bn:
        from mmcv.cnn import fuse_conv_bn

        model = fuse_conv_bn(model)
    model = model.to(workload.device).train(workload.train)
    if workload.part == 'model':
        forward, backward = _model_pass(model, scope, workload)
    else:
        forward, backward = _backbone_pass(model, shape, workload.device)
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


def _backbone_pass(
    model: nn.Module, shape: tuple[int, ...], device: str
) -> tuple[Callable, Callable]:
    inputs = torch.randn(shape, device=device)

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


def _memory(workload: Workload) -> int | None:
    if workload.is_cuda:
        torch.cuda.reset_peak_memory_stats(workload.device)
        return torch.cuda.memory_allocated(workload.device)
    return _resident('VmRSS')


def _peak_increase(used: int | None, workload: Workload) -> int | None:
    if workload.is_cuda:
        return torch.cuda.max_memory_allocated(workload.device) - used
    return None if used is None else _resident('VmHWM') - used


def _resident(entry: str) -> int | None:
    """Bytes of this process in memory: ``'VmRSS'`` now, ``'VmHWM'`` at most."""
    # not resource.getrusage: its peak starts at that of the parent process
    status = Path('/proc/self/status')
    if not status.exists():  # not Linux
        return None
    lines = dict(line.split(':', 1) for line in status.read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024  # kB
