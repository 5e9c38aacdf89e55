"""Gradient checkpointing that leaves running statistics alone."""

from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .firing_rate import FiringRate
from .spike_storage import spikes_kept_whole


@contextmanager
def _note_rates(rates: Sequence[FiringRate], noted: list[Tensor]):
    with spikes_kept_whole():  # nothing is kept but the input of the module
        yield
    noted.extend(rate.value.clone() for rate in rates)


@contextmanager
def _statistics_untouched(
    module: nn.Module, rates: Sequence[FiringRate], noted: list[Tensor]
):
    """The recomputation computes as the first run did but updates nothing."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    saved = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    current = [(rate.value.clone(), rate.momentum) for rate in rates]
    for norm in norms:
        norm.momentum = 0.0
    for rate, value in zip(rates, noted, strict=True):
        rate.value.copy_(value)
        rate.momentum = 0.0
    try:
        with spikes_kept_whole():
            yield
    finally:
        for norm, (momentum, batches) in zip(norms, saved, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)
        for rate, (value, momentum) in zip(rates, current, strict=True):
            rate.value.copy_(value)
            rate.momentum = momentum


def _contexts(module: nn.Module) -> tuple:
    rates = [m for m in module.modules() if isinstance(m, FiringRate)]
    noted: list[Tensor] = []
    return _note_rates(rates, noted), _statistics_untouched(module, rates, noted)


def checkpoint_module(module: nn.Module, x: Tensor, with_cp: bool = True) -> Tensor:
    """Run ``module(x)`` and, while it trains, recompute it in the backward pass.

    Stock checkpointing runs every batch norm twice and so moves its running
    statistics twice per step; here the second run does not touch them. Running
    firing rates, which the outputs depend on, are those of the first run.

    Args:
        module (nn.Module): In evaluation it runs as it is.
        x (Tensor): Its input.
        with_cp (bool): Whether to recompute at all. Defaults to True.
    """
    if not (with_cp and module.training and torch.is_grad_enabled()):
        return module(x)
    contexts = partial(_contexts, module)
    return checkpoint(module, x, use_reentrant=False, context_fn=contexts)
