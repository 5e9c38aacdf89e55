"""Binary execution, other T and other D from the command line."""

import json

import pytest

from snndense.studies.step_comparison import compare_steps
from snndense.utils import cli

COMPARE = 'analysis_tools/compare_time_steps.py'


def test_tests_as_binary_steps(trained, run_tool, tmp_path):
    run = trained('cls')
    metrics = {}
    for name, flags in {
        'integer': (),
        'binary': ('--spike-driven', '--time-steps', '2', '--levels', '2'),
    }.items():
        options = ('--out', f'{name}.json', '--out-item', 'metrics', *flags)
        log = run_tool('test.py', run.config, run.checkpoint, *options)
        assert ('Running with T = 2, D = 2 binary steps' in log) == bool(flags)
        metrics[name] = json.loads((tmp_path / f'{name}.json').read_text())
    assert metrics['integer'].keys() == metrics['binary'].keys()


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (('--time-steps', '0'), 'expected time_steps >= 1'),
        (('--levels', '-1'), 'expected levels >= 1'),
    ],
)
def test_impossible_steps_are_refused(trained, call_tool, tmp_path, flags, message):
    run = trained('seg')
    assert message in call_tool('test.py', run.config, run.checkpoint, *flags)
    assert message in call_tool(COMPARE, run.config, run.checkpoint, *flags)
    assert not list(tmp_path.iterdir())


def test_table_of_a_detector(trained, run_tool, tmp_path):
    run = trained('det')
    options = ('--levels', '2', '--num-images', '4', '--batch-size', '2')
    log = run_tool(COMPARE, run.config, run.checkpoint, *options, '--out', 'steps.json')
    header, *rows = log[log.index('execution') :].splitlines()[:5]
    names = ['execution', 'row', 'vs', 'deviation', 'equal']
    assert header.split() == [*names, 'coco/bbox_mAP', 'coco/bbox_mAP_50']
    executions = ['T = 1, D = 4 levels', 'T = 1, D = 4 binary steps']
    executions += [text.replace('4', '2') for text in executions]
    assert [row.partition('  ')[0] for row in rows] == executions
    results = json.loads((tmp_path / 'steps.json').read_text())
    assert [result['reference'] for result in results] == [0, 0, 0, 2]
    same, other, other_same = results[1:]
    assert same['deviation'] < 1e-5 and other_same['deviation'] < 1e-5
    assert other['deviation'] > 1e-3
    assert same['metrics'].keys() == other['metrics'].keys()


@pytest.mark.parametrize('task', ['seg', 'cls'])
def test_comparison(trained, monkeypatch, tmp_path, task):
    monkeypatch.chdir(tmp_path)
    run = trained(task)
    cfg = cli.read_config(str(run.config))
    results = compare_steps(
        cfg, str(run.checkpoint), time_steps=[2], num_images=4, batch_size=4
    )
    own, binary, twice, twice_binary = results
    assert own.equal == 1 and own.deviation == 0
    assert binary.metrics == own.metrics and twice_binary.metrics == twice.metrics
    for result, reference in ((binary, 0), (twice, 0), (twice_binary, 2)):
        assert result.reference == reference
        # in float32 a membrane on the border between two counts may fall over it
        assert result.equal > 0.99 or result is twice
    assert binary.deviation < 1e-5 and twice_binary.deviation < 1e-5
    assert [str(result.steps) for result in (own, twice_binary)] == [
        'T = 1, D = 4 levels',
        'T = 2, D = 4 binary steps',
    ]
