"""A model in evaluation, differentiable in its input, and as it was afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from spikingjelly.activation_based.base import MemoryModule
from torch import Tensor, nn


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluate a model. Afterwards all modes are what they were, and so are states.

    ``model.train()`` would wake up norms that were frozen one by one.
    """
    modules = list(model.modules())
    training = [module.training for module in modules]
    stateful = [m for m in modules if isinstance(m, MemoryModule)]
    states = [dict(m._memories) for m in stateful]
    try:
        for module in modules:
            # not module.eval(): backbones override it
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, training, strict=True):
            module.training = mode
        for module, state in zip(stateful, states, strict=True):
            module._memories.update(state)


@contextmanager
def without_attention_fast_path() -> Iterator[None]:
    """Run ``nn.MultiheadAttention`` and its encoder layers operator by operator.

    In evaluation they would be one opaque operator each.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def differentiable_evaluation(model: nn.Module) -> Iterator[None]:
    """The same for a model whose input needs a gradient and whose parameters do not.

    Norms, dropout and stochastic depth are in evaluation mode. So are the neurons of
    this package, which are differentiable there and whose bounds may differ in
    training; those of spikingjelly are in training mode, since older ones have no
    gradient in evaluation. Gradient checkpointing is off, because it hides layers
    from ``torch.autograd.grad``.
    """
    modules = list(model.modules())
    checkpointed = [m for m in modules if getattr(m, 'with_cp', False) is True]
    learned = [p for p in model.parameters() if p.requires_grad]
    with evaluation(model):
        try:
            for module in modules:
                module.training = isinstance(module, MemoryModule)
            for module in checkpointed:
                module.with_cp = False
            for parameter in learned:
                parameter.requires_grad = False
            yield
        finally:
            for module in checkpointed:
                module.with_cp = True
            for parameter in learned:
                parameter.requires_grad = True


def reset_states(model: nn.Module) -> None:
    """Let stateful modules, such as spikingjelly's neurons, start from rest."""
    for module in model.modules():
        if isinstance(module, MemoryModule):
            module.reset()


def preprocess(model: nn.Module, batch: dict | Tensor) -> tuple[Tensor, list | None]:
    """What the backbone of a model gets, on its device, and the data samples.

    Args:
        model (nn.Module): A whole model with a data preprocessor, or a backbone.
        batch (dict | Tensor): What a data loader yields; for a backbone its input,
            which has no data samples.
    """
    if isinstance(batch, Tensor):
        device = next(model.parameters(), torch.empty(0)).device
        return batch.to(device), None
    data = model.data_preprocessor(batch, False)
    return data['inputs'], data['data_samples']
