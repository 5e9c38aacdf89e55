"""Published files in ``init_cfg`` and ``load_from``: converted, or refused."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from logging import StreamHandler
from pathlib import Path
from threading import Thread

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from snndense.checkpoints import convert_checkpoint, load_published
from snndense.checkpoints.loading import open_weights
from snndense.checkpoints.settings import find_differences
from snndense.engine.preflight import check_model
from snndense.studies.measuring import load_model
from snndense.utils.key_report import ORIGIN

from .published_files import Malicious, constant_weights, random_weights

BACKBONES = {
    'sdtv3_t': dict(type='snndense.MetaSDT', arch='t'),
    'meta_sdt_srb_s_r4': dict(type='snndense.MetaSDT', arch='s', mixer='srb'),
    'sdtv2_15m': dict(type='snndense.MetaSDT', arch='v2_15m'),
    'spikformer_dvs_2_256': dict(type='snndense.Spikformer', arch='dvs_2_256'),
    'spikingresformer_cifar': dict(type='snndense.SpikingResformer', arch='cifar'),
}


@pytest.fixture
def save(tmp_path):
    """Write the weights of a published model; the path."""

    def write(name: str, weights=constant_weights, **changes) -> str:
        path = tmp_path / f'{name}.pth'
        torch.save(dict(model={**weights(name), **changes}), path)
        return str(path)

    return write


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What mmengine's current logger says."""
    stream = StringIO()
    handler, logger = StreamHandler(stream), MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def initialise(cfg: dict, path: str | Path, **options) -> nn.Module:
    init_cfg = dict(type='Pretrained', checkpoint=str(path), **options)
    module = MODELS.build(dict(cfg, init_cfg=init_cfg))
    module.init_weights()
    return module


@pytest.mark.parametrize(
    ('name', 'form'),
    [
        *((name, 'published') for name in BACKBONES),
        *(('sdtv3_t', form) for form in ('prefix', '.pth', '.safetensors')),
    ],
)
def test_backbone(name, form, save, tmp_path):
    path = save(name)
    expected = load_published(path).backbone_weights
    if form.startswith('.'):
        pytest.importorskip('mmpretrain')
        convert_checkpoint(path, tmp_path / f'ours{form}')
        path = tmp_path / f'ours{form}'
    options = dict(prefix='backbone.') if form == 'prefix' else {}
    found = initialise(BACKBONES[name], path, **options).state_dict()
    assert set(found) <= set(expected)
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def test_head(save):
    pytest.importorskip('mmpretrain')
    path = save('sdtv2_55m_kd')
    cfg = load_published(path).parts['head']
    found = initialise(cfg, path).state_dict()
    expected = load_published(path).part_weights('head')
    assert set(found) == set(expected)
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    with pytest.raises(ValueError, match='fc_kd.weight for one'):
        initialise(dict(cfg, with_kd_head=False), path)


def test_what_stays_behind_is_said(save, log):
    path = save('meta_sdt_srb_s_r4')
    cfg = dict(BACKBONES['meta_sdt_srb_s_r4'], out_indices=(0, 1, 2))
    initialise(cfg, path)
    text = log.getvalue()
    assert '121 keys match' in text
    assert '462 unexpected in the checkpoint (of stages that out_indices does' in text
    assert '2 unexpected in the checkpoint (of other parts of the classifier)' in text
    assert 'note: keys and shapes do not tell' in text


def test_tap_that_was_not_published_starts_anew(save, log):
    path = save('spikingresformer_cifar')
    cfg = dict(BACKBONES['spikingresformer_cifar'], out_indices=(0, 1, 2, 3))
    backbone = initialise(cfg, path)
    assert '(in no published model, starts anew): stages.3.' in log.getvalue()
    assert backbone.stages[3].downsample.conv.weight.std() > 0


@pytest.mark.parametrize(
    ('name', 'cfg', 'message'),
    [
        # the trap: without its scales a block is another, with new ones almost identity
        ('sdtv3_dense_seg_m', dict(arch='m'), 'has layer scales: set layer_scale'),
        (
            'sdtv3_m',
            dict(arch='m', layer_scale_init_value=1e-6),
            'lacks layer scales: set layer_scale_init_value=0',
        ),
        ('sdtv3_m', dict(arch='l'), "arch='m'.* No weights are loaded"),
        ('sdtv3_m', dict(arch='m', mixer='srb'), "mixer='conv'"),
        ('sdtv3_m', dict(arch='m', depths=(1, 1, 2, 7, 2)), 'stages.3.blocks.6'),
        ('sdtv3_m', dict(arch='m', depths=(1, 1, 2, 5, 2)), 'stages.3.blocks.5'),
        ('spikformer_8_384', dict(arch='s'), 'nothing in .* fits model'),
    ],
)
def test_mismatch_is_refused(name, cfg, message, save):
    init_cfg = dict(type='Pretrained', checkpoint=save(name))
    backbone = MODELS.build(dict(cfg, type='snndense.MetaSDT', init_cfg=init_cfg))
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        backbone.init_weights()
    after = backbone.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_checkpoint_of_a_training(tmp_path):
    cfg = dict(type='snndense.MetaSDT', arch='t', mixer='mlpixer')
    weights = MODELS.build(cfg).state_dict()
    path = tmp_path / 'epoch_1.pth'
    torch.save({f'backbone.{key}': value for key, value in weights.items()}, path)
    found = initialise(cfg, path, prefix='backbone.').state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in found.items())
    with pytest.raises(ValueError, match='prefix of its keys'):
        initialise(cfg, path)
    with pytest.raises(ValueError, match='No weights are loaded'):
        initialise(dict(cfg, layer_scale_init_value=1.0), path, prefix='backbone.')


def test_other_packages_load_as_before(tmp_path):
    from mmengine.model import BaseModule

    class Stock(BaseModule):
        def __init__(self, width: int, **kwargs) -> None:
            super().__init__(**kwargs)
            self.fc = nn.Linear(width, 1)
            self.extra = nn.Linear(1, 1)

    weights = {'fc.weight': torch.ones(1, 3), 'fc.bias': torch.ones(1)}
    torch.save(dict(state_dict=weights), tmp_path / 'stock.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'stock.pth'))
    module = Stock(3, init_cfg=init_cfg)
    module.init_weights()
    assert module.fc.weight.eq(1).all()
    torch.save(dict(state_dict=weights, more=Malicious()), tmp_path / 'stock.pth')
    with pytest.raises(ValueError, match='holds more than weights'):
        Stock(3, init_cfg=init_cfg).init_weights()


def test_addresses(save, tmp_path, monkeypatch):
    """Files of a web server, here one on this machine."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    path = save('sdtv3_t')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}/sdtv3_t.pth?download=true'
        backbone = initialise(BACKBONES['sdtv3_t'], address)
        with pytest.raises(FileNotFoundError, match='404'):
            initialise(BACKBONES['sdtv3_t'], address.replace('sdtv3_t', 'gone'))
        server.shutdown()
    expected = load_published(path).backbone_weights
    found = backbone.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    model = nn.ModuleDict(dict(backbone=MODELS.build(BACKBONES['sdtv3_t'])))
    load_checkpoint(model, address)  # what was downloaded is kept
    key = 'stages.0.downsample.conv.bias'
    assert torch.equal(model.backbone.state_dict()[key], found[key])


def test_file_that_was_read_and_saved_again_is_still_compared(save, tmp_path):
    copy = str(tmp_path / 'copy.pth')
    torch.save(CheckpointLoader.load_checkpoint(save('sdtv3_t')), copy)
    assert torch.load(copy, weights_only=True)['state_dict']
    cfg = BACKBONES['sdtv3_t']
    model = nn.ModuleDict(dict(backbone=MODELS.build(cfg)))
    load_checkpoint(model, copy)
    assert ORIGIN not in model.state_dict()._metadata['backbone']  # trained from here
    other = MODELS.build(dict(cfg, layer_scale_init_value=1.0))
    with pytest.raises(ValueError, match='lacks layer scales: set layer_scale'):
        load_checkpoint(nn.ModuleDict(dict(backbone=other)), copy)


def test_malicious_file_runs_nothing(save, tmp_path, capsys):
    path = tmp_path / 'bad.pth'
    torch.save(dict(model=constant_weights('sdtv3_t'), more=Malicious()), path)
    with pytest.raises(ValueError, match='is not unpickled'):
        initialise(BACKBONES['sdtv3_t'], path)
    backbone = nn.ModuleDict(dict(backbone=MODELS.build(BACKBONES['sdtv3_t'])))
    with pytest.raises(ValueError, match='is not unpickled'):
        load_checkpoint(backbone, str(path))
    assert 'this ran' not in capsys.readouterr().out


@pytest.fixture
def detector(load_config):
    """Build the detector of a config with a full-size SRB S backbone."""
    pytest.importorskip('mmdet')

    def build(name: str = 'meta_sdt_srb_s_coco_published', **backbone) -> nn.Module:
        cfg = load_config(f'det/{name}')
        cfg.model.backbone.update(backbone)
        return MODELS.build(cfg.model)

    return build


DETECTOR = 'det_mask_rcnn_sterf_srb_t'


def test_runners_load_whole_models(detector, save):
    path = save(DETECTOR, random_weights)
    model = detector()
    load_checkpoint(model, path, strict=True)
    published = load_published(path)
    found = model.state_dict()
    assert all(torch.equal(v, found[key]) for key, v in published.state_dict.items())
    assert find_differences(model, published) == []
    # mmengine would only warn
    with pytest.raises(ValueError, match='does not fit this MetaSDT'):
        load_checkpoint(detector(mixer='conv', drop_rate=0.0), path)


def test_whole_model_by_init_cfg(detector, save):
    path = save(DETECTOR)
    model = detector()
    model.init_cfg = dict(type='Pretrained', checkpoint=path)
    model.init_weights()
    expected = load_published(path).state_dict
    assert torch.equal(model.rpn_head.rpn_reg.bias, expected['rpn_head.rpn_reg.bias'])
    # other classes start anew, another backbone is refused
    five = {
        'roi_head.bbox_head.fc_cls.weight': torch.ones(6, 1024),
        'roi_head.bbox_head.fc_cls.bias': torch.ones(6),
        'roi_head.bbox_head.fc_reg.weight': torch.ones(20, 1024),
        'roi_head.bbox_head.fc_reg.bias': torch.ones(20),
        'roi_head.mask_head.conv_logits.1.0.weight': torch.ones(5, 256, 1, 1),
        'roi_head.mask_head.conv_logits.1.0.bias': torch.ones(5),
    }
    path = save(DETECTOR, **five)
    model = detector()
    model.init_cfg = dict(type='Pretrained', checkpoint=path)
    model.init_weights()
    assert model.roi_head.bbox_head.fc_cls.out_features == 81
    model = detector(layer_scale_init_value=1e-6)
    model.init_cfg = dict(type='Pretrained', checkpoint=path)
    with pytest.raises(ValueError, match='lacks layer scales'):
        model.init_weights()


def test_settings_that_differ_are_named(detector, save):
    published = load_published(save(DETECTOR))
    lines = '\n'.join(find_differences(detector('meta_sdt_srb_s_coco'), published))
    for part in (
        r'neck: levels=4 in 8 modules, published with levels=1',
        'rpn_head: anchors of strides [4, 8, 16, 16, 32], published with [4, 8, 16',
        'bbox_roi_extractor: featmap_strides=[4, 8, 16, 16], published with [4, 8, 16',
    ):
        assert part in lines
    assert 'backbone:' not in lines
    neuron_cfg = dict(type='snndense.IntegerLIF', levels=8)
    model = detector(neuron_cfg=neuron_cfg, attn_factor=1.0)
    lines = '\n'.join(find_differences(model, published))
    assert 'backbone: levels=8' in lines and 'published with levels=4' in lines
    assert 'backbone: scale=' in lines and 'attn_factor' in lines


def test_steps_that_differ_are_named(save):
    pytest.importorskip('mmpretrain')
    published = load_published(save('spikingresformer_cifar'))
    backbone = MODELS.build(dict(published.backbone, time_steps=2))
    model = nn.ModuleDict(dict(backbone=backbone))
    lines = find_differences(model, published)
    assert len(lines) == 1 and 'time_steps=2' in lines[0]


def test_classification_weights_in_a_detector(load_config, save, capsys):
    pytest.importorskip('mmdet')
    path = save('meta_sdt_srb_s_r4')
    cfg = load_config('det/meta_sdt_srb_s_coco')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=path)
    check_model(cfg, [])
    output = capsys.readouterr().out
    assert f'{path} holds a published classifier' in output
    assert f'{path} initialises backbone (MetaSDT)' in output
    assert '583 keys match' in output and 'missing' not in output
    assert 'of other parts of the classifier' in output
    with pytest.raises(ValueError, match='is a checkpoint of another model'):
        check_model(cfg, [], path)


def test_published_detector_under_true_strides(load_config, save, capsys):
    pytest.importorskip('mmdet')
    path = save(DETECTOR)
    check_model(load_config('det/meta_sdt_srb_s_coco'), [], path)
    output = capsys.readouterr().out
    assert 'warning: neck: levels=4' in output
    assert 'warning: rpn_head: anchors of strides [4, 8, 16, 16, 32]' in output
    check_model(load_config('det/meta_sdt_srb_s_coco_published'), [], path)
    output = capsys.readouterr().out
    assert 'warning' not in output and f'{path} fits MaskRCNN' in output


def test_measuring_tools_load_published_weights(load_config, save, capsys):
    pytest.importorskip('mmpretrain')
    path = save('sdtv3_t', random_weights)
    model = load_model(load_config('cls/meta_sdt_conv_t_imagenet'), path)
    assert f'{path} holds a published classifier' in capsys.readouterr().out
    loaded, (weights, _) = model.state_dict(), open_weights(path)
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())


def test_unknown_kinds_of_addresses_are_refused():
    with pytest.raises(ValueError, match='cannot fetch gs://bucket/file.pth'):
        CheckpointLoader.load_checkpoint('gs://bucket/file.pth')
