"""What every registered backbone promises on a GPU: what it does on the CPU."""

from copy import deepcopy
from functools import partial

import pytest
import torch

from .tiny_backbones import all_taps, build, each_case, gradients, pictures

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='torch sees no CUDA device'
)


@each_case
def test_training_step_equals_that_on_the_cpu(case):
    # float64: a spike flips where the order of a sum matters, and here it hardly does
    on_cpu = build(case, out_indices=all_taps(case), drop_path_rate=0.0).double()
    on_gpu = deepcopy(on_cpu).cuda()
    x = pictures().double().requires_grad_()
    x_gpu = x.detach().cuda().requires_grad_()
    expected = on_cpu(x)
    outputs = on_gpu(x_gpu)
    for y, other in zip(outputs, expected, strict=True):
        torch.testing.assert_close(y.cpu(), other, rtol=1e-9, atol=1e-9)
    seeds = [torch.randn_like(y) for y in expected]
    torch.autograd.backward(expected, seeds)
    torch.autograd.backward(outputs, [seed.cuda() for seed in seeds])
    close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-9)
    close(x_gpu.grad.cpu(), x.grad)
    on_the_gpu = gradients(on_gpu)
    for name, grad in gradients(on_cpu).items():
        close(on_the_gpu[name].cpu(), grad, msg=name)


@each_case
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_mixed_precision(case, dtype):
    model = build(case, out_indices=all_taps(case)).cuda()
    with torch.autocast('cuda', dtype):
        outputs = model(pictures().cuda())
        loss = sum(y.float().square().mean() for y in outputs)
    loss.backward()
    assert all(y.isfinite().all() for y in outputs)
    for name, grad in gradients(model).items():
        assert grad is not None and grad.isfinite().all(), name


@each_case
def test_evaluation_in_channels_last(case):
    model = build(case).cuda().eval()
    x = pictures().cuda()
    with torch.no_grad():
        expected = model(x)
        outputs = model(x.to(memory_format=torch.channels_last))
    for y, other in zip(outputs, expected, strict=True):
        assert y.shape == other.shape and y.isfinite().all()
