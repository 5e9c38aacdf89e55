import subprocess
import sys
from importlib.metadata import version

import pytest
import torch

import snndense
from snndense.utils import collect_env as module
from snndense.utils.collect_env import collect_env, format_env
from snndense.utils.compat import Problem


def test_command_line_prints_versions_and_finds_no_problems():
    command = [sys.executable, '-m', 'snndense.utils.collect_env']
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(': ', 1) for line in output.splitlines() if ': ' in line)
    assert lines['snndense'].startswith(snndense.__version__)
    assert lines['PyTorch'] == torch.__version__
    assert lines['spikingjelly'] == f'spikingjelly {version("spikingjelly")}'
    assert 'mmengine' in lines['mmengine']
    assert lines['problems'] == 'none found'
    assert {'platform', 'Python', 'CUDA available', 'GCC', 'mmcv.ops'} <= set(lines)


def test_problems_are_told_with_their_commands(monkeypatch: pytest.MonkeyPatch):
    problems = [Problem('a is broken', 'mend a'), Problem('b is old', 'mend b')]
    monkeypatch.setattr(module, 'diagnose', lambda *hosts: iter(problems))
    monkeypatch.setattr(module, 'find_ops_problem', lambda: iter(problems))
    env = collect_env()
    assert env['mmcv.ops'] == 'a is broken'
    text = format_env(env)
    assert text.splitlines()[-2:] == [
        'problems: a is broken; mend it with: mend a',
        '    b is old; mend it with: mend b',
    ]


def test_report_goes_on_where_mmengine_fails(monkeypatch: pytest.MonkeyPatch):
    def fail() -> dict:
        raise RuntimeError('no driver\nat all')

    monkeypatch.setattr('mmengine.utils.dl_utils.collect_env', fail)
    env = collect_env()
    assert env['mmengine report'] == 'no driver'
    assert env['PyTorch'] == torch.__version__


def test_sources_that_are_no_checkout_have_no_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path
):
    package = tmp_path / 'site-packages' / 'snndense' / '__init__.py'
    monkeypatch.setattr(snndense, '__file__', str(package))
    assert module.git_revision() is None
