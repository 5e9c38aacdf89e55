"""Integers as binary spikes: every step takes D virtual steps.

A neuron that emits a count n at one step emits n spikes at the first n of D virtual
steps instead. Virtual steps are the outermost part of the folded axis, (D*T*N, ...),
so that for whatever lies between two neurons they are steps like any other. What a
layer receives at one step is the mean of what it receives at the virtual ones: linear
layers and batch norms in evaluation commute with it, biases included, for the mean of
D equal biases is the bias. Products of spikes with spikes do not; their second operand
is accumulated first, see :func:`hold`.
"""

import torch
from torch import Tensor


def gather_steps(x: Tensor, virtual_steps: int) -> Tensor:
    """What arrives at every step: ``(D*T*N, ...) -> (T*N, ...)``, the mean over D.

    Raises:
        ValueError: If the first axis is not a multiple of ``virtual_steps``.
    """
    if virtual_steps == 1:
        return x
    if x.shape[0] % virtual_steps:
        raise ValueError(
            f'expected a first axis of virtual steps * time steps * batch size, but '
            f'{x.shape[0]} is not a multiple of {virtual_steps=}. Run the whole model '
            'with to_spike_driven, not a part of it'
        )
    return x.unflatten(0, (virtual_steps, -1)).mean(0)


def hold(x: Tensor, virtual_steps: int) -> Tensor:
    """Accumulate over the virtual steps and hold the result at each of them.

    For the operand of a product whose other operand are spikes too (keys and values of
    an attention), and for membranes in front of a maximum.

    Shape: ``(D*T*N, ...) -> (D*T*N, ...)``.
    """
    if virtual_steps == 1:
        return x
    held = gather_steps(x, virtual_steps)
    return held.repeat(virtual_steps, *[1] * (x.dim() - 1))


def hold_unless_spikes(x: Tensor, virtual_steps: int) -> Tensor:
    """:func:`hold` sums of spikes in front of a maximum, and leave spikes alone.

    The spikes of one neuron fill the virtual steps from the first on; of such codes the
    maximum per virtual step is the code of the maximum. Of their sums it is not.
    """
    if virtual_steps == 1 or bool(((x == 0) | (x == x.amax())).all()):
        return x
    return hold(x, virtual_steps)


def spread_spikes(emitted: Tensor, norm: float, virtual_steps: int) -> Tensor:
    """Counts as binary spikes: ``(T*N, ...) -> (D*T*N, ...)``.

    A spike has the value D / norm, a constant that folds into the next weight; the mean
    over the virtual steps is the emitted value.

    Args:
        emitted (Tensor): Emitted values n / norm, with n <= D.
        norm (float): Their divisor.
        virtual_steps (int): D.
    """
    count = (emitted * norm).round()
    steps = torch.arange(virtual_steps, device=count.device, dtype=count.dtype)
    spikes = count > steps.view(-1, *[1] * count.dim())  # (D, T*N, ...)
    return (spikes.to(emitted.dtype) * (virtual_steps / norm)).flatten(0, 1)
