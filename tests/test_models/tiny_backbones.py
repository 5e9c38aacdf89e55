"""Tiny, lively models of every registered backbone.

A new family is tested as soon as it is registered; it only has to name a tiny setting
in ``TINY``.
"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snndense.models.backbones import SpikingBackbone
from snndense.registry import MODELS

META_SDT = dict(arch='t', embed_dims=(8, 8, 16, 24), num_heads=2, mlp_ratio=2)
LSFORMER = dict(
    arch='h-t', embed_dims=(16, 16, 32, 32), depths=(1, 1, 2, 1), num_heads=(2, 4, 4, 4)
)
SPIKING_RESFORMER = dict(
    arch='ti',
    embed_dims=(8, 16, 32),
    depths=(1, 1, 2),
    num_heads=(1, 2, 4),
    group_size=8,
)
SDT_V3_LARGE = dict(
    embed_dims=(8, 8, 16),
    depths=(1, 1, 2, 2),
    num_heads=2,
    mlp_ratio=2,
    layer_scale_init_value=0.5,
)
SPIKFORMER = dict(embed_dims=16, depths=2, num_heads=2, mlp_ratio=2, time_steps=2)

# class name -> variant -> arguments; one block more than one somewhere, few channels
TINY = {
    'MetaSDT': {
        'conv': dict(META_SDT, depths=(1, 1, 1, 2, 1)),
        'mlpixer': dict(META_SDT, depths=(1, 1, 2, 1, 1), mixer='mlpixer'),
        'srb': dict(META_SDT, depths=(1, 1, 2, 1, 1), mixer='srb'),
        # a factor so small that many tokens don't saturate
        'attention': dict(
            META_SDT, depths=(1, 1, 2, 1, 1), mixer='attention', attn_factor=0.2
        ),
        'layer_scale': dict(
            META_SDT, depths=(1, 1, 1, 1, 1), layer_scale_init_value=0.5
        ),
        't2': dict(META_SDT, depths=(1, 1, 1, 1, 1), mixer='srb', time_steps=2),
        'v2': dict(
            META_SDT, arch='v2_15m', depths=(1, 1, 1, 1, 1), mlp_ratio=4, time_steps=2
        ),
    },
    'LSFormer': {
        'ls': dict(LSFORMER, time_steps=2),
        'flat': dict(LSFORMER, arch='dvs', depths=(0, 0, 0, 3), time_steps=2),
        'global_sew': dict(
            LSFORMER, attn='global', shortcut='sew', spool='max', time_steps=2
        ),
        'integer': dict(LSFORMER, time_steps=1, neuron_cfg=dict(type='IntegerLIF')),
    },
    'SDTV3Large': {
        '83m': dict(SDT_V3_LARGE),
        '173m': dict(SDT_V3_LARGE, arch='173m', layer_scale_init_value=0.0),
        't2': dict(SDT_V3_LARGE, time_steps=2),
    },
    'Spikformer': {
        'imagenet': dict(SPIKFORMER, arch='8_384'),
        'cifar': dict(SPIKFORMER, arch='cifar_2_384'),
        'dvs': dict(SPIKFORMER, arch='dvs_2_256', in_channels=3),
    },
    'SpikingResformer': {
        'ti': dict(SPIKING_RESFORMER, time_steps=2),
        'plif': dict(
            SPIKING_RESFORMER, time_steps=2, neuron_cfg=dict(type='PLIF', alpha=2.0)
        ),
    },
}

MODELS.import_from_location()
BACKBONES = {
    name: module
    for name, module in MODELS.module_dict.items()
    if issubclass(module, SpikingBackbone)
}
CASES = [(name, variant) for name in BACKBONES for variant in TINY.get(name, {})]
each_backbone = pytest.mark.parametrize('name', BACKBONES)
each_case = pytest.mark.parametrize('case', CASES, ids='-'.join)


def build(case: tuple, **overrides) -> SpikingBackbone:
    """A backbone that spikes everywhere, in evaluation too.

    A fresh one does not: its batch norms have seen no picture, and behind an attention
    of few tokens, whose currents are small, no neuron reaches its threshold.
    """
    torch.manual_seed(0)
    name, variant = case
    model = MODELS.build(
        {'type': f'snndense.{name}', **TINY[name][variant], **overrides}
    )
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.ones_(norm.bias)
    with torch.no_grad():
        model(pictures())
    for norm in norms:
        norm.momentum = 0.1
    return model


@cache
def pictures(height: int = 65, width: int = 97, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, 3, height, width, generator=generator) * 2


def some_case(name: str) -> tuple:
    return name, next(iter(TINY[name]))


def all_taps(case: tuple) -> tuple[int, ...]:
    name, variant = case
    last = MODELS.build(
        {'type': f'snndense.{name}', **TINY[name][variant], 'out_indices': -1}
    )
    return tuple(range(last.out_indices[0] + 1))


def assert_equal(outputs: tuple, expected: tuple) -> None:
    assert len(outputs) == len(expected)
    for x, y in zip(outputs, expected, strict=True):
        assert torch.equal(x, y)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: None if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def step(model: SpikingBackbone, x: Tensor) -> tuple[Tensor, ...]:
    """Forward and backward with fixed random numbers."""
    torch.manual_seed(1)
    outputs = model(x)
    torch.autograd.backward(outputs, [torch.randn_like(y) for y in outputs])
    return outputs
