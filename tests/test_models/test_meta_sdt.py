"""What makes Meta-SDT Meta-SDT; what every backbone promises is tested elsewhere."""

import runpy
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from snndense.models.backbones import MetaSDT
from snndense.models.backbones.meta_sdt_attention import RepConv
from snndense.models.backbones.meta_sdt_mixers import SRB, MLPixer, raw_reshape
from snndense.models.layers import LIF, IntegerLIF, SpikingNeuron

REFERENCE = Path(__file__).parents[1] / 'reference' / 'quadratic_attention.py'
NEURON = dict(type='IntegerLIF')
TINY = dict(embed_dims=(8, 8, 16, 24), num_heads=2, depths=(1, 1, 1, 1, 1))
VARIANTS = {
    'conv': dict(TINY),
    'mlpixer': dict(TINY, mixer='mlpixer'),
    'srb': dict(TINY, mixer='srb'),
    'attention': dict(TINY, mixer='attention'),
    'v2': dict(TINY, arch='v2_15m', time_steps=2),
}


def build(name: str, **kwargs) -> MetaSDT:
    """In evaluation, with norms that are no identity and let neurons fire."""
    torch.manual_seed(0)
    model = MetaSDT(**VARIANTS[name], **kwargs)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.5, 1.5)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def test_taps():
    model = MetaSDT('t', out_indices=(0, 1, 2, 3, 4))
    assert model.out_strides == (2, 4, 8, 16, 16)
    assert model.out_channels == (12, 24, 48, 96, 128)
    assert MetaSDT('t').out_strides == (4, 8, 16, 16)


@pytest.mark.parametrize(
    'arch, mixer, mlp_ratio, millions',
    [
        ('s', 'conv', None, 4.912608),
        ('m', 'conv', None, 9.782112),
        ('l', 'conv', None, 18.626504),
        ('l', 'mlpixer', 4, 16.198152),
        ('l', 'mlpixer', 6, 18.972904),
        ('s', 'srb', None, 4.608096),
        ('m', 'srb', None, 9.098016),
        ('l', 'srb', None, 17.411272),
        ('v2_15m', 'conv', None, 14.751208),
        ('v2_31m', 'conv', None, 30.852864),
        ('v2_55m', 'conv', None, 54.709248),
    ],
)
def test_published_sizes(arch, mixer, mlp_ratio, millions):
    with torch.device('meta'):
        model = MetaSDT(arch, mixer=mixer, mlp_ratio=mlp_ratio)
    assert sum(p.numel() for p in model.parameters()) == round(millions * 1e6)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(mixer='mlp'), "'conv', 'mlpixer', 'srb', 'attention'"),
        (dict(arch='v2_15m', mixer='srb'), "mixer='conv' and no layer scale"),
        (dict(arch='v2_15m', layer_scale_init_value=1e-6), 'no layer scale'),
        (dict(num_heads=7), 'multiples of num_heads=7'),
        (dict(embed_dims=(24, 48, 96)), 'four embed_dims'),
        (dict(embed_dims=(25, 48, 96, 128)), 'first one even'),
        (dict(depths=(1, 1, 2, 6)), 'five depths'),
        (dict(drop_path_rate=1.0), 'drop path rate'),
    ],
)
def test_settings_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MetaSDT(**{'arch': 't', **kwargs})


def test_default_neurons():
    integer = [m for m in MetaSDT('t').modules() if isinstance(m, SpikingNeuron)]
    assert {(type(m), m.levels, m.norm) for m in integer} == {(IntegerLIF, 4, 4)}
    v2 = MetaSDT('v2_15m', time_steps=4, **TINY)
    binary = {n: m for n, m in v2.named_modules() if isinstance(m, SpikingNeuron)}
    assert {(type(m), m.tau, m.time_steps) for m in binary.values()} == {(LIF, 2.0, 4)}
    for name, neuron in binary.items():
        # lower behind q (k^T v), whose values are multiples of 1/8
        assert neuron.v_threshold == (0.5 if name.endswith('attn_neuron') else 1.0)


def test_a_picture_passes_the_stem_once():
    model = build('v2', out_mode='sequence')
    batches = []
    model.stages[0].downsample.register_forward_hook(
        lambda m, args, y: batches.append(len(y))
    )
    with torch.no_grad():
        assert len(model(torch.randn(3, 3, 16, 16))[0]) == 6
        model(torch.randn(3, 2, 3, 16, 16))
    assert batches == [3, 6]


def test_raw_reshape_cuts_raster_order_into_strips():
    x = torch.arange(12.0).view(1, 2, 2, 3)  # two channels of 2 x 3 pixels
    strips = raw_reshape(x, 6, 2)
    assert strips[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert strips.data_ptr() == x.data_ptr()
    assert torch.equal(raw_reshape(strips, 2, 2, 3), x)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    assert channels_last.stride() != x.stride()
    assert torch.equal(raw_reshape(channels_last, 6, 2), strips)


@pytest.mark.parametrize('size', [(8, 6), (5, 7)])  # 4 divides 48 but not 35
def test_mlpixer_works_on_strips_of_the_flat_buffer(size):
    torch.manual_seed(0)
    mixer = MLPixer(4, 3, neuron_cfg=NEURON, drop_rate=0.0, time_steps=1)
    x = torch.randn(2, 4, *size) * 2
    spiking = IntegerLIF()
    strips = spiking(x).flatten().split(4)
    expected = [mixer.fc2(spiking(mixer.fc1(strip))) for strip in strips]
    assert any(update.any() for update in expected)
    torch.testing.assert_close(mixer(x), torch.cat(expected).view_as(x))


def test_mlpixer_never_mixes_channels_whose_strips_do_not_straddle():
    mixer = MLPixer(4, 3, neuron_cfg=NEURON, drop_rate=0.0, time_steps=1)
    x = torch.randn(1, 4, 8, 6) * 2
    changed = x.clone()
    changed[:, 1] = torch.randn(8, 6) * 2
    differs = (mixer(x) != mixer(changed)).flatten(2).any(2)[0]
    assert differs.tolist() == [False, True, False, False]


def test_srb_splashes_a_channel_over_its_hidden_channels_and_reconstructs():
    torch.manual_seed(0)
    block = SRB(
        4, 3, neuron_cfg=NEURON, norm_cfg=dict(type='BN'), drop_rate=0.0, time_steps=1
    )
    x = torch.randn(1, 4, 8, 6) * 2
    strips = IntegerLIF()(x).flatten().split(4)
    splashed = torch.cat([block.fc1(strip) for strip in strips]).view(1, 12, 8, 6)
    torch.testing.assert_close(block(x), block.conv2(splashed))
    hidden = []
    block.conv2.register_forward_hook(lambda m, args, y: hidden.append(args[0]))
    changed = x.clone()
    changed[:, 2] = torch.randn(8, 6) * 2
    before, after = block(x), block(changed)
    differs = (hidden[0] != hidden[1]).flatten(2).any(2)[0]
    assert differs.tolist() == [False] * 6 + [True] * 3 + [False] * 3
    assert (before != after).flatten(2).any(2).all()  # now the channels are mixed


@pytest.mark.parametrize('mixer', ('mlpixer', 'srb'))
def test_drop_rate_acts_while_training(mixer):
    def outputs(drop_rate: float, training: bool) -> torch.Tensor:
        model = build(mixer, drop_rate=drop_rate).train(training)
        torch.manual_seed(1)
        return model(x)[0]

    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(outputs(0.5, True), outputs(0.0, True))
    assert torch.equal(outputs(0.5, False), outputs(0.0, False))


def test_rep_conv_is_one_dense_convolution_in_evaluation():
    torch.manual_seed(0)
    layer = RepConv(6, dict(type='BN')).double().eval()
    for norm in (layer.norm_pad.norm, layer.norm):
        for value in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(value)
        nn.init.uniform_(norm.running_var, 0.5, 2)

    def fold(norm: nn.BatchNorm2d) -> tuple:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return scale, norm.bias - norm.running_mean * scale

    (a, b), (c, d) = fold(layer.norm_pad.norm), fold(layer.norm)
    first, depthwise, second = (
        conv.weight.squeeze() for conv in (layer.pwconv1, layer.dwconv, layer.pwconv2)
    )
    second = c[:, None] * second
    kernel = torch.einsum('om,mhw,m,mi->oihw', second, depthwise, a, first)
    bias = second @ (b * depthwise.sum((1, 2))) + d
    for size in [(5, 4), (1, 1)]:
        x = torch.randn(2, 6, *size, dtype=torch.float64)
        dense = nn.functional.conv2d(x, kernel, bias, padding=1)
        torch.testing.assert_close(layer(x), dense)


def test_rep_conv_pads_with_running_statistics_while_training():
    layer = RepConv(2, dict(type='BN'))
    norm = layer.norm_pad.norm
    nn.init.normal_(norm.bias)
    x = torch.randn(4, 2, 6, 6, requires_grad=True)
    padded = layer.norm_pad(x)  # moves the statistics first
    mean, var = norm.running_mean, norm.running_var
    assert mean.any()
    border = norm.bias - norm.weight * mean / (var + norm.eps).sqrt()
    torch.testing.assert_close(padded[0, :, 0, 0], border)
    torch.testing.assert_close(padded[3, :, 4, -1], border)
    inside = nn.functional.batch_norm(
        x, None, None, norm.weight, norm.bias, training=True
    )
    torch.testing.assert_close(padded[:, :, 1:-1, 1:-1], inside)
    padded[:, :, 0].sum().backward()
    assert not norm.weight.grad.any() and not x.grad.any()  # it carries no gradient


@pytest.mark.parametrize('name', ('srb', 'attention', 'v2'))
def test_attention_equals_the_map_of_all_pairs(name):
    patch = runpy.run_path(str(REFERENCE))['patch']
    model = build(name)
    reference = deepcopy(model)
    patch(reference)
    x = torch.randn(1, 3, 65, 97)
    outputs, expected = model(x), reference(x)
    for y, wanted in zip(outputs, expected, strict=True):
        assert y.std((2, 3)).mean() > 0.1
        assert torch.equal(y, wanted)
        weights = torch.randn_like(y)
        y.backward(weights, retain_graph=True)
        wanted.backward(weights, retain_graph=True)
    pairs = zip(model.parameters(), reference.parameters(), strict=True)
    for p, wanted in pairs:
        scale = wanted.grad.abs().max()
        assert (p.grad - wanted.grad).abs().max() <= 1e-4 * scale + 1e-6


def test_attention_scale():
    def scales(**kwargs) -> set:
        model = MetaSDT('t', depths=(1, 1, 1, 1, 1), **kwargs)
        return {m.scale for m in model.modules() if hasattr(m, 'scale')}

    # heads are 96 / 8 and 128 / 8 channels wide
    assert scales() == {2 * 12**-0.5, 2 * 16**-0.5}
    assert scales(attn_factor=1.0) == {12**-0.5, 16**-0.5}
    v2 = MetaSDT('v2_15m', depths=(1, 1, 1, 1, 1))
    assert {m.scale for m in v2.modules() if hasattr(m, 'scale')} == {0.125}


def test_layer_scale():
    torch.manual_seed(0)
    plain = MetaSDT(**TINY)
    scaled = MetaSDT(**TINY, layer_scale_init_value=1e-6)
    extra = scaled.state_dict().keys() - plain.state_dict().keys()
    # three branches of one block in each of the last two stages
    assert len(extra) == 6
    assert all((scaled.state_dict()[key] == 1e-6).all() for key in extra)
    block = scaled.stages[3].blocks[0]
    x = torch.randn(2, 16, 4, 4)
    update = block(x) - x
    assert 0 < update.abs().max() < 1e-4


@pytest.mark.parametrize('name', VARIANTS)
def test_norms_fold_into_convolutions(name):
    cnn = pytest.importorskip('mmcv.cnn')
    model = build(name).double()
    folded = cnn.fuse_conv_bn(deepcopy(model))
    x = torch.randn(1, 3, 49, 70, dtype=torch.float64)
    with torch.no_grad():
        pairs = zip(folded(x), model(x), strict=True)
    for y, wanted in pairs:
        torch.testing.assert_close(y, wanted)
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) < len(before) / 2
