import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest

from snndense.studies import job_queue


def test_interrupt_ends_the_processes_and_starts_no_more(tmp_path):
    processes = job_queue.Processes()
    command = ('sh', '-c', 'sleep 60 & echo $!; wait')
    timer = Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    started = time.monotonic()

    def work(item, environment):
        return processes.run(command, tmp_path / f'{item}.log', environment)

    with pytest.raises(KeyboardInterrupt), job_queue.termination_as_interrupt():
        timer.start()
        job_queue.work_off(range(9), work, lambda *_: None, [{}, {}], processes)
    assert time.monotonic() - started < 10
    logs = sorted(tmp_path.iterdir())
    assert [path.name for path in logs] == ['0.log', '1.log']
    for path in logs:  # the process that the shell started is gone too
        stat = Path(f'/proc/{path.read_text().strip()}/stat')
        assert not stat.exists() or stat.read_text().split()[2] == 'Z'


def test_environments_are_taken_in_turn(tmp_path):
    processes, seen = job_queue.Processes(), []

    def work(item, environment):
        log = tmp_path / f'{item}.log'
        assert processes.run(('sh', '-c', 'echo $JOB; exit 3'), log, environment) == 3
        return log.read_text().strip()

    def report(item, future):
        seen.append((item, future.result()))

    job_queue.work_off(range(6), work, report, [{'JOB': 'a'}, {'JOB': 'b'}], processes)
    assert sorted(item for item, _ in seen) == list(range(6))
    assert {job for _, job in seen} == {'a', 'b'}


def test_a_folder_is_free_when_the_last_process_is_gone(tmp_path):
    with job_queue.only_one(tmp_path) as descriptor:
        child = subprocess.Popen(
            (sys.executable, '-c', 'input()'),
            stdin=subprocess.PIPE,
            pass_fds=(descriptor,),
        )
    taken = pytest.raises(ValueError, match='other processes')
    with taken, job_queue.only_one(tmp_path):
        pass
    child.communicate(b'\n')
    with job_queue.only_one(tmp_path):
        pass


@pytest.mark.parametrize(
    ('visible', 'count', 'expected'),
    [
        (None, 0, ['-1', '-1', '-1']),
        (None, 2, ['0', '1', '0']),
        ('2,5', 2, ['2', '5', '2']),
    ],
)
def test_gpus_are_shared(monkeypatch, visible, count, expected):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    monkeypatch.setattr(job_queue.torch.cuda, 'device_count', lambda: count)
    jobs = job_queue.job_environments(3, threads=2)
    assert [job['CUDA_VISIBLE_DEVICES'] for job in jobs] == expected
    assert {job['OMP_NUM_THREADS'] for job in jobs} == {'2'}
    jobs = job_queue.job_environments(1, device='cpu')
    assert jobs[0]['CUDA_VISIBLE_DEVICES'] == '-1'
    if not count:
        with pytest.raises(ValueError, match='no GPU'):
            job_queue.job_environments(1, device='cuda')
