"""The pyramid over a single map, and its spiking variant."""

import pytest
import torch
from torch import nn

from snndense.models.necks import SimpleFeaturePyramid, SpikeSimpleFeaturePyramid
from snndense.registry import MODELS

NECKS = {
    'SimpleFeaturePyramid': dict(),
    'SpikeSimpleFeaturePyramid': dict(time_steps=2),
}


def build(name: str, **kwargs) -> SimpleFeaturePyramid:
    torch.manual_seed(0)
    cfg = dict(type=f'snndense.{name}', in_channels=[16], out_channels=8)
    return MODELS.build({**cfg, **NECKS[name], **kwargs})


@pytest.mark.parametrize('name', NECKS)
def test_levels_and_gradients(name):
    neck = build(name, num_outs=5)
    x = torch.randn(4, 16, 5, 6).mul_(3).requires_grad_(True)
    outs = neck((x,))
    sizes = [(20, 24), (10, 12), (5, 6), (3, 3), (2, 2)]
    assert [out.shape for out in outs] == [(4, 8, *size) for size in sizes]
    sum(out.square().sum() for out in outs).backward()
    grads = [x.grad, *(p.grad for p in neck.parameters())]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize('name', NECKS)
def test_a_single_pixel_has_all_levels(name):
    outs = build(name).eval()((torch.randn(2, 16, 1, 1),))
    assert [out.shape[-1] for out in outs] == [4, 2, 1, 1]


def test_the_map_that_is_neither_grown_nor_shrunk():
    neck = build('SimpleFeaturePyramid').eval()
    x = torch.randn(1, 16, 3, 3)
    reduce, norm1, smooth, norm2 = neck.levels[2]
    torch.testing.assert_close(neck((x,))[2], norm2(smooth(norm1(reduce(x)))))


def test_every_convolution_of_the_spiking_one_reads_spikes():
    neck = build('SpikeSimpleFeaturePyramid').eval()
    read = []
    for module in neck.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            # runs behind the neuron, which is a pre-hook too
            module.register_forward_pre_hook(lambda m, args: read.append(args[0]))
        assert not isinstance(module, nn.GELU)
    neck((torch.randn(2, 16, 4, 4).mul_(4),))
    assert len(read) == 3 + 4 * 2
    assert all(torch.equal(x, x.round().clamp(0, 4)) for x in read)
    assert any(x.max() > 1 for x in read)


def test_both_have_the_same_keys():
    plain, spiking = (build(name).state_dict() for name in NECKS)
    assert plain.keys() == spiking.keys()


@pytest.mark.parametrize('name', NECKS)
def test_what_does_not_fit_is_refused(name):
    with pytest.raises(ValueError, match=r'in_channels=\[8, 16\].*out_indices'):
        build(name, in_channels=[8, 16])
    with pytest.raises(ValueError, match=r'in_channels=\[18\]'):
        build(name, in_channels=[18])
    with pytest.raises(ValueError, match='num_outs=3'):
        build(name, num_outs=3)
    with pytest.raises(ValueError, match=r'maps of \[8\] channels'):
        build(name)((torch.randn(2, 8, 4, 4),))


def test_the_spiking_one_keeps_samples_apart():
    neck = build('SpikeSimpleFeaturePyramid', time_steps=2).eval()
    assert isinstance(neck, SpikeSimpleFeaturePyramid)
    x = torch.randn(2, 2, 16, 4, 4).mul_(4)  # (T, N, C, H, W)
    together = neck((x.flatten(0, 1),))
    apart = neck((x[:, 1],))
    for out, alone in zip(together, apart, strict=True):
        torch.testing.assert_close(out.unflatten(0, (2, 2))[:, 1], alone)
