"""Models by name: features, logits and inferencers, with weights that fit or not."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import snndense
from snndense.models.backbones import SpikingBackbone
from snndense.zoo.models import backbone_sizes

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1, 1))


def image(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def test_import_stays_light():
    code = (
        'import sys, snndense; '
        'heavy = {"torch", "mmdet", "mmseg", "mmpretrain", "spikingjelly"}; '
        'print(heavy & set(sys.modules)); snndense.get_model'
    )
    command = [sys.executable, '-W', 'error::ImportWarning', '-c', code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == 'set()'
    with pytest.raises(AttributeError, match='get_models'):
        snndense.get_models  # noqa: B018


def test_names():
    names = snndense.list_models()
    assert len(set(names)) == len(names) and names == sorted(names)
    assert {'meta_sdt_s', 'meta_sdt_srb_coco', 'spiking_resformer_ti'} <= set(names)
    assert {'cls/lsformer_digits', 'det/lsformer_digits'} <= set(names)
    dense = snndense.list_models('meta_sdt_srb', ['*_published', '*digits'], 'det')
    assert 'meta_sdt_srb_coco' in dense
    assert all(name.startswith('meta_sdt_srb') for name in dense)
    assert not any('published' in name or 'digits' in name for name in dense)
    with pytest.raises(ValueError, match='expected task'):
        snndense.list_models(task='pose')


@pytest.mark.parametrize('name', backbone_sizes())
def test_every_size_is_a_backbone(name):
    with torch.device('meta'):
        backbone = snndense.get_model(name, device='meta')
    assert isinstance(backbone, SpikingBackbone) and not backbone.training


@pytest.mark.parametrize('name', ['meta_sdt_s', 'MetaSDT-s', 'metasdt_s'])
def test_features(name):
    backbone = snndense.get_model(name, mixer='srb', **TINY, out_indices=(0, 4))
    maps = backbone(torch.rand(2, 3, 65, 33))
    assert [tuple(x.shape) for x in maps] == [(2, 4, 33, 17), (2, 32, 5, 3)]


@pytest.mark.parametrize(
    ('name', 'host'),
    [
        ('meta_sdt_srb_s_imagenet', 'mmpretrain'),
        ('mask-rcnn_meta-sdt-srb-s_spike-fpn_4xb4-ms-crop-1x_coco', 'mmdet'),
        ('configs/seg/meta_sdt_srb_s_ade20k.py', 'mmseg'),
    ],
)
def test_backbone_of_a_config(name, host):
    pytest.importorskip(host)
    backbone = snndense.get_model(name)
    # four maps that any stock neck takes, whatever the config makes of them
    assert backbone.out_channels == (32, 64, 128, 192)
    assert backbone.out_mode == 'mean'


def test_unknown_names():
    for name, similar in (
        ('meta_sdt_sbr_coco', 'meta_sdt_srb_coco'),
        ('spiking_resformer_tiny', 'spiking_resformer_ti'),
    ):
        with pytest.raises(ValueError, match=f'unknown model .* {similar}\\b'):
            snndense.get_model(name)
    with pytest.raises(ValueError, match='unknown model .*_ade20k'):
        snndense.get_model('meta_sdt_srb_ade', task='seg')
    with pytest.raises(ValueError, match="for detection .task='det'., but got task"):
        snndense.get_model('meta_sdt_srb_coco', task='cls')
    with pytest.raises(ValueError, match='expected task in'):
        snndense.get_model('meta_sdt_srb_coco', task='Object Detection')


def backbone_file(tmp_path: Path, **arguments) -> tuple[Path, dict]:
    """A file of weights that start as none of :func:`snndense.get_model` does."""
    torch.manual_seed(7)
    weights = snndense.get_model('meta_sdt_t', **TINY, **arguments).state_dict()
    torch.save(weights, tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth', weights


@pytest.mark.parametrize('form', ['backbone', 'whole model'])
def test_trained_weights(form, tmp_path):
    path, weights = backbone_file(tmp_path)
    if form == 'whole model':
        whole = {f'backbone.{key}': value for key, value in weights.items()}
        torch.save(dict(state_dict={**whole, 'head.fc.bias': torch.ones(3)}), path)
    loaded = snndense.get_model('meta_sdt_t', checkpoint=path, **TINY).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in weights.items())


def test_other_weights_are_refused(tmp_path):
    path, _ = backbone_file(tmp_path, mixer='srb')
    with pytest.raises(ValueError, match='mixer.fc1.weight'):
        snndense.get_model('meta_sdt_t', checkpoint=path, **TINY)
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        snndense.get_model('meta_sdt_t', checkpoint=tmp_path / 'absent.pth', **TINY)


def test_logits(tmp_path):
    mmpretrain = pytest.importorskip('mmpretrain')
    arguments = dict(
        backbone=dict(arch='t', **TINY), head=dict(in_channels=32, num_classes=7)
    )
    name = 'meta_sdt_srb_s_imagenet'
    torch.manual_seed(7)
    trained = snndense.get_model(name, task='cls', **arguments)
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / 'epoch_1.pth')
    model = snndense.get_model(
        name, task='cls', checkpoint=tmp_path / 'epoch_1.pth', **arguments
    )
    images = torch.rand(2, 3, 64, 64)
    logits = model(images)
    assert logits.shape == (2, 7) and not model.training
    torch.testing.assert_close(logits, trained(images), rtol=0, atol=0)
    # the class names and the test pipeline come along
    (result,) = mmpretrain.ImageClassificationInferencer(model)(image())
    assert 0 <= result['pred_label'] < 7
    arguments['head']['num_classes'] = 8
    with pytest.raises(ValueError, match='head.fc.weight'):
        snndense.get_model(
            name, task='cls', checkpoint=tmp_path / 'epoch_1.pth', **arguments
        )


def test_detections(tmp_path):
    pytest.importorskip('mmdet')
    from mmdet.apis import DetInferencer

    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the weights are random
        trained = snndense.get_model('meta_sdt_srb_digits', task='det', device='cpu')
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=trained.model.state_dict()), path)
    inferencer = snndense.get_model(
        'meta_sdt_srb_digits', task='det', checkpoint=path, device='cpu'
    )
    assert isinstance(inferencer, DetInferencer)
    # weights without names of classes: those of the config's data, not COCO's
    assert inferencer.model.dataset_meta['classes'] == tuple('0123456789')
    (prediction,) = inferencer(image())['predictions']
    assert set(prediction) >= {'labels', 'scores', 'bboxes'}
    with pytest.raises(ValueError, match='checkpoint of another model'):
        snndense.get_model('meta_sdt_conv_digits', task='det', checkpoint=path)


def test_segments(tmp_path):
    pytest.importorskip('mmseg')
    from mmseg.apis import MMSegInferencer

    arguments = dict(
        backbone=dict(arch='t', **TINY), neck=dict(in_channels=[4, 8, 16, 32])
    )
    name = 'meta_sdt_srb_s_ade20k'
    options = dict(task='seg', device='cpu', **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        trained = snndense.get_model(name, **options)
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict=trained.model.state_dict()), path)
    inferencer = snndense.get_model(name, checkpoint=path, **options)
    assert isinstance(inferencer, MMSegInferencer)
    assert len(inferencer.model.dataset_meta['classes']) == 150
    result = inferencer(image(), return_vis=True)
    assert result['predictions'].shape == (48, 64)
    assert result['visualization'].shape[:2] == (48, 64)
