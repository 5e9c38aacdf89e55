"""Two processes on the CPU, joined through gloo by torchrun."""

import socket

import pytest
import torch

from .conftest import ROOT, run_command

PROCESSES = 2


@pytest.fixture
def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


def test_two_processes_train_and_resume(tiny_configs, tmp_path, free_port):
    command = ('bash', ROOT / 'tools/dist_train.sh', tiny_configs['det'], PROCESSES)
    command = (*command, '--work-dir', 'work')
    log = run_command(*command, cwd=tmp_path, PORT=free_port)
    assert 'Distributed training: True' in log
    assert f'GPU number: {PROCESSES}' in log
    first = torch.load(tmp_path / 'work/iter_4.pth', weights_only=False)
    assert first['meta']['iter'] == 4
    print(log)
    options = ('--cfg-options', 'train_cfg.max_iters=6')
    log = run_command(*command, '--resume', *options, cwd=tmp_path, PORT=free_port)
    assert 'resumed epoch: 0, iter: 4' in log
    print(log)
    last = torch.load(tmp_path / 'work/iter_6.pth', weights_only=False)
    assert last['meta']['iter'] == 6
