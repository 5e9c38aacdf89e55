"""Files of weights are recognised, looked up in the zoo, or refused."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import snndense
from snndense.checkpoints import convert_checkpoint, load_published
from snndense.zoo import Entry, find_entry
from snndense.zoo import check as zoo_check
from snndense.zoo.__main__ import main
from snndense.zoo.check import check_file, describe_file

from .published_files import save_published as save

pytest.importorskip('mmpretrain')


@pytest.mark.parametrize(
    ('name', 'config'),
    [
        ('sdtv2_55m_kd', 'sdt_v2_55m_t4_distill_imagenet'),
        ('sdtv3_s', 'meta_sdt_conv_s_imagenet'),
        ('meta_sdt_mlpixer_l_r6', 'meta_sdt_mlpixer-r6_imagenet'),
        ('meta_sdt_srb_s_r4', 'meta_sdt_srb_s_imagenet'),
        ('spikingresformer_ti', 'spiking_resformer_ti_imagenet'),
        ('spikformer_8_384', 'spikformer_8-384_imagenet'),
    ],
)
def test_classifiers_find_their_config(name, config, tmp_path):
    found = check_file(save(name, tmp_path / 'weights.pth'))
    assert found.entries[0] is find_entry(config)
    published = found.entries[0].published
    if published is not None:
        size = published.backbone
        assert size.items() <= found.published.backbone.items()
    text = describe_file(found)
    assert f'tools/test.py configs/cls/{config}.py {tmp_path}' in text
    assert hashlib.sha256((tmp_path / 'weights.pth').read_bytes()).hexdigest() in text


@pytest.mark.parametrize(
    ('name', 'host', 'configs'),
    [
        (
            'det_mask_rcnn_sterf_srb_t',
            'mmdet',
            ['meta_sdt_srb_s_coco_published', 'meta_sdt_srb_s_coco'],
        ),
        ('seg_qfpn_sterf_srb_t', 'mmseg', ['meta_sdt_srb_s_ade20k']),
    ],
)
def test_dense_models_find_the_published_settings_first(name, host, configs, tmp_path):
    pytest.importorskip(host)
    path = save(name, tmp_path / 'weights.pth', 'distributed')
    # the stock Mask R-CNN has as many parameters, but another neck
    assert [entry.stem for entry in check_file(path).entries] == configs


def test_backbones_alone_are_recognised(tmp_path):
    path = save('meta_sdt_srb_s_r4', tmp_path / 'backbone.pth', 'backbone')
    found = check_file(path)
    assert found.published.task == 'backbone'
    assert [entry.stem for entry in found.entries] == ['meta_sdt_srb_s_imagenet']


def test_swapped_links_are_named(tmp_path):
    text = describe_file(check_file(save('sdtv3_m', tmp_path / 'V3_19.0M_1x4.pth')))
    assert 'the file name says 19.0M, but these are 10.0M weights' in text
    assert '10M and 19M the other way round' in text


def test_hash_of_a_converted_file_is_that_of_its_source(tmp_path):
    source = save('sdtv3_s', tmp_path / 'published.pth')
    target = tmp_path / 'converted.safetensors'
    convert_checkpoint(source, target)
    assert check_file(target).sha256 == check_file(source).sha256
    assert check_file(target).entries == check_file(source).entries


def with_hash(entry: Entry, sha256: str) -> Entry:
    published = replace(entry.published, sha256=sha256, sha256_from='the authors')
    return replace(entry, published=published)


def test_hash_decides_which_file_it_is(tmp_path, monkeypatch):
    path = save('sdtv3_s', tmp_path / 'weights.pth')
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = find_entry('meta_sdt_conv_s_imagenet')
    for stated, text in (
        (sha256, 'The hash is that of the published file (from the authors)'),
        ('0' * 64, f'The published file has another hash:\n  {"0" * 64}'),
    ):
        monkeypatch.setattr(
            zoo_check, 'load_zoo', lambda stated=stated: (with_hash(entry, stated),)
        )
        found = check_file(path)
        assert text in describe_file(found)
        assert found.is_another_file == (stated != sha256)


def test_command_line(tmp_path):
    path = save('sdtv3_s', tmp_path / 'V3_5.1M_1x4.pth')
    command = [sys.executable, '-m', 'snndense.zoo', 'check', str(path)]
    known = subprocess.run(command, capture_output=True, text=True)
    assert known.returncode == 0, known.stderr
    for part in ('sdt_v3', 'classifier', "arch='s'", 'meta_sdt_conv_s_imagenet.py'):
        assert part in known.stdout


def test_exit_status(tmp_path, capsys):
    # the hash of the 19M file is known, and these are other numbers
    other = save('sdtv3_l', tmp_path / 'V3_19.0M_1x4.pth')
    assert main(['check', str(other)]) == 1
    known = find_entry('meta_sdt_conv_imagenet').published
    assert known.sha256 in capsys.readouterr().out
    unknown = tmp_path / 'resnet.pth'
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, unknown)
    for path, message in (
        (unknown, 'no published model'),
        (tmp_path / 'absent.pth', 'there is no checkpoint'),
    ):
        with pytest.raises(SystemExit, match=message):  # exits with 1
            main(['check', str(path)])


def test_models_by_name_load_published_files(tmp_path):
    path = save('sdtv3_t', tmp_path / 'weights.pth')
    expected = load_published(path).state_dict
    classifier = snndense.get_model(
        'meta_sdt_conv_t_imagenet', task='cls', checkpoint=path
    )
    found = classifier.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    backbone = snndense.get_model('meta_sdt_t', checkpoint=path)
    found = backbone.state_dict()
    assert all(torch.equal(v, expected[f'backbone.{k}']) for k, v in found.items())
    levels = dict(neuron_cfg=dict(type='snndense.IntegerLIF', levels=8))
    with pytest.warns(UserWarning, match='levels=8 .* published with levels=4'):
        snndense.get_model('meta_sdt_t', checkpoint=path, **levels)
    with pytest.raises(ValueError, match="arch='t'"):
        snndense.get_model('meta_sdt_s', checkpoint=path)
