import json

import pytest


@pytest.mark.parametrize('task', ['det', 'seg', 'cls'])
def test_get_flops(task, tiny_configs, call_tool, capsys, tmp_path):
    pytest.importorskip(dict(det='mmdet', seg='mmseg', cls='mmpretrain')[task])
    out = tmp_path / 'macs.json'
    tool = 'analysis_tools/get_flops.py'
    assert not call_tool(tool, tiny_configs[task], '--shape', 64, '--out', out)
    printed = capsys.readouterr().out
    assert 'of one time step' in printed
    report = json.loads(out.read_text())
    assert report['input_shape'][2:] == [64, 64]
    assert report['macs'] == sum(layer['macs'] for layer in report['layers'])
    head = dict(det='bbox_head', seg='decode_head', cls='head')[task]
    assert report['stages'][head] > 0
    assert not call_tool(tool, tiny_configs[task], '--shape', 64, '--part', 'backbone')
    assert 'head' not in capsys.readouterr().out
    assert not call_tool(tool, tiny_configs[task], '--num-images', 2)
    assert 'of 2 images' in capsys.readouterr().out
    message = call_tool(tool, tiny_configs[task], '--shape', 1, 2, 3)
    assert 'expected --shape H W' in message


def test_get_firing_rate(trained, digit_scenes_root, call_tool, capsys, tmp_path):
    run = trained('det')
    tool = 'analysis_tools/get_firing_rate.py'
    out = tmp_path / 'firing'
    common = (run.config, run.checkpoint, '--num-images', 3, '--device', 'cpu')
    assert not call_tool(tool, *common, '--out', out)
    assert '3 images' in capsys.readouterr().out
    report = json.loads((out / 'firing.json').read_text())
    assert report['num_images'] == 3
    assert len((out / 'firing.csv').read_text().splitlines()) > len(report['layers'])
    steps = (out / 'firing_steps.csv').read_text().splitlines()
    assert len(steps) == 1 + sum(x['time_steps'] for x in report['layers'])
    assert (out / 'firing.png').stat().st_size > 10_000
    images = ('--images', digit_scenes_root / 'coco/val')
    assert not call_tool(tool, *common, *images, '--part', 'backbone')
    printed = capsys.readouterr().out
    # the tiny detector spikes in its backbone alone
    assert 'stages.0' in printed and 'backbone.' not in printed
    assert f'firing rate {report["firing_rate"]:.4f}' in printed
    message = call_tool(tool, run.config, tmp_path / 'none.pth', '--device', 'cpu')
    assert 'there is no checkpoint' in message


def test_get_energy(trained, digit_scenes_root, call_tool, capsys, tmp_path):
    run = trained('det')
    tool = 'analysis_tools/get_energy.py'
    out = tmp_path / 'energy'
    images = ('--images', digit_scenes_root / 'coco/val', '--num-images', 2)
    common = (run.config, run.checkpoint, *images, '--device', 'cpu')
    assert not call_tool(tool, *common, '--out', out, '--layers')
    printed = capsys.readouterr().out
    report = json.loads((out / 'energy.json').read_text())
    assert report['num_images'] == 2
    assert report['uncounted'] == {}
    assert report['stages']['bbox_head']['macs'] > 0
    assert all(line in printed for line in report['assumptions'])
    assert 'backbone.stages.1.downsample.conv' in printed
    assert len((out / 'energy.csv').read_text().splitlines()) == (
        len(report['layers']) + 1
    )
    assert (out / 'energy.png').stat().st_size > 10_000
    message = call_tool(tool, *common, '--table', '7nm')
    assert "'45nm_int8'" in message
    part = ('--part', 'backbone', '--table', '45nm_int8')
    assert not call_tool(tool, run.config, *images, '--device', 'cpu', *part)
    printed = capsys.readouterr().out
    assert '0.03 pJ per addition' in printed
    assert 'The weights are random' in printed


@pytest.mark.parametrize('task', ['seg', 'cls'])
def test_get_energy_of_other_tasks(task, tiny_configs, call_tool, capsys):
    pytest.importorskip(dict(seg='mmseg', cls='mmpretrain')[task])
    arguments = (tiny_configs[task], '--num-images', 2, '--device', 'cpu')
    assert not call_tool('analysis_tools/get_energy.py', *arguments)
    printed = capsys.readouterr().out
    assert '2 images' in printed
    assert dict(seg='decode_head', cls='head.fc')[task] in printed
    assert 'Not counted' not in printed
