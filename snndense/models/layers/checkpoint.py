"""Gradient checkpointing that leaves batch-norm statistics alone."""

from contextlib import contextmanager, nullcontext
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def _statistics_untouched(module: nn.Module):
    """The recomputation normalises as the first run did but updates nothing."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    saved = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, saved, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)


def _contexts(module: nn.Module) -> tuple:
    return nullcontext(), _statistics_untouched(module)


def checkpoint_module(module: nn.Module, x: Tensor) -> Tensor:
    """Run ``module(x)`` and recompute it in the backward pass.

    Stock checkpointing runs every batch norm twice and so moves its running
    statistics twice per step; here the second run does not touch them.
    """
    contexts = partial(_contexts, module)
    return checkpoint(module, x, use_reentrant=False, context_fn=contexts)
