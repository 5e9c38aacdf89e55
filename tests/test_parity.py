"""Recorded numbers of the published implementations, and their key lists."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from snndense.checkpoints.meta_sdt import META_SDT_CLASSIFIER
from snndense.checkpoints.sdt_v3_large import (
    SDT_V3_LARGE,
    SDT_V3_LARGE_CLASSIFIER,
    find_wide_rep_conv_norms,
    recognise_sdt_v3_large,
)
from snndense.models.backbones import MetaSDT, SDTV3Large
from snndense.parity import Fixture, check_parity

DATA = Path(__file__).parent / 'data'
TOOL = Path(__file__).parents[1] / 'tools/misc/check_parity.py'
FILES = sorted((DATA / 'parity').glob('*.json'))
FIXTURES = [path for path in FILES if not path.stem.startswith('sterf_')]
BACKBONES = [
    path
    for family in ('sdtv2', 'sdtv3', 'meta_sdt')
    for path in sorted((DATA / 'manifests').glob(f'manifest_{family}_*.json'))
    if 'large' not in path.stem
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
    command = [sys.executable, str(TOOL), str(good)]
    alone = subprocess.run(command, capture_output=True, text=True)
    assert alone.returncode == 0 and '1 of 1 files agree' in alone.stdout
    command += [str(wrong), str(unknown), str(tmp_path / 'absent.json')]
    mixed = subprocess.run(command, capture_output=True, text=True)
    assert mixed.returncode == 1
    lines = mixed.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ['ok', 'FAIL', 'FAIL', 'FAIL']
    assert "'NobodyKnowsIt'" in lines[2] and 'absent.json' in lines[3]


def _model_of(manifest: dict) -> nn.ModuleDict:
    """The model of a key list, by our name of the published size."""
    kwargs, keys = manifest['source']['kwargs'], [k for k, *_ in manifest['state_dict']]
    version = 'v2' if any('body' in key for key in keys) else 'v3'
    (arch,) = [
        name
        for name, setting in MetaSDT.arch_settings.items()
        if setting['embed_dims'] == tuple(kwargs['embed_dim'])
        and setting['version'] == version
    ]
    names = {key.split('.', 2)[-1] for key in keys if key.startswith('ConvBlock')}
    mixer = 'conv'
    if 'fc1.weight' in names:
        mixer = 'srb' if 'conv2.weight' in names else 'mlpixer'
    backbone = MetaSDT(
        arch,
        mixer=mixer,
        mlp_ratio=kwargs['mlp_ratios'],
        layer_scale_init_value=1e-6 if 'block3.0.layer_scale1' in keys else 0.0,
    )
    model = nn.ModuleDict(dict(backbone=backbone))
    if 'head.weight' in keys:
        from snndense.models.cls import SpikeLinearClsHead

        model['head'] = SpikeLinearClsHead(
            kwargs['num_classes'],
            backbone.out_channels[-1],
            with_kd_head='head_kd.weight' in keys,
        )
    return model


@pytest.mark.parametrize('path', BACKBONES, ids=lambda path: path.stem)
def test_key_list_of_published_size(path):
    manifest = json.loads(path.read_text())
    if any(key == 'head.weight' for key, *_ in manifest['state_dict']):
        pytest.importorskip('mmpretrain')
    with torch.device('meta'):
        model = _model_of(manifest)
        published = {key: torch.empty(s) for key, s, _ in manifest['state_dict']}
    converted = META_SDT_CLASSIFIER.convert(published)
    ours = model.state_dict()
    assert set(converted) == set(ours)
    assert {k: v.shape for k, v in converted.items()} == {
        k: v.shape for k, v in ours.items()
    }
    assert sum(p.numel() for p in model.parameters()) == manifest['params']


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
