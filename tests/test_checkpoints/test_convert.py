"""Published files in, checkpoints of this package out, or a refusal."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint

from snndense.checkpoints.published import convert_checkpoint, recognise
from snndense.parity.fixture import make_parameter

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / 'tests/data/manifests'
SRB_S = 'manifest_meta_sdt_srb_s_r4'


def key_list(name: str) -> list:
    path = next(MANIFESTS.rglob(f'{name}.json'))
    return json.loads(path.read_text())['state_dict']


def published_weights(name: str) -> dict:
    """Weights of a full-size published model, made from its key list."""
    entries = key_list(name)
    return {key: make_parameter(key, shape, 1.0).float() for key, shape, _ in entries}


@pytest.fixture(scope='module')
def srb_weights() -> dict:
    return published_weights(SRB_S)


CONTAINERS = {
    'plain': lambda weights: weights,
    'timm': lambda weights: dict(
        model=weights,
        optimizer=dict(state={}, param_groups=[]),
        epoch=199,
        args=argparse.Namespace(model='sdtv3_s_splash', lr=6e-4),
    ),
    'distributed': lambda weights: dict(
        state_dict={f'module.{key}': value for key, value in weights.items()}
    ),
    'half': lambda weights: {
        key: value.half() if value.is_floating_point() else value
        for key, value in weights.items()
    },
}


@pytest.mark.parametrize('container', CONTAINERS)
def test_backbone_loads_what_was_published(container, srb_weights, tmp_path):
    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save(CONTAINERS[container](srb_weights), source)
    published, report = convert_checkpoint(source, target)
    assert published.task == 'classifier' and not report.unloaded
    assert published.backbone['mixer'] == 'srb'
    assert published.backbone['arch']['embed_dims'] == (32, 64, 128, 192)
    meta = torch.load(target, weights_only=True)['meta']
    assert meta['backbone'] == published.backbone
    init_cfg = dict(type='Pretrained', checkpoint=str(target), prefix='backbone.')
    backbone = MODELS.build(
        dict(type='snndense.MetaSDT', arch='s', mixer='srb', init_cfg=init_cfg)
    )
    backbone.init_weights()
    conv = backbone.stages[1].blocks[0].mixer.conv2.conv
    expected = srb_weights['ConvBlock1_2.0.conv2.weight']
    tolerance = 1e-2 if container == 'half' else 0
    torch.testing.assert_close(conv.weight, expected, rtol=tolerance, atol=tolerance)


def test_safetensors_are_read(srb_weights, tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    source, target = tmp_path / 'published.safetensors', tmp_path / 'ours.pth'
    safetensors.save_file(srb_weights, source)
    convert_checkpoint(source, target)
    assert len(torch.load(target, weights_only=True)['state_dict']) == len(srb_weights)


@pytest.mark.parametrize('arch', ['83m', '173m'])
def test_large_models_are_told_from_the_keys(arch):
    entries = key_list(f'manifest_sdtv3_large_{arch}')
    weights = {key: torch.empty(s, device='meta') for key, s, _ in entries}
    published = recognise(weights)
    assert published.task == 'classifier'
    assert published.backbone['type'] == 'snndense.SDTV3Large'
    with torch.device('meta'):
        keys = set(MODELS.build(published.backbone).state_dict())
    assert keys == set(published.backbone_weights)


@pytest.mark.parametrize(
    ('name', 'task', 'expected'),
    [
        ('manifest_sdtv2_55m_kd', 'classifier', dict(version='v2', mixer='conv')),
        ('manifest_sdtv3_m', 'classifier', dict(version='v3', mixer='conv')),
        ('manifest_meta_sdt_mlpixer_s_r6', 'classifier', dict(mixer='mlpixer')),
        ('manifest_sdtv3_dense_seg_m', 'backbone', dict(layer_scale=1e-6)),
        ('manifest_seg_qfpn_sterf_srb_t', 'segmentor', dict(mixer='srb')),
        ('manifest_det_mask_rcnn_sterf_srb_t', 'detector', dict(mixer='srb')),
    ],
)
def test_family_size_and_task_are_told_from_the_keys(name, task, expected):
    weights = {key: torch.empty(s, device='meta') for key, s, _ in key_list(name)}
    published = recognise(weights)
    backbone = published.backbone
    found = dict(
        version=backbone['arch']['version'],
        mixer=backbone['mixer'],
        layer_scale=backbone['layer_scale_init_value'],
    )
    assert published.task == task
    assert {key: found[key] for key in expected} == expected
    with torch.device('meta'):
        keys = set(MODELS.build(backbone).state_dict())
    assert keys == set(published.backbone_weights)


def test_converted_detector_loads_into_its_config(tmp_path):
    pytest.importorskip('mmdet')
    from mmdet.registry import MODELS as DETECTORS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    name = 'manifest_det_mask_rcnn_sterf_srb_t'
    torch.save(dict(state_dict=published_weights(name)), source)
    convert_checkpoint(source, target)
    cfg = Config.fromfile(ROOT / 'configs/det/meta_sdt_srb_s_coco_published.py')
    init_default_scope('mmdet')
    model = DETECTORS.build(cfg.model)
    load_checkpoint(model, str(target), map_location='cpu', strict=True)


class Malicious:
    def __reduce__(self):
        return print, ('this ran',)


def _damaged(weights: dict, damage: str) -> dict:
    weights = dict(weights)
    if damage == 'missing key':
        del weights['block3.2.attn.q_conv.0.weight']
    elif damage == 'extra key':
        weights['block3.2.attn.surprise'] = torch.zeros(3)
    elif damage == 'wrong shape':
        weights['block4.1.mlp.fc2_conv.weight'] = torch.zeros(7, 7, 1)
    elif damage == 'wrong family':
        weights = {'conv1.weight': torch.zeros(64, 3, 7, 7)}
    elif damage == 'malicious pickle':
        weights['block3.2.attn.surprise'] = Malicious()
    return weights


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        ('missing key', 'stages.3.blocks.2.branches.attn.q_conv.conv.weight'),
        ('extra key', 'branches.attn.surprise'),
        ('wrong shape', r'\(7, 7, 1, 1\) instead of'),
        ('wrong family', 'no published model'),
        ('malicious pickle', 'is not unpickled'),
        ('truncated', 'truncated or damaged'),
        ('absent', 'there is no checkpoint'),
    ],
)
def test_damage_is_refused_and_nothing_written(
    damage, message, srb_weights, tmp_path, capsys
):
    source, target = tmp_path / 'published.pth', tmp_path / 'out/ours.pth'
    if damage != 'absent':
        torch.save(_damaged(srb_weights, damage), source)
    if damage == 'truncated':
        source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        convert_checkpoint(source, target)
    assert not target.parent.exists()
    assert 'this ran' not in capsys.readouterr().out


def test_command_line(srb_weights, tmp_path):
    tool = ROOT / 'tools/model_converters/convert.py'
    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save(dict(model=srb_weights, other=Malicious()), source)
    command = [sys.executable, str(tool), str(source), str(target)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1 and '--allow-pickle' in refused.stderr
    assert not target.exists()
    command.append('--allow-pickle')
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'runs whatever code' in done.stderr
    assert 'classifier with the backbone' in done.stdout and 'keys match' in done.stdout
    assert target.exists()
