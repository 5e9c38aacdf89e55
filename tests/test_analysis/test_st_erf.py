"""Receptive fields: what they must be, whatever the network."""

import json

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from test_models.tiny_backbones import all_taps, build, each_case, pictures
from torch import nn

from snndense.analysis import st_erf
from snndense.models.backbones.lsformer_attention import LSSSA
from snndense.models.layers import LIF, SpikeConv
from snndense.parity.st_erf import check_st_erf

from .conftest import PARITY

MODES = ('spatial', 'temporal', 'spatiotemporal')


def maps(*args, **kwargs) -> dict[str, np.ndarray]:
    result = st_erf(*args, **kwargs)
    return {name: erf.map for name, erf in result.per_layer.items()}


def assert_close(maps: dict, others: dict, rtol: float = 1e-4) -> None:
    assert list(maps) == list(others)
    for name, erf in maps.items():
        np.testing.assert_allclose(erf, others[name], rtol, 1e-6 * erf.max())


def conv_stack(depth: int) -> nn.Sequential:
    torch.manual_seed(0)
    convs = (nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(depth))
    return nn.Sequential(*convs).double()


@pytest.mark.parametrize('path', PARITY, ids=lambda path: path.stem)
def test_published_maps(path):
    report = check_st_erf(path)
    assert report.passed, report
    assert report.deviation > 0


def test_a_wrong_map_is_noticed(tmp_path):
    data = json.loads(PARITY[0].read_text())
    data['cases'][1]['layers'][2]['map'][5][5] *= 1.01
    path = tmp_path / 'changed.json'
    path.write_text(json.dumps(data))
    report = check_st_erf(path)
    assert not report.passed
    assert 'block.2.attn.proj_conv' in str(report)


@each_case
def test_every_layer_of_every_backbone(case):
    model = build(case)
    images, steps = pictures(), model.time_steps
    layers = [*model.stage_outputs(), *model.erf_layers()]
    result = st_erf(model, layers, images)
    grids = [result.per_layer[name].grid for name in model.stage_outputs()]
    with torch.no_grad():
        every = build(case, out_indices=all_taps(case))(images)
    assert grids == [tuple(x.shape[-2:]) for x in every][: len(grids)]
    spatial = {name: erf.map for name, erf in result.per_layer.items()}
    assert all(erf.shape == images.shape[-2:] for erf in spatial.values())
    assert all(spatial[name].sum() > 0 for name in model.stage_outputs())
    volumes = maps(model, layers, images, mode='spatiotemporal')
    profiles = maps(model, layers, images, mode='temporal')
    assert all(volume.shape[0] == steps for volume in volumes.values())
    sums = {name: volume.sum((1, 2)) for name, volume in volumes.items()}
    assert_close(profiles, sums, 1e-10)
    last = maps(model, layers, images, time='last')
    for name, erf in last.items():  # |sum of delays| <= sum of |delays|
        assert (erf <= volumes[name].sum(0) * (1 + 1e-3) + 1e-5 * erf.max()).all()


@each_case
def test_nothing_is_changed(case):
    model = build(case, frozen_stages=0).train()
    parameter = next(p for p in model.parameters() if p.requires_grad)
    parameter.grad = torch.ones_like(parameter)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    training = [m.training for m in model.modules()]
    learned = [p.requires_grad for p in model.parameters()]
    with torch.no_grad():
        st_erf(model, None, pictures())
    assert training == [m.training for m in model.modules()]
    assert learned == [p.requires_grad for p in model.parameters()]
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
    assert all(p.grad is None for p in model.parameters() if p is not parameter)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


@each_case
def test_samples_do_not_meet(case):
    model, images = build(case), pictures()
    layers = model.stage_outputs()
    together = maps(model, layers, images)
    alone = [maps(model, layers, image[None]) for image in images]
    assert_close(together, {k: sum(m[k] for m in alone) / 2 for k in together})
    one_by_one = maps(model, layers, images, batch_size=1)
    assert_close(together, one_by_one)
    summed = maps(model, layers, images.split(1), reduce='sum')
    assert_close({k: 2 * v for k, v in together.items()}, summed)
    apart = maps(model, layers, images, reduce='none')
    assert_close({k: v.mean(0) for k, v in apart.items()}, together)


def test_linear_stack_is_its_kernel():
    net = conv_stack(2)
    erf = st_erf(net, '1', torch.randn(3, 1, 11, 13).double()).map
    first, second = (conv.weight[0, 0].detach() for conv in net)
    kernel = nn.functional.conv_transpose2d(second[None, None], first[None, None])
    expected = np.zeros((11, 13))
    expected[3:8, 4:9] = kernel[0, 0].abs().numpy()
    np.testing.assert_allclose(erf, expected, atol=1e-12)


@pytest.mark.parametrize('depth', (1, 3))
def test_support_of_convolutions(depth):
    net = conv_stack(depth)
    erf = st_erf(net, str(depth - 1), torch.randn(2, 1, 15, 15).double()).map
    rows, columns = np.nonzero(erf)
    assert (rows.min(), rows.max()) == (7 - depth, 7 + depth)
    assert (columns.min(), columns.max()) == (7 - depth, 7 + depth)


def test_map_moves_with_the_unit():
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3))
    image = torch.zeros(1, 2, 24, 24)
    image[..., 8:16, 8:16] = torch.randn(2, 8, 8)
    here = st_erf(net, '2', image, unit=(10, 11)).map
    there = st_erf(net, '2', image.roll((2, -3), (2, 3)), unit=(12, 8)).map
    np.testing.assert_allclose(np.roll(here, (2, -3), (0, 1)), there, rtol=1e-5)


def test_unreached_membrane_forgets_geometrically():
    # no spike, so that the surrogate's gradient at the last step is a common factor
    tau, steps = 3.0, 6
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), LIF(tau=tau, time_steps=steps))
    nn.init.constant_(net[0].weight, 0.01)
    net.forward = lambda x: net[1](net[0](x.transpose(0, 1).flatten(0, 1)))
    frames = torch.rand(2, steps, 1, 5, 5)
    profile = st_erf(net, '1', frames, mode='temporal').map
    np.testing.assert_allclose(profile[1:] / profile[:-1], 1 - 1 / tau, rtol=1e-5)
    earlier = st_erf(net, '1', frames, mode='temporal', time=2).map
    assert earlier.shape == (3,)
    np.testing.assert_allclose(earlier / earlier[0], profile[:3] / profile[0], 1e-5)


def test_static_image_counts_once_and_its_copies_apart():
    torch.manual_seed(0)
    steps = 3

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time_steps = steps
            self.conv = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, x):
            if x.dim() == 4:
                x = x.repeat(steps, 1, 1, 1)
            else:
                x = x.transpose(0, 1).flatten(0, 1)
            return self.conv(x)

    net, image = Net(), torch.randn(1, 3, 7, 7)
    one = st_erf(net, 'conv', image, time='last').map
    np.testing.assert_allclose(st_erf(net, 'conv', image).map, steps * one, 1e-5)
    volume = st_erf(net, 'conv', image, mode='spatiotemporal').map
    np.testing.assert_allclose(volume[0], one, 1e-5)
    assert not volume[1:].any()
    # frames: the steps add up
    frames = image[:, None].expand(-1, steps, -1, -1, -1)
    np.testing.assert_allclose(st_erf(net, 'conv', frames).map, steps * one, 1e-5)


def test_what_is_overwritten_behind_a_layer_does_not_count():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True))
    image = torch.randn(1, 1, 9, 9)
    plain = nn.Sequential(net[0], nn.ReLU())
    assert_close(maps(net, ['0', '1'], image), maps(plain, ['0', '1'], image))


def test_channels_signals_and_input_channels():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 1))
    image = torch.randn(1, 2, 9, 9)
    every = [st_erf(net, '0', image, channels=i, per_channel=True) for i in range(3)]
    weight = net[0].weight.detach().abs().numpy()
    for index, result in enumerate(every):
        assert result.map.shape == (2, 9, 9)
        np.testing.assert_allclose(result.map[:, 3:6, 3:6], weight[index], rtol=1e-5)
    mean = st_erf(net, '0', image, channels=2).map
    np.testing.assert_allclose(mean, every[2].map.mean(0), rtol=1e-5)
    assert_close(
        {'1': st_erf(net, '0', image, channels=(0, 2)).map},
        {'1': st_erf(net, '1', image, signal='input', channels=(0, 2)).map},
    )

    class Named(nn.Conv2d):
        def forward(self, x):
            y = super().forward(x)
            return {'low': y, 'high': 2 * y}

    named = nn.Sequential(Named(2, 3, 3, padding=1))
    low, high = (st_erf(named, '0', image, signal=s).map for s in ('low', 'high'))
    np.testing.assert_allclose(2 * low, high, rtol=1e-5)
    with pytest.raises(ValueError, match=r"keys \('low', 'high'\)"):
        st_erf(named, '0', image)


def test_normalisation():
    net, images = conv_stack(2), torch.randn(2, 1, 9, 9).double()
    plain = st_erf(net, '1', images).map
    for normalize, total in (('max', plain.max()), ('sum', plain.sum())):
        erf = st_erf(net, '1', images, normalize=normalize).map
        np.testing.assert_allclose(erf, plain / total)
    profile = st_erf(net, '1', images, mode='temporal', normalize='max').map
    np.testing.assert_allclose(profile, [plain.sum() / plain.max()])


@pytest.mark.parametrize('mode', MODES)
def test_spikingjelly_networks(mode):
    torch.manual_seed(0)
    steps = 3
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, step_mode='m'),
        neuron.LIFNode(surrogate_function=surrogate.ATan(), step_mode='m'),
        layer.Conv2d(4, 1, 3, padding=1, step_mode='m'),
    )
    frames = 3 * torch.rand(2, steps, 2, 8, 8)
    run = dict(forward=lambda x: net(x.transpose(0, 1)), mode=mode)
    from_rest = st_erf(net, '2', frames, **run).map
    net(torch.rand(steps, 2, 2, 8, 8))  # leaves a state behind
    state = net[1].v.clone()
    erf = st_erf(net, '2', frames, **run).map
    assert erf.shape == dict(spatial=(8, 8), temporal=(3,)).get(mode, (3, 8, 8))
    assert erf.any()
    assert torch.equal(net[1].v, state)
    np.testing.assert_array_equal(erf, from_rest)


def test_noise_is_reproducible_and_noted():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))
    results = [
        st_erf(
            net,
            '2',
            num_images=5,
            image_size=(16, 20),
            generator=torch.Generator().manual_seed(3),
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(results[0].map, results[1].map)
    assert results[0].map.shape == (16, 20)
    assert results[0].n_images == 5
    assert results[0].meta['images'] == 'noise'
    assert results[0].meta['image_size'] == (16, 20)


@pytest.mark.parametrize('with_cp', (False, True))
def test_stock_backbone(with_cp):
    models = pytest.importorskip('mmdet.models')
    torch.manual_seed(0)
    model = models.ResNet(18, with_cp=with_cp, frozen_stages=2)
    result = st_erf(model, 'layer?', torch.randn(2, 3, 64, 96))
    assert list(result.per_layer) == ['layer1', 'layer2', 'layer3', 'layer4']
    grids = [erf.grid for erf in result.per_layer.values()]
    assert grids == [(16, 24), (8, 12), (4, 6), (2, 3)]
    shares = [(erf.map > 0).mean() for erf in result.per_layer.values()]
    assert shares == sorted(shares) and shares[0] < 0.9
    assert model.layer1[0].with_cp is with_cp
    assert result.per_layer['layer3'].position == (39.5, 55.5)


def test_neck_of_a_detector():
    registry = pytest.importorskip('mmdet.registry')
    pytest.importorskip('mmdet.models')
    backbone = dict(type='ResNet', depth=18, out_indices=(1, 2))
    neck = dict(type='FPN', in_channels=[128, 256], out_channels=8, num_outs=2)
    net = nn.ModuleList(registry.MODELS.build(cfg) for cfg in (backbone, neck))
    image = torch.randn(1, 3, 64, 64)
    level = '1.fpn_convs.1.conv'
    erf = st_erf(net, level, image, forward=lambda x: net[1](net[0](x)))
    assert erf.per_layer[level].grid == (4, 4)


def test_layers_are_found_or_suggested():
    model = build(('MetaSDT', 'conv'))
    image = pictures()[:1]
    pattern = st_erf(model, 'stages.*.blocks.0.*.proj_conv', image).per_layer
    assert list(pattern) == [
        f'stages.{i}.blocks.0.branches.attn.proj_conv' for i in (3, 4)
    ]
    stage = model.stages[1]
    assert list(st_erf(model, [stage, 'stages.1'], image).per_layer) == ['stages.1']
    for layers, message in (
        ('stages.1.blocks.0.sep_con', 'did you mean .*stages.1.blocks.0.sep_conv'),
        ('nothing like it', 'has no layer'),
        (nn.ReLU(), 'has no layer a ReLU'),
        ('stages', "'stages' did not run"),
        ((), 'at least one layer'),
    ):
        with pytest.raises(ValueError, match=message):
            st_erf(model, layers, image)
    with pytest.raises(TypeError, match='got 3'):
        st_erf(model, [3], image)


def test_mistakes_are_answered():
    model = build(('MetaSDT', 't2'))
    image, layers = pictures()[:1], 'stages.0'
    shared = SpikeConv(3, 3, 3)
    twice = nn.Sequential(shared, shared)
    cut = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity())
    cut.forward = lambda x: cut[1](cut[0](x).detach())
    for net, name, options, message in (
        (model, layers, dict(mode='space'), r"mode to be one of \('spatial', "),
        (model, layers, dict(reduce='max'), 'reduce'),
        (model, layers, dict(normalize='min'), 'normalize'),
        (model, layers, dict(unit='middle'), "'center', 'all' or"),
        (model, layers, dict(unit=(99, 0)), r'has a grid of \(33, 49\)'),
        (model, layers, dict(time=2), 'a step of 2'),
        (model, layers, dict(time='all', mode='temporal'), "'last', 'first'"),
        (model, layers, dict(channels=100), 'has 4 channels'),
        (model, layers, dict(time_steps=3), 'T=3 and N=1, but got the'),
        (model, '', dict(mode='temporal'), "out_mode='sequence'"),
        (twice, '0', {}, 'runs several times'),
        (cut, '1', {}, 'no gradient to the input'),
        (nn.Sequential(nn.ReLU()), None, {}, 'names no layers'),
    ):
        with pytest.raises(ValueError, match=message):
            st_erf(net, name, image, **options)
    with pytest.raises(ValueError, match='at least one image'):
        st_erf(model, layers, [])
    with pytest.raises(ValueError, match='of different sizes'):
        st_erf(model, layers, [image, pictures(32, 32)])
    with pytest.raises(ValueError, match=r'expected images \(N, C, H, W\)'):
        st_erf(model, layers, image[0])


@pytest.mark.parametrize(('window', 'dilation'), ((3, 1), (3, 2), (5, 1)))
def test_support_of_windowed_attention(window, dilation):
    torch.manual_seed(0)
    attention = LSSSA(
        8,
        1,
        window_size=window,
        dilations=(dilation,),
        neuron_cfg=dict(type='LIF'),
        norm_cfg=dict(type='BN'),
        time_steps=1,
    )
    for name, module in attention.named_modules():
        if name.endswith('norm'):
            nn.init.constant_(module.bias, 2.0)  # so that all fire
    image = torch.rand(1, 8, 17, 17)
    erf = st_erf(attention, 'proj_conv', image).map
    rows, columns = np.nonzero(erf)
    reach = dilation * (window // 2)
    assert (rows.min(), rows.max()) == (8 - reach, 8 + reach)
    assert (columns.min(), columns.max()) == (8 - reach, 8 + reach)
    offsets = {int(row - 8) for row in rows}
    assert offsets == set(range(-reach, reach + 1, dilation))
