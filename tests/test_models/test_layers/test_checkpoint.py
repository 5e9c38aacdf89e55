"""Gradient checkpointing that leaves running statistics alone."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from snndense.models.layers import checkpoint_module


@pytest.mark.parametrize('momentum', (0.1, None))
def test_one_step_counts_once(momentum):
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.Dropout(0.5)
    )
    saving = deepcopy(plain)
    for _ in range(3):
        x = torch.randn(2, 3, 6, 6, requires_grad=True)
        again = x.detach().clone().requires_grad_(True)
        torch.manual_seed(1)
        expected = plain(x)
        torch.manual_seed(1)
        out = checkpoint_module(saving, again)
        assert torch.equal(out, expected)
        expected.square().sum().backward()
        out.square().sum().backward()
        assert torch.equal(again.grad, x.grad)
    assert saving[1].momentum == momentum
    assert saving[1].num_batches_tracked == 3
    for mine, theirs in zip(saving.buffers(), plain.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_keeps_only_its_input():
    layers = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()) for _ in range(5)]
    module = nn.Sequential(*layers)
    x = torch.randn(1, 4, 16, 16, requires_grad=True)
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda y: kept.append(y.numel()) or y, lambda y: y
    )
    with hooks:
        checkpoint_module(module, x)
    assert sum(kept) <= x.numel()


@pytest.mark.parametrize('reason', ('evaluation', 'no gradient', 'not asked for'))
def test_runs_as_it_is(reason):
    calls = []
    module = nn.Linear(2, 2)
    module.register_forward_pre_hook(lambda *args: calls.append(args))
    module.train(reason != 'evaluation')
    x = torch.randn(1, 2, requires_grad=True)
    with torch.set_grad_enabled(reason != 'no gradient'):
        out = checkpoint_module(module, x, with_cp=reason != 'not asked for')
    assert torch.equal(out, module(x))
    if out.requires_grad:
        calls.clear()
        out.sum().backward()
        assert not calls  # nothing is recomputed
