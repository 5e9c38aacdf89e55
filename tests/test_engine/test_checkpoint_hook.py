"""Trainings killed at the worst moments keep and find a complete checkpoint."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.registry import HOOKS

from snndense.engine import CheckpointHook

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name('killed_runs.py')
# moment of the kill: complete checkpoints left, and the one to resume from
EXPECTED = dict(
    half_written=(['iter_2.pth'], 'iter_2.pth'),
    not_renamed=(['iter_2.pth'], 'iter_2.pth'),
    renamed=(['iter_2.pth', 'iter_4.pth'], 'iter_4.pth'),
    old_not_removed=(['iter_2.pth', 'iter_4.pth'], 'iter_4.pth'),
    best_half_written=(
        ['best_acc_iter_2.pth', 'iter_2.pth', 'iter_4.pth'],
        'iter_4.pth',
    ),
)


@pytest.fixture(scope='module')
def killed_runs(tmp_path_factory) -> dict:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp('killed'))],
        env=dict(os.environ, PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES='-1'),
        text=True,
        capture_output=True,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize('moment', EXPECTED)
def test_killed_while_saving(killed_runs, moment):
    run = killed_runs[moment]
    left, resumable = EXPECTED[moment]
    assert run['killed'] == -signal.SIGKILL
    assert run['left'] == left
    assert run['resumable'] == resumable


@pytest.mark.parametrize('moment', EXPECTED)
def test_killed_run_goes_on_to_its_end(killed_runs, moment):
    run = killed_runs[moment]
    assert run['resumed'] == 0
    assert 'iter_6.pth' in run['finally_left']
    assert run['unfinished'] == []


def test_replaced_checkpoints_are_removed(killed_runs):
    assert killed_runs['half_written']['finally_left'] == ['iter_6.pth']
    best = [
        name
        for name in killed_runs['best_half_written']['finally_left']
        if name.startswith('best')
    ]
    assert len(best) == 1


def test_hook_is_registered():
    hook = HOOKS.build(dict(type='snndense.CheckpointHook', interval=3))
    assert isinstance(hook, CheckpointHook)
    assert hook.interval == 3
