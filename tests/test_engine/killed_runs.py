"""Trainings that kill themselves while they save; what is left, as JSON.

A script of its own, since only a process that has not computed yet may fork one
that does.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio import LocalBackend
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner import runner as runner_module

from snndense.engine.resume import find_resumable

MAX_ITERS = 6
runner_module.collect_env = dict  # takes seconds


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, inputs: torch.Tensor, mode: str):
        out = self.layer(inputs)
        return dict(loss=out.square().mean()) if mode == 'loss' else [out]


class Rising(BaseMetric):
    """Every evaluation is better than the one before."""

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict:
        self.value = getattr(self, 'value', 0) + 1
        return dict(acc=self.value)


def train(folder: Path, **hook) -> None:
    data = dict(
        dataset=[dict(inputs=torch.ones(4)) for _ in range(8)],
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        batch_size=2,
    )
    checkpoint = dict(
        type='snndense.CheckpointHook', by_epoch=False, interval=2, **hook
    )
    cfg = Config(dict(work_dir=str(folder), default_hooks=dict(checkpoint=checkpoint)))
    found = find_resumable(cfg)
    Runner(
        Toy(),
        str(folder),
        train_dataloader=data,
        train_cfg=dict(by_epoch=False, max_iters=MAX_ITERS, val_interval=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        val_dataloader=dict(data),
        val_cfg=dict(),
        val_evaluator=Evaluator(Rising()),
        default_hooks=dict(cfg.default_hooks),
        load_from=found,
        resume=found is not None,
        log_level='ERROR',
        experiment_name=folder.name,
    ).train()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in_call(owner: object, name: str, call: int, before: Callable) -> None:
    """Let call number ``call`` of a function do ``before`` and die."""
    original = getattr(owner, name)
    calls = [0]

    def counted(*args, **kwargs):
        calls[0] += 1
        if calls[0] == call:
            before(original, *args, **kwargs)
            die()
        return original(*args, **kwargs)

    setattr(owner, name, counted)


def write_half(original: Callable, path: Path, data: bytes) -> None:
    original(path, data[: len(data) // 2])


def nothing(original: Callable, *args) -> None:
    pass


def all_of_it(original: Callable, *args) -> None:
    original(*args)


KEEP_ONE = dict(max_keep_ckpts=1)
# the second checkpoint is written by the second call, with save_best by the fourth:
# a better one is followed by the last checkpoint, which notes it
MOMENTS = dict(
    half_written=(Path, 'write_bytes', 2, write_half, KEEP_ONE),
    not_renamed=(os, 'replace', 2, nothing, KEEP_ONE),
    renamed=(os, 'replace', 2, all_of_it, KEEP_ONE),
    old_not_removed=(LocalBackend, 'remove', 1, nothing, KEEP_ONE),
    best_half_written=(Path, 'write_bytes', 5, write_half, dict(save_best='acc')),
)


def in_child(function: Callable, *args, **kwargs) -> int:
    """Exit status, or minus the signal, of a function in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            function(*args, **kwargs)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_killed(folder: Path, moment: str) -> None:
    owner, name, call, before, hook = MOMENTS[moment]
    kill_in_call(owner, name, call, before)
    train(folder, **hook)


def checkpoints(folder: Path) -> list[str]:
    """Names of the checkpoints of a folder, all of which can be read."""
    found = [path for path in folder.glob('*.pth') if not path.name.startswith('.')]
    for path in found:
        torch.load(path, weights_only=False)
    return sorted(path.name for path in found)


def main() -> None:
    root, report = Path(sys.argv[1]), {}
    for moment, (*_, hook) in MOMENTS.items():
        folder = root / moment
        killed = in_child(run_killed, folder, moment)
        left = checkpoints(folder)
        found = find_resumable(Config(dict(work_dir=str(folder))))
        report[moment] = dict(
            killed=killed,
            left=left,
            resumable=found and Path(found).name,
            resumed=in_child(train, folder, **hook),
            finally_left=checkpoints(folder),
            unfinished=[path.name for path in folder.glob('.*')],
        )
    print(json.dumps(report))


if __name__ == '__main__':
    main()
