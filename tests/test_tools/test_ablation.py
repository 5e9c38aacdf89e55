"""The ablation tool on two tiny classifiers."""

import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from .conftest import ROOT, run_command

TOOL = ROOT / 'tools/misc/ablation.py'
pytest.importorskip('mmpretrain')

EXPERIMENT = """
metrics = {{'top-1': 'accuracy/top1'}}
config = '{config}'
by_iteration = {{'default_hooks.logger.log_metric_by_epoch': False}}
variants = dict(
    narrow=dict(cfg_options=by_iteration),
    wide=dict(
        cfg_options=dict(
            by_iteration,
            model=dict(
                backbone=dict(embed_dims=(8, 8, 16, 32)), head=dict(in_channels=32)
            ),
        )
    ),
    {more}
)
"""
BROKEN = "broken=dict(cfg_options=dict(param_scheduler=dict(type='NoSchedule'))),"


@pytest.fixture(scope='module')
def started(tmp_path_factory, tiny_configs) -> tuple[Path, str]:
    """Three variants, one of which cannot be trained: folder of all, output."""
    folder = tmp_path_factory.mktemp('ablation')
    experiment = folder / 'experiment.py'
    text = EXPERIMENT.format(config=tiny_configs['cls'], more=BROKEN)
    experiment.write_text(text)
    output = run_command(
        *(sys.executable, TOOL, experiment, '--seeds', 3, '--jobs', 2),
        *('--work-dir', folder / 'runs'),
        cwd=folder,
        returncode=1,
    )
    # the same without the variant that failed
    experiment.write_text(EXPERIMENT.format(config=tiny_configs['cls'], more=''))
    return folder, output


def test_a_failed_run_is_named_and_others_go_on(started):
    folder, output = started
    assert 'FAILED    broken, seed 3' in output and 'NoSchedule' in output
    assert 'finished  narrow, seed 3' in output and 'finished  wide, seed 3' in output
    assert 'not finished: broken, seed 3' in output
    assert not (folder / 'runs/results.json').exists()
    result = json.loads((folder / 'runs/wide/seed_3.json').read_text())
    assert result['seed'] == 3 and 0 <= result['metrics']['accuracy/top1'] <= 100
    assert (folder / 'runs/wide/seed_3/iter_4.pth').exists()
    assert Config.fromfile(folder / 'runs/wide/seed_3.py').randomness.seed == 3


def test_finished_runs_are_reported_not_repeated(started, call_tool, capsys):
    folder, _ = started
    files = (folder / 'runs').rglob('*.pth')
    before = {path: path.stat().st_mtime_ns for path in files}
    arguments = (folder / 'experiment.py', '--work-dir', folder / 'runs', '--seeds', 3)
    assert not call_tool('misc/ablation.py', *arguments)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    output = capsys.readouterr().out
    assert '2 runs, 2 of them finished before' in output
    results = json.loads((folder / 'runs/results.json').read_text())
    assert list(results['variants']) == ['narrow', 'wide']
    for name, entry in results['variants'].items():
        (run,) = entry['runs']
        accuracy = run['metrics']['accuracy/top1']
        assert entry['mean']['top-1'] == accuracy and entry['std']['top-1'] is None
        row = f'| {name} | {accuracy:.2f} | 1 | {entry["parameters"] / 1e6:.3f} |'
        assert row in output
    counts = [entry['parameters'] for entry in results['variants'].values()]
    assert counts[0] < counts[1]


def test_report_trains_nothing(started, call_tool, capsys):
    folder, _ = started
    arguments = (folder / 'experiment.py', '--work-dir', folder / 'runs', '--report')
    assert not call_tool('misc/ablation.py', *arguments, '--seeds', 3, 4)
    output = capsys.readouterr().out
    assert 'not finished: narrow, seed 4; wide, seed 4' in output
    assert not list((folder / 'runs').rglob('seed_4*'))


def test_several_experiments(started, call_tool, capsys, tmp_path):
    folder, _ = started
    names = ('first', 'second')
    for name in names:
        (tmp_path / f'{name}.py').write_bytes((folder / 'experiment.py').read_bytes())
    (tmp_path / 'work_dirs/ablation').mkdir(parents=True)
    (tmp_path / 'work_dirs/ablation/first').symlink_to(folder / 'runs')
    arguments = ('first.py', 'second.py', '--seeds', 3)
    assert not call_tool('misc/ablation.py', *arguments, '--report')
    first, second = capsys.readouterr().out.split('\nsecond\n')
    assert first.startswith('\nfirst\n') and 'written to work_dirs/abl' in first
    assert 'not finished: narrow, seed 3; wide, seed 3' in second
    assert call_tool('misc/ablation.py', *arguments, '--work-dir', 'runs') == 2
    assert '--work-dir is that of one experiment' in capsys.readouterr().err
    (tmp_path / 'second.py').write_text('variants = dict()')
    # before the first is trained
    assert 'metrics=dict' in call_tool('misc/ablation.py', *arguments, '--seeds', 4)


def test_other_settings_are_not_mixed(started, call_tool):
    folder, _ = started
    arguments = (folder / 'experiment.py', '--work-dir', folder / 'runs', '--seeds', 3)
    options = ('--cfg-options', 'train_cfg.max_iters=6')
    message = call_tool('misc/ablation.py', *arguments, *options)
    assert f'{folder}/runs holds runs of other settings' in message
    assert 'differs in train_cfg; choose another --work-dir' in message


def test_an_interrupted_run_goes_on(tmp_path, started, call_tool):
    """Also one that had ended, but for the evaluation of its last checkpoint."""
    folder, _ = started
    runs = tmp_path / 'runs'
    for name, lost in (('narrow', 'iter_4.pth'), ('wide', None)):
        (runs / name).mkdir(parents=True)
        source = folder / 'runs' / name
        (runs / name / 'seed_3.py').write_bytes((source / 'seed_3.py').read_bytes())
        (runs / name / 'seed_3').mkdir()
        for path in (source / 'seed_3').glob('*.pth'):
            if path.name != lost:
                (runs / name / 'seed_3' / path.name).symlink_to(path)
    arguments = (folder / 'experiment.py', '--seeds', 3, '--jobs', 2)
    assert not call_tool('misc/ablation.py', *arguments, '--work-dir', runs)
    log = (runs / 'narrow/seed_3.log').read_text()
    assert 'resumed epoch: 0, iter: 2' in log
    assert 'Iter(test)' in (runs / 'wide/seed_3.log').read_text()
    for name in ('narrow', 'wide'):
        again, first = (
            json.loads((root / name / 'seed_3.json').read_text())
            for root in (runs, folder / 'runs')
        )
        assert again['metrics'] == first['metrics']
        assert again['seconds'] is None and first['seconds'] > 0


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('variants = dict(a=dict(config="a.py"))', 'metrics=dict'),
        ('metrics = dict(a="a")', 'variants=dict'),
        ('metrics = dict(a="a"); variants = {"a/b": {}}', "'a/b'"),
        ('metrics = dict(a="a"); variants = dict(a={})', 'config= beside'),
        ('metrics = dict(a="a"); variants = dict(a="a.py")', 'config= beside'),
        ('metrics = dict(a="a"); variants = dict(a=dict(config="a.py"))', 'no config'),
    ],
)
def test_mistakes_in_an_experiment(tmp_path, call_tool, text, message):
    (tmp_path / 'experiment.py').write_text(text)
    answer = call_tool('misc/ablation.py', tmp_path / 'experiment.py')
    assert answer.startswith('error: ') and message in answer
    assert [path.name for path in tmp_path.iterdir()] == ['experiment.py']
