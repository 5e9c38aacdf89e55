"""Recorded numbers of the published implementations, and their key lists."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from snndense.checkpoints.sdt_v3_large import (
    SDT_V3_LARGE,
    SDT_V3_LARGE_CLASSIFIER,
    find_wide_rep_conv_norms,
    recognise_sdt_v3_large,
)
from snndense.models.backbones import SDTV3Large
from snndense.parity import Fixture, check_file, check_parity

DATA = Path(__file__).parent / 'data'
TOOL = Path(__file__).parents[1] / 'tools/misc/check_parity.py'
FILES = sorted((DATA / 'parity').glob('*.json'))
FIXTURES = [path for path in FILES if not path.stem.startswith('sterf_')]
KEY_LISTS = [
    path
    for path in sorted((DATA / 'manifests').rglob('manifest_*.json'))
    if not path.stem.endswith('_heads')
]


@pytest.mark.parametrize('path', FIXTURES, ids=lambda path: path.stem)
def test_published_numbers(path):
    fixture = Fixture(path)
    names = {entry['name'] for entry in fixture.eval}
    if names == {'out'} and 'num_classes' in fixture.kwargs:
        pytest.importorskip('mmpretrain')
    for host in ('mmdet', 'mmseg'):
        parts = fixture.upstream_path.split('/')
        if host in parts and 'backbones' not in parts:
            pytest.importorskip(host)
    # necks and heads are recorded to one digit more
    report = check_parity(path, tolerance=1e-9)
    assert report.passed, report
    assert report.output_deviation < 1e-9


def test_a_wrong_constant_is_noticed(tmp_path):
    data = json.loads((DATA / 'parity/meta_sdt_srb_det.json').read_text())
    data['variant']['attention_factor'] = 1
    path = tmp_path / 'changed.json'
    path.write_text(json.dumps(data))
    report = check_parity(path)
    assert not report.passed and report.output_deviation > 1e-3


def test_tool_reports_and_fails(tmp_path):
    good = DATA / 'parity/block_srb.json'
    data = json.loads(good.read_text())
    data['eval'][0]['value'][0] += 1e-3
    wrong = tmp_path / 'wrong.json'
    wrong.write_text(json.dumps(data))
    data['source']['cls'] = 'NobodyKnowsIt'
    unknown = tmp_path / 'unknown.json'
    unknown.write_text(json.dumps(data))
    fields = DATA / 'parity/sterf_temporal.json'
    command = [sys.executable, str(TOOL), str(good)]
    agreeing = subprocess.run([*command, fields], capture_output=True, text=True)
    assert agreeing.returncode == 0 and '2 of 2 files agree' in agreeing.stdout
    assert 'ok   sterf_temporal: maps at' in agreeing.stdout
    command += [str(wrong), str(unknown), str(tmp_path / 'absent.json')]
    mixed = subprocess.run(command, capture_output=True, text=True)
    assert mixed.returncode == 1
    lines = mixed.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ['ok', 'FAIL', 'FAIL', 'FAIL']
    assert "'NobodyKnowsIt'" in lines[2] and 'absent.json' in lines[3]


@pytest.mark.parametrize('path', KEY_LISTS, ids=lambda path: path.stem)
def test_key_list_is_that_of_a_model_here(path):
    for host, part in (('mmdet', '_det_'), ('mmseg', '_seg_')):
        if part in path.stem:
            pytest.importorskip(host)
    report = check_file(path)
    assert report.passed, report
    keys = len(json.loads(path.read_text())['state_dict'])
    assert report.num_keys + report.num_unread == keys
    size = report.model.split()[5]  # 'classifier with the backbone FAMILY SIZE ...'
    in_whole_model = any(part in path.stem for part in ('_det_', '_seg_qfpn'))
    assert in_whole_model or f'_{size.removeprefix("v2_")}' in path.stem


def test_a_changed_key_list_is_noticed(tmp_path):
    data = json.loads(
        (DATA / 'manifests/manifest_spikformer_dvs_2_256.json').read_text()
    )
    path = tmp_path / 'changed.json'
    path.write_text(json.dumps({**data, 'params': data['params'] + 1}))
    assert 'parameters, not' in str(check_file(path)) and not check_file(path).passed
    for changed in (data['state_dict'][:-1], [*data['state_dict'], ['x', [1], 'f']]):
        path.write_text(json.dumps({**data, 'state_dict': changed}))
        with pytest.raises(ValueError, match='changed.json'):
            check_file(path)
    path.write_text('{}')
    with pytest.raises(ValueError, match='neither'):
        check_file(path)
    heads = DATA / 'manifests/det/manifest_det_retina_sdt2_15m_heads.json'
    with pytest.raises(ValueError, match='without the backbone'):
        check_file(heads)


@pytest.mark.parametrize('arch', SDTV3Large.arch_settings)
def test_key_list_of_large_size(arch):
    pytest.importorskip('mmpretrain')
    from snndense.models.cls import SpikeLinearClsHead

    path = DATA / f'manifests/manifest_sdtv3_large_{arch}.json'
    manifest = json.loads(path.read_text())
    with torch.device('meta'):
        published = {key: torch.empty(s) for key, s, _ in manifest['state_dict']}
        backbone = SDTV3Large(arch)
        head = SpikeLinearClsHead(1000, backbone.out_channels[-1], with_kd_head=True)
    model = nn.ModuleDict(dict(backbone=backbone, head=head))
    ours = {k: v.shape for k, v in model.state_dict().items()}
    converted = SDT_V3_LARGE_CLASSIFIER.convert(published)
    assert {k: v.shape for k, v in converted.items()} == ours
    assert sum(p.numel() for p in model.parameters()) == manifest['params']
    # the backbone alone, and its settings from keys and shapes
    bare = {k: v for k, v in published.items() if not k.startswith('head')}
    shapes = {k: v.shape for k, v in SDT_V3_LARGE.convert(bare).items()}
    assert shapes == {k: v.shape for k, v in backbone.state_dict().items()}
    found = recognise_sdt_v3_large(published)
    assert found['arch'] == SDTV3Large.arch_settings[arch]
    assert not find_wide_rep_conv_norms(published)


def test_norms_of_the_released_83m_file_are_named():
    path = DATA / 'manifests/manifest_sdtv3_large_83m.json'
    entries = json.loads(path.read_text())['state_dict']
    wide = [k for k, s, _ in entries if '.rep_conv.conv1.1.' in k and s]
    weights = {
        key: torch.empty([768] if key in wide else shape, device='meta')
        for key, shape, _ in entries
    }
    assert len(wide) == 4 * 12
    assert find_wide_rep_conv_norms(weights) == wide
    nested = {f'backbone.{key}': value for key, value in weights.items()}
    assert find_wide_rep_conv_norms(nested) == [f'backbone.{key}' for key in wide]
