"""Published files in, checkpoints of this package out, or a refusal."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from snndense.checkpoints import FAMILIES, convert_checkpoint, load_published
from snndense.checkpoints.recognition import TASKS, recognise
from snndense.parity import Fixture
from snndense.parity.port import build_port

from .published_files import (
    CONTAINERS,
    NAMES,
    ROOT,
    Malicious,
    constant_weights,
    meta_weights,
    random_weights,
)

SMALL = dict(
    sdt_v3='sdtv3_t',
    meta_sdt='meta_sdt_srb_s_r4',
    spikformer='spikformer_dvs_2_256',
    spiking_resformer='spikingresformer_dvsg',
)
FIXTURES = ROOT / 'tests/data/parity'
WHOLE_MODELS = (
    'meta_sdt_conv_cls_sterf',
    'meta_sdt_fullattn_cls_sdtv3',
    'meta_sdt_mlpixer_det',
    'meta_sdt_srb_cls_sdtv3',
    'sdtv2_classifier',
    'sdtv3_dense_seg',
    'sdtv3_large_base',
    'spikformer_cifar',
    'spikingresformer_img64',
)


@pytest.fixture(scope='module')
def srb_weights() -> dict:
    return random_weights(SMALL['meta_sdt'])


@pytest.mark.parametrize('name', NAMES)
def test_every_published_model_round_trips(name, tmp_path):
    if host := TASKS[recognise(meta_weights(name)).task]:
        pytest.importorskip(host)
    weights = constant_weights(name)
    source, target = tmp_path / f'{name}.pth', tmp_path / 'ours.pth'
    torch.save(weights, source)
    published, report = convert_checkpoint(source, target)
    assert not report.surprises and not report.missing
    assert len(report.matched) + len(published.unread) == len(weights)
    assert published.family in FAMILIES
    assert isinstance(published.arch, str)  # all of these have names
    again = load_published(target)
    blank = dict(state_dict={}, origin=None)
    assert replace(again, **blank) == replace(published, **blank)
    # every number of the source is there once, and no other
    numbers = {key: value.flatten()[0].item() for key, value in weights.items()}
    expected = sorted(v for key, v in numbers.items() if key not in published.unread)
    found = sorted(value.flatten()[0].item() for value in again.state_dict.values())
    assert found == expected


@pytest.mark.parametrize(
    ('family', 'container'),
    [
        *product(['sdt_v3'], CONTAINERS),
        *product([*SMALL][1:], ['timm', 'backbone', 'half']),
    ],
)
def test_containers(family, container, tmp_path):
    weights = constant_weights(SMALL[family])
    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save(CONTAINERS[container](weights), source)
    plain = tmp_path / 'plain.pth'
    torch.save(weights, plain)
    expected = load_published(plain).state_dict
    published, report = convert_checkpoint(source, target)
    assert not report.surprises
    assert published.task == ('backbone' if container == 'backbone' else 'classifier')
    found = torch.load(target, weights_only=True)['state_dict']
    tolerance = 1e-3 if container == 'half' else 0
    for key, value in found.items():
        assert value.dtype == expected[key].dtype
        torch.testing.assert_close(value, expected[key], rtol=0, atol=tolerance)


@pytest.mark.parametrize('name', WHOLE_MODELS)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_converted_files_give_the_published_numbers(name, suffix, tmp_path):
    """From a file as published to the outputs that the published code gives."""
    fixture = Fixture(FIXTURES / f'{name}.json')
    if 'num_classes' in fixture.kwargs:
        pytest.importorskip('mmpretrain')
    source, target = tmp_path / 'published.pth', tmp_path / f'ours{suffix}'
    torch.save(dict(model=fixture.state_dict(), epoch=1), source)
    published, _ = convert_checkpoint(source, target)
    port = build_port(fixture)  # heads, steps and levels of the small models
    weights = load_published(target).state_dict
    if published.task == 'backbone':
        weights = {k.removeprefix('backbone.'): v for k, v in weights.items()}
    port.module.load_state_dict(weights)
    port.module.eval()
    with torch.no_grad():
        outputs = port.forward(fixture.inputs())
    for entry, output in zip(fixture.eval, outputs, strict=True):
        found = output.flatten()[torch.tensor(entry['index'])]
        expected = torch.tensor(entry['value'], dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_metadata_block(srb_weights, tmp_path):
    source, target = tmp_path / 'published.safetensors', tmp_path / 'ours.safetensors'
    safetensors = pytest.importorskip('safetensors.torch')
    safetensors.save_file(srb_weights, source)
    published, _ = convert_checkpoint(source, target)
    with safe_open(target, framework='pt') as file:
        block = json.loads(file.metadata()['snndense'])
    assert block['parts'] == published.parts and block['family'] == 'meta_sdt'
    assert block['task'] == 'classifier' and block['source'] == source.name
    assert len(block['source_sha256']) == 64
    assert block['converter'].startswith('snndense ')
    (tmp_path / 'any').touch()
    assert target.stat().st_mode == (tmp_path / 'any').stat().st_mode
    # to the other format, keeping what is known of the source
    convert_checkpoint(target, tmp_path / 'ours.pth')
    again = torch.load(tmp_path / 'ours.pth', weights_only=True)
    assert again['meta']['snndense'] == block


def test_averages_are_taken_on_demand(srb_weights, tmp_path):
    source = tmp_path / 'published.pth'
    averages = {key: value + 1 for key, value in srb_weights.items()}
    torch.save(dict(model=srb_weights, model_ema=averages), source)
    key, ours = 'head.bias', 'head.fc.bias'
    weights = load_published(source)
    torch.testing.assert_close(weights.state_dict[ours], srb_weights[key])
    assert any('the weights are used' in note for note in weights.notes)
    averaged = load_published(source, averaged=True)
    torch.testing.assert_close(averaged.state_dict[ours], averages[key])
    torch.save(srb_weights, source)
    with pytest.raises(ValueError, match='no averaged weights'):
        load_published(source, averaged=True)


@pytest.mark.parametrize(
    ('name', 'file_name', 'note'),
    [
        ('sdtv3_l', 'V3_10.0M_1x4.pth', r'says 10\.0M, but these are 19\.0M .*swapped'),
        ('sdtv3_m', 'V3_19.0M_1x4.pth', r'says 19\.0M, but these are 10\.0M .*swapped'),
        ('meta_sdt_mlpixer_l_r6', 'C-MLP6_16M.pth', r'says 16M, but these are 19\.3M'),
        ('sdtv3_s', 'V3_5.1M_1x8.pth', '8 integer levels, from the file name'),
        ('meta_sdt_srb_l_r4', 'sr_19M_checkpoint-191.pth', 'levels; 4 is assumed'),
        ('meta_sdt_srb_l_r4', 'sr_19M_checkpoint-191.pth', 'factor on the attention'),
        ('sdtv3_large_173m', '171M_1x8.pth', '8 integer levels, from the file name'),
        ('meta_sdt_mlpixer_m_r4', 'any.pth', 'mlpixer mixer reads runs of pixels'),
        ('sdtv2_55m_kd', '55M_kd_T4.pth', 'time steps; 4 is assumed'),
        ('sdtv3_dense_seg_l', 'any.pth', 'layer scales'),
        ('spikformer_8_512', 'any.pth', '32 keys .*never reads'),
        ('spikingresformer_l', 'any.pth', 'train_img_size'),
        ('det_mask_rcnn_sdt3_19m', 'any.pth', 'strides 4, 8, 16, 32'),
    ],
)
def test_traps_are_named(name, file_name, note, tmp_path):
    torch.save(constant_weights(name), tmp_path / file_name)
    notes = load_published(tmp_path / file_name).notes
    assert any(re.search(note, text) for text in notes), notes


def test_norms_of_the_released_83m_file_are_named(tmp_path):
    weights = dict(constant_weights('sdtv3_large_83m'))
    wide = [k for k, v in weights.items() if '.rep_conv.conv1.1.' in k and v.dim()]
    weights.update({key: torch.zeros(768) for key in wide})
    torch.save(dict(model=weights), tmp_path / '83M.pth')
    with pytest.raises(ValueError, match='known of the released 83M file'):
        load_published(tmp_path / '83M.pth')


def test_names_that_fit_are_no_traps(tmp_path):
    names = {
        'sdtv3_m': 'V3_10.0M_1x4.pth',
        'meta_sdt_srb_s_r4': 'sr_5M_checkpoint-199.pth',
        'meta_sdt_mlpixer_l_r4': 'C-MLP4_16.8M.pth',
        'sdtv2_55m_kd': '55M_kd.pth',
        'sdtv3_large_173m': '171M_1x4.pth',
    }
    for name, file_name in names.items():
        torch.save(constant_weights(name), tmp_path / file_name)
        notes = load_published(tmp_path / file_name).notes
        assert not any('the file name says' in note for note in notes), notes


def _damaged(weights: dict, damage: str) -> dict:
    weights = dict(weights)
    if damage == 'missing key':
        del weights['block3.2.attn.q_conv.0.weight']
    elif damage == 'extra key':
        weights['block3.2.attn.surprise'] = torch.zeros(3)
    elif damage == 'extra key of the head':
        weights['head.surprise'] = torch.zeros(3)
    elif damage == 'wrong shape':
        weights['block4.1.mlp.fc2_conv.weight'] = torch.zeros(7, 7, 1)
    elif damage == 'wrong family':
        weights = {'conv1.weight': torch.zeros(64, 3, 7, 7)}
    elif damage == 'malicious pickle':
        weights['block3.2.attn.surprise'] = Malicious()
    return weights


DAMAGES = {
    'missing key': 'stages.3.blocks.2.branches.attn.q_conv.conv.weight',
    'extra key': 'branches.attn.surprise',
    'extra key of the head': 'unexpected .* head.fc.surprise',
    'wrong shape': r'\(7, 7, 1, 1\) instead of',
    'wrong family': 'no published model',
    'malicious pickle': 'is not unpickled',
    'truncated': 'truncated or damaged',
    'absent': 'there is no checkpoint',
}


@pytest.mark.parametrize('container', ['plain', 'timm', 'distributed', 'safetensors'])
@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_is_refused_and_nothing_written(damage, container, tmp_path, capsys):
    if 'head' in damage:
        pytest.importorskip('mmpretrain')
    weights = _damaged(constant_weights(SMALL['meta_sdt']), damage)
    suffix = '.pth' if container == 'plain' else '.safetensors'
    source, target = tmp_path / 'published.pth', tmp_path / f'out/ours{suffix}'
    if container == 'safetensors':
        if damage == 'malicious pickle':
            pytest.skip('safetensors hold no pickles')
        source = source.with_suffix('.safetensors')
    if damage == 'absent':
        pass
    elif container == 'safetensors':
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in weights.items()}, source)
    else:
        torch.save(CONTAINERS[container](weights), source)
    if damage == 'truncated':
        source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises((ValueError, FileNotFoundError), match=DAMAGES[damage]):
        convert_checkpoint(source, target)
    assert not target.parent.exists()
    assert 'this ran' not in capsys.readouterr().out


def test_expectations_are_checked(tmp_path):
    source = tmp_path / 'published.pth'
    torch.save(constant_weights('sdtv3_t'), source)
    assert load_published(source, family='sdt_v3', arch='t').arch == 't'
    with pytest.raises(ValueError, match='family spikformer, but .* sdt_v3 t'):
        load_published(source, family='spikformer')
    with pytest.raises(ValueError, match='size l, but'):
        load_published(source, arch='l')
    with pytest.raises(ValueError, match="family to be one of .* 'sdtv3'"):
        load_published(source, family='sdtv3')
    with pytest.raises(ValueError, match='give another name'):
        convert_checkpoint(source, source)
    with pytest.raises(ValueError, match="'.safetensors', '.pth'"):
        convert_checkpoint(source, tmp_path / 'ours.onnx')


def run_tool(*args: str | Path) -> subprocess.CompletedProcess:
    tool = ROOT / 'tools/model_converters/convert.py'
    command = [sys.executable, str(tool), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_line(tmp_path):
    pytest.importorskip('mmpretrain')
    source = tmp_path / 'V3_19.0M.pth'
    weights = constant_weights('sdtv3_t')
    torch.save(dict(model=weights, other=Malicious()), source)
    refused = run_tool(source, tmp_path / 'ours')
    assert refused.returncode == 1 and '--allow-pickle' in refused.stderr
    assert 'Traceback' not in refused.stderr and 'this ran' not in refused.stdout
    assert [*tmp_path.iterdir()] == [source]
    done = run_tool(source, tmp_path / 'ours', '--allow-pickle', '--arch', 't')
    assert done.returncode == 0, done.stderr
    assert 'runs whatever code is in it' in done.stderr
    for part in (
        'classifier with the backbone sdt_v3 t (conv mixer)',
        '605 keys match',
        "'arch': 't'",
        'note: the file name says 19.0M',
        f'wrote {tmp_path / "ours.safetensors"}',
    ):
        assert part in done.stdout
    assert load_published(tmp_path / 'ours.safetensors').arch == 't'
