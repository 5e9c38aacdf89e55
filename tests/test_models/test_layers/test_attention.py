"""Attention in linear time against the N x N map."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from snndense.models.layers import linear_attention

REFERENCE = Path(__file__).parents[2] / 'reference' / 'quadratic_attention.py'
quadratic_attention = runpy.run_path(str(REFERENCE))['quadratic_attention']


def spikes(*shape: int, levels: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, levels + 1, shape, generator=generator) / levels


@pytest.mark.parametrize('scale', (0.125, 2 * 8**-0.5))
def test_bit_identical_on_spikes(scale):
    # sums of multiples of 1/64 up to 8 * 700: exact in float32 in either order
    q, k = spikes(2, 3, 8, 700, seed=1), spikes(2, 3, 8, 700, seed=2)
    v = spikes(2, 3, 32, 700, seed=3)
    out = linear_attention(q, k, v, scale)
    assert out.shape == v.shape and out.dtype == torch.float32
    assert torch.equal(out, quadratic_attention(q, k, v, scale))


def test_gradients():
    shapes = ((2, 2, 4, 30), (2, 2, 4, 30), (2, 2, 6, 30))
    mine, theirs = (
        [
            spikes(*shape, seed=i).double().requires_grad_(True)
            for i, shape in enumerate(shapes)
        ]
        for _ in range(2)
    )
    weights = torch.randn(2, 2, 6, 30, dtype=torch.float64)
    linear_attention(*mine, 0.3).backward(weights)
    quadratic_attention(*theirs, 0.3).backward(weights)
    for x, y in zip(mine, theirs, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


def test_stays_exact_under_autocast():
    # k^T v reaches 700, which bfloat16 cannot hold to a sixteenth
    q, k, v = (spikes(1, 1, 4, 700, seed=i) for i in range(3))
    expected = linear_attention(q, k, v, 0.5)
    with torch.autocast('cpu', torch.bfloat16):
        out = linear_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), 0.5)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)


def test_no_map_of_all_pairs_in_training_either():
    q, k, v = (spikes(1, 2, 4, 500, seed=i).requires_grad_(True) for i in range(3))
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.numel()) or x, lambda x: x
    )
    with hooks:
        linear_attention(q, k, v, 1.0)
    assert kept and max(kept) <= q.numel()
