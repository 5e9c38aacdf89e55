import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / 'tools/misc/demo.py')]
ENV = {**os.environ, 'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': '-1'}


def start(
    work_dir: Path, *flags: str, task: str = 'det'
) -> tuple[subprocess.Popen, Path]:
    """A quick demo in a process of its own, and the file of its output."""
    output = work_dir.parent / 'output.txt'
    with output.open('w') as file:
        process = subprocess.Popen(
            [*COMMAND, task, '--quick', '--work-dir', str(work_dir), *flags],
            cwd=work_dir.parent,
            env=ENV,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return process, output


@pytest.fixture(scope='module')
def killed_and_resumed(tmp_path_factory) -> tuple[Path, str]:
    """A quick demo killed after its first epoch and started again: folder, output."""
    pytest.importorskip('mmdet')
    work_dir = tmp_path_factory.mktemp('demo') / 'results'
    process, output = start(work_dir)
    while not (work_dir / 'epoch_1.pth').exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (work_dir / 'loss.png').exists(), output.read_text()
    process, output = start(work_dir, '--num-pictures', '2')
    assert process.wait() == 0, output.read_text()
    return work_dir, output.read_text()


def test_demo_leaves_its_results(killed_and_resumed):
    work_dir, output = killed_and_resumed
    rows = [line.split() for line in output.splitlines()]
    assert ['AP', 'AP50', 'AP75'] in rows
    for kind in ('boxes', 'masks'):
        (values,) = [row[1:] for row in rows if row[:1] == [kind]]
        assert len(values) == 3 and all(0 <= float(value) <= 1 for value in values)
    assert str(work_dir / 'predictions') in output
    pictures = sorted((work_dir / 'predictions').iterdir())
    assert [p.name for p in pictures] == ['000000000001.png', '000000000002.png']
    for path in pictures:  # truth and prediction side by side, four times larger
        assert cv2.imread(str(path)).shape == (512, 1024, 3)
    for name in ('loss.png', 'ap.png'):
        assert cv2.imread(str(work_dir / name)).std() > 0
    assert (work_dir / 'epoch_2.pth').exists()


def test_demo_goes_on_after_a_kill(killed_and_resumed):
    work_dir, output = killed_and_resumed
    assert 'resumed epoch: 1' in output and 'already there' in output
    assert 'Epoch(train) [2]' in output and 'Epoch(train) [1]' not in output


def test_demo_does_not_mix_runs(killed_and_resumed):
    work_dir, _ = killed_and_resumed
    before = sorted(work_dir.rglob('*'))
    process, output = start(work_dir, '--seed', '1')
    assert process.wait() == 1
    message = output.read_text()
    assert 'differs in randomness' in message and 'Traceback' not in message
    assert sorted(work_dir.rglob('*')) == before


@pytest.mark.parametrize(
    ('task', 'host', 'curves', 'rows', 'shape'),
    [
        (
            'seg',
            'mmseg',
            'miou.png',
            {'digits': 'mIoU', 'with background': 'mIoU'},
            (512, 1024, 3),
        ),
        ('cls', 'mmpretrain', 'accuracy.png', {'digits': 'top-1'}, (512, 512, 3)),
    ],
)
def test_demo_of_the_other_tasks(tmp_path, task, host, curves, rows, shape):
    pytest.importorskip(host)
    work_dir = tmp_path / 'results'
    process, output = start(work_dir, '--num-pictures', '3', task=task)
    assert process.wait() == 0, output.read_text()
    table = output.read_text().rpartition('\n\n')[2]
    for row, column in rows.items():
        assert re.search(rf'^ +{column}$', table, re.MULTILINE)
        (value,) = re.findall(rf'^{row} +([\d.]+)$', table, re.MULTILINE)
        assert 0 <= float(value) <= 1
    pictures = list((work_dir / 'predictions').iterdir())
    assert len(pictures) == 3
    for path in pictures:
        assert cv2.imread(str(path)).shape == shape
    for name in ('loss.png', curves):
        assert cv2.imread(str(work_dir / name)).std() > 0


def test_demo_refuses_the_config_of_another_task(tmp_path):
    config = ROOT / 'configs/cls/meta_sdt_srb_digits.py'
    process, output = start(tmp_path / 'results', '--config', str(config))
    assert process.wait() == 1
    message = output.read_text()
    assert 'det trains configs of mmdet' in message and 'mmpretrain' in message
    assert not (tmp_path / 'results').exists()


def test_demo_refuses_other_data(tmp_path):
    config = ROOT / 'configs/det/meta_sdt_srb_coco.py'
    process, output = start(tmp_path / 'results', '--config', str(config))
    assert process.wait() == 1
    assert 'this config reads data/coco/' in output.read_text()
    assert not (tmp_path / 'results').exists()


def test_demo_help_names_the_defaults():
    command = [*COMMAND, '--help']
    result = subprocess.run(command, env=ENV, capture_output=True, text=True)
    assert result.returncode == 0
    assert 'work_dirs/demo' in result.stdout and '--quick' in result.stdout
