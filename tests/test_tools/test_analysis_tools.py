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
    message = call_tool(tool, tiny_configs[task], '--shape', 1, 2, 3)
    assert 'expected --shape H W' in message
