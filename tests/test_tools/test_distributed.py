"""Two processes on the CPU, joined through gloo by torchrun."""

import pickle
import socket

import pytest
import torch

from .conftest import ROOT, run_command

PROCESSES = 2


@pytest.fixture
def launch(tmp_path):
    """Run a launch script in ``tmp_path``; its output."""
    pytest.importorskip('mmdet')

    def run(script: str, *args: object) -> str:
        with socket.socket() as listener:  # a port that is free
            listener.bind(('127.0.0.1', 0))
            port = str(listener.getsockname()[1])
        return run_command(
            'bash', ROOT / 'tools' / script, *args, cwd=tmp_path, PORT=port
        )

    return run


def test_two_processes_train_resume_and_test(launch, tiny_configs, tmp_path):
    config = tiny_configs['det']
    log = launch('dist_train.sh', config, PROCESSES, '--work-dir', 'work')
    assert 'Distributed training: True' in log
    assert f'GPU number: {PROCESSES}' in log
    first = torch.load(tmp_path / 'work/iter_4.pth', weights_only=False)
    assert first['meta']['iter'] == 4
    assert not [key for key in first['state_dict'] if key.startswith('module.')]

    options = ('--resume', '--auto-scale-lr', '--no-validate')
    more = ('--cfg-options', 'train_cfg.max_iters=6')
    log = launch(
        'dist_train.sh', config, PROCESSES, '--work-dir', 'work', *options, *more
    )
    assert 'resumed epoch: 0, iter: 4' in log
    assert 'Scaling the original LR by 0.5.' in log  # 2 x 2 images instead of 8
    last = tmp_path / 'work/iter_6.pth'
    assert torch.load(last, weights_only=False)['meta']['iter'] == 6

    log = launch('dist_test.sh', config, last, PROCESSES, '--out', 'out.pkl')
    assert 'coco/bbox_mAP:' in log
    results = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    assert sorted(result['img_id'] for result in results) == list(range(1, 9))
