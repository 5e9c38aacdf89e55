"""The Triton kernel of LS-SSA: on a GPU, or in Triton's interpreter on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from snndense.models.backbones.lsformer_window import window_attention

pytest.importorskip('triton')

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'
on_device = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(),
    reason='torch sees no CUDA device, and TRITON_INTERPRET is not 1',
)


def with_gradients(inputs: list[Tensor], **settings) -> list[Tensor]:
    out = window_attention(*inputs, **settings)
    generator = torch.Generator().manual_seed(1)
    seed = torch.randint(0, 3, out.shape, generator=generator).to(out)
    return [out, *torch.autograd.grad(out, inputs, seed)]


def compare(inputs: list[Tensor], atol: float = 0.0, **settings) -> None:
    inputs = [x.to(DEVICE).detach().requires_grad_() for x in inputs]
    expected = with_gradients(inputs, backend='torch', **settings)
    found = with_gradients(inputs, backend='triton', **settings)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


@on_device
@pytest.mark.parametrize(
    ('size', 'window_size', 'dilations', 'width'),
    [
        ((5, 7), 3, (1, 2), 4),
        ((1, 1), 3, (1, 2, 3, 4), 8),
        ((6, 3), 5, (1, 3), 12),  # 12 channels per head: no power of two
    ],
)
def test_equals_operators(size, window_size, dilations, width):
    torch.manual_seed(0)
    inputs = [torch.randn(2, 4 * width, *size).double() for _ in range(3)]
    settings = dict(num_heads=4, window_size=window_size, dilations=dilations)
    compare(inputs, atol=1e-12, scale=8 / 9, **settings)


@on_device
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_is_exact_for_spikes_of_any_layout(dtype):
    torch.manual_seed(0)
    shape = (1, 96, 5, 4)
    q, k, v = torch.randint(0, 5, shape).div(4).to(dtype).chunk(3, 1)
    k = k.contiguous(memory_format=torch.channels_last)
    v = v[..., :1].expand(1, 32, 5, 4)
    compare([q, k, v], num_heads=2, window_size=3, dilations=(1, 2), scale=0.5)


@on_device
def test_gradients_of_gradients():
    torch.manual_seed(0)
    inputs = [
        torch.randn(1, 4, 2, 2, dtype=torch.float64, device=DEVICE).requires_grad_()
        for _ in range(3)
    ]

    def gradient_norm(backend: str) -> list[Tensor]:
        settings = dict(num_heads=2, window_size=3, dilations=(1,), backend=backend)
        out = window_attention(*inputs, **settings)
        grads = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), inputs)

    for ours, theirs in zip(
        gradient_norm('triton'), gradient_norm('torch'), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)


@pytest.mark.skipif(INTERPRETED, reason='runs in the interpreter already')
def test_in_the_interpreter():
    command = (sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', __file__)
    environment = dict(os.environ, TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES='-1')
    result = subprocess.run(
        command,
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and '8 passed' in result.stdout, result.stdout


def test_unknown_backend():
    x = torch.ones(1, 2, 1, 1)
    with pytest.raises(ValueError, match="'cuda'"):
        window_attention(
            x, x, x, num_heads=2, window_size=3, dilations=(1,), backend='cuda'
        )
