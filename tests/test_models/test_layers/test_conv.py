"""Neuron, convolution, norm."""

import pytest
import torch
from torch import nn

from snndense.models.layers import IntegerLIF, SpikeConv, build_norm

NEURON = dict(type='snndense.IntegerLIF')


@pytest.mark.parametrize('kernel_size', (1, 3, 7))
@pytest.mark.parametrize('stride', (1, 2))
def test_neuron_then_convolution_then_norm(kernel_size, stride):
    unit = SpikeConv(4, 6, kernel_size, stride=stride, groups=2, neuron_cfg=NEURON)
    x = torch.randn(2, 4, 9, 12)
    out = unit(x)
    assert out.shape == (2, 6, -(-9 // stride), -(-12 // stride))
    plain = nn.Conv2d(4, 6, kernel_size, stride, kernel_size // 2, groups=2, bias=False)
    plain.load_state_dict(unit.conv.state_dict())
    assert torch.equal(out, nn.BatchNorm2d(6)(plain(IntegerLIF()(x))))


def test_without_a_neuron_it_reads_real_values():
    unit = SpikeConv(3, 4, 1, bias=True).eval()
    assert unit.neuron is None
    x = torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(unit(x), unit.conv(x) / (1 + 1e-5) ** 0.5)


def test_norm_settings():
    norm_cfg = dict(type='SyncBN', requires_grad=False, eps=1e-3)
    norm = build_norm(norm_cfg, 8)
    assert isinstance(norm, nn.SyncBatchNorm) and norm.eps == 1e-3
    assert not any(p.requires_grad for p in norm.parameters())
    assert norm_cfg == dict(type='SyncBN', requires_grad=False, eps=1e-3)
    for wrong in (dict(type='GN', num_groups=2), dict()):
        with pytest.raises(ValueError, match="'BN', 'BN2d', 'SyncBN'"):
            build_norm(wrong, 8)
