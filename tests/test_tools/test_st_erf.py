"""Receptive fields from the command line: one model, several, and over seeds."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from snndense.studies.ablation import read_experiment

from .conftest import ROOT

TOOL = 'analysis_tools/st_erf.py'
COMPARE = 'analysis_tools/compare_st_erf.py'
pytest.importorskip('mmdet')

EXPERIMENT = """
metrics = {{'box AP': 'coco/bbox_mAP'}}
config = '{config}'
variants = dict(
    srb=dict(), conv=dict(cfg_options=dict(model=dict(backbone=dict(mixer='conv'))))
)
"""
STEPS = (
    '--cfg-options',
    'model.backbone.time_steps=2',
    'model.backbone.neuron_cfg.type=snndense.LIF',
)


def table(path) -> list[dict]:
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('tool', (TOOL, COMPARE))
def test_help(call_tool, capsys, tool):
    assert call_tool(tool, '--help') == 0
    text = capsys.readouterr().out
    for flag in ('--layers', '--images', '--num-images', '--out', '--cfg-options'):
        assert flag in text


def test_two_models_side_by_side(call_tool, capsys, trained, digit_scenes_root):
    run = trained('det')
    models = (run.config, run.checkpoint, '--vs', run.config, '--names', 'new', 'old')
    images = ('--images', digit_scenes_root / 'coco/val', '--num-images', 3)
    assert call_tool(TOOL, *models, *images, '--out', 'erf') is None
    text = capsys.readouterr().out
    assert '3 images of 128 x 128' in text and 'untrained: the statistics' in text
    stages = [f'stages.{i}' for i in range(5)]
    with np.load('erf/new.npz') as arrays:
        meta = json.loads(str(arrays['meta']))['spatial']
        assert meta['n_images'] == 3 and meta['checkpoint'] == str(run.checkpoint)
        maps = {name: arrays[f'spatial/{name}'] for name in stages}
    with np.load('erf/old.npz') as arrays:
        assert not np.allclose(arrays['spatial/stages.4'], maps['stages.4'])
    assert all(erf.shape == (128, 128) and erf.sum() > 0 for erf in maps.values())
    rows = table('erf/statistics.csv')
    assert [(row['model'], row['layer']) for row in rows] == [
        (model, stage) for model in ('new', 'old') for stage in stages
    ]
    areas = [float(row['area_50']) for row in rows[5:]]
    assert areas[0] < areas[2] and all(0 < area < 1 for area in areas)
    for name in ('maps', 'areas', 'profiles'):
        assert (run_path := Path.cwd() / f'erf/{name}.png').stat().st_size > 5000
    assert not (run_path.parent / 'delays.png').exists()


def test_time_and_other_layers(call_tool, tiny_configs):
    options = ('--shape', 64, 96, '--num-images', 2, '--log', '--unit', 3, 4)
    layers = ('--layers', 'stages.?', 'stages.3.*.attn.proj_conv')
    status = call_tool(TOOL, tiny_configs['seg'], *layers, *options, *STEPS)
    assert status is None
    folder = Path.cwd() / 'work_dirs/st_erf'
    names = {path.name for path in folder.glob('*.png')}
    assert names == {
        f'{name}.png' for name in ('maps', 'areas', 'profiles', 'delays', 'temporal')
    }
    with np.load(folder / 'tiny_seg.npz') as arrays:
        layer = 'stages.3.blocks.0.branches.attn.proj_conv'
        assert arrays[f'spatiotemporal/{layer}'].shape == (2, 64, 96)
        meta = json.loads(str(arrays['meta']))
    assert meta['spatial']['unit'] == [3, 4] and meta['spatial']['images'] == 'random'
    assert meta['spatial']['layers']['stages.1']['position'] == [13.5, 17.5]
    rows = table(folder / 'statistics.csv')
    delays = [r['delay'] for r in rows if r['layer'] == 'stages.0']
    assert delays == ['', '0', '1', '']
    assert [r['mode'] for r in rows][-1] == 'temporal'


def test_own_data_and_attention(call_tool, tiny_configs):
    options = ('--layers', 'attn', '--images', 'dataset', '--num-images', 2)
    assert call_tool(TOOL, tiny_configs['cls'], *options, '--unit', 'all') is None
    folder = Path.cwd() / 'work_dirs/st_erf'
    assert not (folder / 'profiles.png').exists()
    layers = {row['layer'] for row in table(folder / 'statistics.csv')}
    attention = 'blocks.0.branches.attn.proj_conv.conv'
    assert layers == {f'stages.{i}.{attention}' for i in (3, 4)}


def test_mistakes_are_answered_in_short(call_tool, tiny_configs, tmp_path):
    config = tiny_configs['det']
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'no image')
    stock = tmp_path / 'stock.py'
    stock.write_text(
        "default_scope = 'mmdet'\n"
        "model = dict(type='FCOS', backbone=dict(type='ResNet', depth=18),\n"
        "    neck=dict(type='FPN', in_channels=[64, 128, 256, 512],\n"
        '        out_channels=8, num_outs=4),\n'
        "    bbox_head=dict(type='FCOSHead', num_classes=1, in_channels=8))\n"
    )
    for arguments, message in (
        ((config, '--vs', config), 'set --names'),
        ((config, '--unit', 'top', 'left'), 'a row and a column'),
        ((config, '--layers', 'stage.0'), 'did you mean stages.0'),
        ((config, '--images', tmp_path / 'none'), 'there is no image'),
        ((config, tmp_path / 'none.pth'), 'none.pth'),
        ((config, '--num-images', 0), 'num_images=0'),
        ((config, '--images', broken), 'broken.jpg is missing or cannot be decoded'),
        ((config, '--time', 7), 'a step of 1, counted from 0, but got 7'),
        ((stock, '--shape', 64, 64), 'give --layers: ResNet consists of conv1'),
    ):
        assert message in call_tool(TOOL, *arguments, '--out', 'none')
        assert not (tmp_path / 'none').exists()
    stages = ('--shape', 64, 64, '--layers', 'layer?')
    assert call_tool(TOOL, stock, *stages, '--num-images', 2, '--out', 'stock') is None
    assert len(table(tmp_path / 'stock/statistics.csv')) == 4


SWIN = """
_base_ = ['mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py']
small = dict(embed_dims=12, depths=(1, 2, 1, 1), num_heads=(1, 1, 1, 1))
model = dict(
    backbone=dict(init_cfg=None, drop_path_rate=0.0, **small),
    neck=dict(in_channels=[12, 24, 48, 96]),
)
"""
VIT = """
default_scope = 'mmpretrain'
arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=8)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8),
    head=dict(type='VisionTransformerClsHead', num_classes=2, in_channels=8),
)
"""
SMALL = ('--shape', 64, 96, '--num-images', 2)


def layers_of(path) -> dict:
    """What is told about the layers of a model that was measured."""
    with np.load(path) as arrays:
        return json.loads(str(arrays['meta']))['spatial']['layers']


def test_stock_swin(call_tool, capsys, tmp_path):
    config = tmp_path / 'swin.py'
    config.write_text(SWIN)
    layers = ('--layers', 'stages.1', 'stages.[01].*.attn')
    assert call_tool(TOOL, config, *layers, *SMALL, '--out', 'erf') is None
    found = layers_of('erf/swin.npz')
    attention = {'stages.0.blocks.0': [16, 24]}
    attention.update({f'stages.1.blocks.{i}': [8, 12] for i in (0, 1)})
    grids = {f'{name}.attn': grid for name, grid in attention.items()}
    # a stage ends in front of the next one, at its size
    assert {k: v['grid'] for k, v in found.items()} == {'stages.1': [4, 6], **grids}
    text = capsys.readouterr().out
    assert 'stages.1.blocks.0.attn: tokens in 8 rows of 12 (told by the layer)' in text
    for layer, options, message in (
        ('stages.1.*.w_msa.proj', (), 'Windows and other parts of images, 4 of each'),
        ('norm1', (), 'Set --token-grid, --class-tokens or --channels-first'),
        ('norm1', ('--token-grid', 8), '--token-grid to be none or H W'),
        ('norm1', ('--class-tokens', -1), '--class-tokens 0 or more'),
        ('norm1', ('--token-grid', 8, 8), 'fill no grid of (8, 8)'),
    ):
        answer = call_tool(TOOL, config, '--layers', layer, *SMALL, *options)
        assert message in answer and 'TokenLayout' not in answer


def test_stock_vision_transformer(call_tool, tmp_path):
    pytest.importorskip('mmpretrain')
    config = tmp_path / 'vit.py'
    config.write_text(VIT)
    arguments = (config, '--layers', 'layers.*.attn.proj', *SMALL)
    answer = call_tool(TOOL, *arguments, '--token-grid', '--out', 'none')
    assert '97 fill no image of 64 x 96 at any one stride; there may be class' in answer
    for name, grid, source in (
        ('auto', (), 'size of the image / stride'),
        ('given', (8, 12), 'given'),
    ):
        options = ('--token-grid', *grid, '--class-tokens', 1, '--out', name)
        assert call_tool(TOOL, *arguments, *options) is None
        assert layers_of(f'{name}/vit.npz') == {
            f'layers.{i}.attn.proj': dict(
                grid=[8, 12], position=[35.5, 51.5], tokens=source
            )
            for i in (0, 1)
        }
    with np.load('auto/vit.npz') as auto, np.load('given/vit.npz') as given:
        for layer in ('spatial/layers.0.attn.proj', 'spatial/layers.1.attn.proj'):
            np.testing.assert_array_equal(auto[layer], given[layer])
            assert auto[layer].any()


@pytest.fixture
def experiment(tmp_path, tiny_configs):
    path = tmp_path / 'mixers.py'
    path.write_text(EXPERIMENT.format(config=tiny_configs['det']))
    return path


def test_variants_over_seeds(call_tool, capsys, experiment, trained, tmp_path):
    arguments = (experiment, '--seeds', 0, 1, '--reference', 'conv', '--runs', 'runs')
    options = ('--layers', 'stages.0', 'stages.1', '--num-images', 2)
    options = (*options, '--shape', 64, 64, '--out')
    assert call_tool(COMPARE, *arguments, *options, 'before', *STEPS) is None
    text = capsys.readouterr().out
    assert 'not trained, and so not measured after training: mixers: 0 of 4' in text
    assert '**mixers, untrained, 2 seeds**' in text
    # 2 stages with 2 delays
    assert 'srb: larger than conv for every seed at 4 of 4 places' in text
    results = json.loads((tmp_path / 'before/results.json').read_text())
    assert [(r['variant'], r['seed']) for r in results] == [
        (variant, seed) for seed in (0, 1) for variant in ('srb', 'conv')
    ]
    areas = {r['variant']: r['statistics']['stages.0'][1]['area_90'] for r in results}
    assert areas['srb'] > 1.5 * areas['conv']
    hidden = 'stages.0.blocks.0.mixer.conv2.neuron'
    assert all(hidden in r['silent_layers'] for r in results if r['variant'] == 'srb')
    assert (tmp_path / 'before/figure.png').stat().st_size > 10000

    # finished runs, of which only the weights of srb can be had here
    checkpoint = trained('det').checkpoint
    text = EXPERIMENT.format(config=trained('det').config)
    experiment.write_text(text.replace("dict(mixer='conv')", 'dict()'))
    for variant in ('srb', 'conv'):
        for seed in (0, 1):
            folder = tmp_path / f'runs/mixers/{variant}/seed_{seed}'
            folder.mkdir(parents=True)
            shutil.copy(checkpoint, folder)
            result = dict(metrics={'coco/bbox_mAP': 0.25 + seed / 10})
            folder.with_suffix('.json').write_text(json.dumps(result))
    assert call_tool(COMPARE, *arguments, *options, 'after') is None
    text = capsys.readouterr().out
    assert '**mixers, trained, 2 seeds**' in text and '0.300 ± 0.071' in text
    assert 'srb: larger than conv for every seed at 0 of 2 places' in text
    assert (tmp_path / 'after/table.md').read_text().strip() in text
    for path in (tmp_path / 'runs').rglob('*.pth'):
        path.unlink()
    error = call_tool(COMPARE, *arguments, *options, 'none')
    assert 'is finished, but there is no checkpoint in' in error
    assert not (tmp_path / 'none').exists()


def test_mixers_of_the_paper():
    """The experiments of docs/st_erf.md are about what they say."""
    for name, steps in (
        ('meta_sdt_digits_det', 1),
        ('meta_sdt_t4_digits_det', 4),
        ('meta_sdt_kaiming_digits_det', 1),
    ):
        experiment = read_experiment(ROOT / f'configs/ablations/{name}.py')
        assert set(experiment.variants) == {'srb', 'mlpixer', 'conv'}
        for mixer, variant in experiment.variants.items():
            backbone = variant.cfg.model.backbone
            assert backbone.mixer == mixer
            assert backbone.get('time_steps', 1) == steps


def test_runs_of_other_settings(call_tool, experiment, tiny_configs, tmp_path):
    earlier = tmp_path / 'runs/mixers/srb/seed_0.py'
    earlier.parent.mkdir(parents=True)
    cfg = Config.fromfile(tiny_configs['det'])
    cfg.merge_from_dict({'randomness.seed': 0, 'train_cfg.max_iters': 5})
    cfg.dump(earlier)
    message = call_tool(COMPARE, experiment, '--runs', 'runs', '--seeds', 0)
    assert 'runs/mixers holds runs of other settings' in message
    assert 'seed_0.py differs in train_cfg; choose other --runs' in message


def test_mistakes_of_a_comparison(call_tool, experiment, tmp_path):
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'no image')
    message = call_tool(COMPARE, experiment, '--images', broken, '--seeds', 0)
    assert 'broken.jpg is missing or cannot be decoded' in message
    message = call_tool(COMPARE, experiment, '--reference', 'lif')
    assert "--reference to be one of ('srb', 'conv')" in message
