"""Spikes are whole numbers: autograd may keep them in one byte instead of four."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .neurons import SpikingNeuron

#: Beyond, half precision could take a count for its neighbour.
MOST_SPIKES = 64

_kept_whole: ContextVar[bool] = ContextVar('_kept_whole', default=False)


@contextmanager
def spikes_kept_whole() -> Iterator[None]:
    """Switch :func:`spikes_in_bytes` off, where spikes are not kept but recomputed."""
    token = _kept_whole.set(True)
    try:
        yield
    finally:
        _kept_whole.reset(token)


def spikes_in_bytes(spikes: Tensor, neuron: SpikingNeuron) -> AbstractContextManager:
    """What autograd saves of ``spikes`` inside this context takes a byte per element.

    A convolution keeps its input for the gradient of its weights. If that is the
    output of a neuron, ``counts / norm`` with whole counts, the counts say as much.
    They are turned back when the gradient is computed, to the same values.

    Args:
        spikes (Tensor): Output of ``neuron``, which nobody else keeps.
        neuron (SpikingNeuron): The neuron that emitted it.
    """
    if (
        _kept_whole.get()
        or not torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or max(neuron.levels, getattr(neuron, 'train_levels', 1)) > MOST_SPIKES
    ):
        return nullcontext()
    storage, dtype, norm = (
        spikes.untyped_storage().data_ptr(),
        spikes.dtype,
        neuron.norm,
    )

    def pack(x: Tensor) -> Tensor | tuple[Tensor]:
        if x.untyped_storage().data_ptr() != storage:
            return x
        return (((x * norm).round_() if norm != 1 else x).to(torch.uint8),)

    def unpack(packed: Tensor | tuple[Tensor]) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        counts = packed[0].to(dtype)
        return counts.div_(norm) if norm != 1 else counts

    return saved_tensors_hooks(pack, unpack)
