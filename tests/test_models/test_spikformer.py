"""Spikformer: what it promises beyond every backbone."""

import pytest
import torch
from torch import Tensor, nn

from snndense.models.backbones import Spikformer
from snndense.models.backbones.spikformer import SSA
from snndense.models.layers import SpikingNeuron

TINY = dict(embed_dims=16, depths=2, num_heads=2, time_steps=2)
ALL_TAPS = (0, 1, 2, 3)


@pytest.mark.parametrize(
    'arch, channels, strides, in_channels',
    [
        ('8_512', (64, 128, 256, 512), (2, 4, 8, 16), 3),
        ('cifar_4_384', (48, 96, 192, 384), (1, 1, 2, 4), 3),
        ('dvs_2_256', (32, 64, 128, 256), (2, 4, 8, 16), 2),
    ],
)
def test_taps_of_the_flavours(arch, channels, strides, in_channels):
    with torch.device('meta'):
        model = Spikformer(arch, out_indices=ALL_TAPS)
        plain = Spikformer(arch)
    assert model.out_channels == channels and model.out_strides == strides
    assert model.in_channels == in_channels
    assert (plain.out_channels, plain.out_strides) == (channels[3:], strides[3:])


def test_heads_of_published_sizes():
    heads = {name: s['num_heads'] for name, s in Spikformer.arch_settings.items()}
    assert heads['8_512'] == heads['10_512'] == heads['cifar_4_256'] == 8
    assert heads['8_768'] == heads['cifar_4_384'] == 12
    assert heads['dvs_2_256'] == 16


def test_maps_hold_spikes_and_counts_of_spikes():
    torch.manual_seed(0)
    model = Spikformer('8_384', **TINY, out_indices=ALL_TAPS, out_mode='sequence')
    *stem, last = model(torch.randn(2, 3, 64, 64))
    for spikes in stem:
        assert set(spikes.unique().tolist()) == {0, 1}
    assert torch.equal(last, last.round())
    assert last.min() == 0 and 2 < last.max() <= 2 + 2 * 2  # 2 + 2 * depth


def quadratic(attn: SSA, x: Tensor) -> Tensor:
    """Attention as the cifar and dvs files write it, ``(q k^T) v``."""
    q, k, v = (
        layer(x).flatten(2).unflatten(1, (attn.num_heads, -1)).mT
        for layer in (attn.q, attn.k, attn.v)
    )  # (T*N, h, H*W, C/h)
    y = (q @ k.mT) @ v * attn.scale
    return attn.proj(attn.attn_neuron(y.mT.reshape(x.shape)))


@pytest.mark.parametrize('arch', ('8_384', 'cifar_2_384', 'dvs_2_256'))
def test_attention_is_that_of_the_quadratic_order(arch):
    torch.manual_seed(0)
    model = Spikformer(arch, **TINY)
    attn = model.blocks[0].attn
    for layer in (attn.q, attn.k, attn.v):
        nn.init.constant_(layer.conv.norm.weight, 3.0)
    x = torch.randint(0, 4, (4, 16, 9, 7)).float()
    mixed = []
    attn.attn_neuron.register_forward_hook(lambda m, args, y: mixed.append(y))
    assert torch.equal(attn(x), quadratic(attn, x))
    assert 0 < mixed[0].mean() < 1
    thresholds = {
        m.v_threshold for m in model.modules() if isinstance(m, SpikingNeuron)
    }
    assert attn.attn_neuron.v_threshold == 0.5 and thresholds == {0.5, 1.0}


def test_attention_makes_no_map_of_tokens_by_tokens():
    attn = Spikformer('8_384', **TINY).blocks[0].attn
    shapes = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: shapes.append(x.shape) or x, lambda x: x
    )
    with hooks:
        attn(torch.randint(0, 2, (4, 16, 9, 7)).float())
    assert not any(shape[-2:] == (63, 63) for shape in shapes if len(shape) > 1)


def test_a_still_picture_passes_the_first_convolution_once():
    model = Spikformer('8_384', **TINY).eval()
    batches = []
    model.patch_embed[0].conv.register_forward_hook(
        lambda m, x, y: batches.append(len(x[0]))
    )
    with torch.no_grad():
        model(torch.randn(3, 3, 32, 32))
        model(torch.randn(3, 2, 3, 32, 32))
    assert batches == [3, 3 * 2]


def test_initialisation_of_the_flavours():
    torch.manual_seed(0)
    size = dict(TINY, embed_dims=128)
    stds = {}
    for arch in ('8_384', 'cifar_2_384'):
        model = Spikformer(arch, **size)
        model.init_weights()
        stds[arch] = model.blocks[0].mlp[1].conv.conv.weight.std().item()
        stem = model.patch_embed[1].conv.conv.weight.std().item()
        assert stem == pytest.approx((3 * 16 * 9) ** -0.5, rel=0.1)  # torch's own
    assert stds['cifar_2_384'] == pytest.approx(0.02, rel=0.1)
    assert stds['8_384'] == pytest.approx((3 * 512) ** -0.5, rel=0.1)


def test_stages_beyond_the_taps_do_not_exist():
    stem = Spikformer('8_384', out_indices=(0, 1))
    assert stem.block_prefixes() == []
    assert {key.split('.')[1] for key in stem.state_dict()} == {'0', '1'}


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match='embed_dims=20'):
        Spikformer('8_384', embed_dims=20, num_heads=4)
    with pytest.raises(ValueError, match='num_heads=5'):
        Spikformer('8_384', num_heads=5)
    settings = {**Spikformer.arch_settings['8_384'], 'flavour': 'mnist'}
    with pytest.raises(ValueError, match="'mnist'"):
        Spikformer(settings)
