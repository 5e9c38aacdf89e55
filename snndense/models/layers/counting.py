"""What layers tell an operation counter about themselves.

A counter sees the operators that a layer calls. A layer whose arithmetic cannot be
recognised in them, or that inference computes in another form, counts for itself: it
defines ``count_macs(*operands)`` and ``count_ops(*counts)``, and names the method that
they stand for in ``counted_method`` (without it: ``forward``). What that method calls
is then not counted.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Name of the operator of :func:`count_merged_conv`.
MERGED = 'merged conv'


class SynapticOps(NamedTuple):
    """Additions that spikes cause in one operator.

    Attributes:
        sops (int): Additions of weights, of all samples and steps together.
        mean_count (float): Mean spikes per element and step of the operand that causes
            them.
        macs (int): Multiply-accumulates if that operand were dense.
        weight_bytes (int): Bytes of weights that they read; 0 without weights.
    """

    sops: int
    mean_count: float
    macs: int
    weight_bytes: int = 0


def count_conv_ops(
    counts: Tensor,
    weight_shape: tuple[int, ...],
    *,
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
    transposed: bool = False,
    output_padding: tuple[int, ...] = (0, 0),
) -> int:
    """Additions of a convolution of spikes: the sum of its output with weights of 1.

    Exact at borders, and for any stride, dilation and grouping. Convolution is linear,
    so samples and the input channels of a group are added up first.

    Args:
        counts (Tensor): Spikes per element, integers, ``(B, C, H, W)`` (or one or three
            spatial axes).
        weight_shape (tuple[int]): ``(C_out, C / groups, kh, kw)``; transposed
            ``(C, C_out / groups, kh, kw)``.
        stride, padding, dilation, groups, transposed, output_padding: As in
            ``torch.convolution``.
    """
    per_group = counts.unflatten(1, (groups, -1)).sum((0, 2), dtype=torch.float64)
    ones = counts.new_ones((groups, 1, *weight_shape[2:]), dtype=torch.float64)
    fan_out = weight_shape[1] if transposed else weight_shape[0] // groups
    replayed = torch.convolution(
        per_group[None],
        ones,
        None,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
    )
    return round(replayed.sum().item()) * fan_out


def count_pool_ops(counts: Tensor, *, axes: int = 2, **window) -> int:
    """Additions of a pooling that sums spikes.

    Args:
        counts (Tensor): Spikes per element, ``(..., H, W)`` or ``(..., D, H, W)``.
        axes (int): How many of them are pooled, 2 or 3. Defaults to 2.
        **window: As of ``avg_pool2d``.
    """
    pool = F.avg_pool2d if axes == 2 else F.avg_pool3d
    window['divisor_override'] = 1
    return round(pool(_summed_maps(counts, axes), **window).sum().item())


def count_adaptive_pool_ops(counts: Tensor, output_size: tuple[int, ...]) -> int:
    """The same of an adaptive pooling, whose windows may overlap.

    Args:
        counts (Tensor): Spikes per element, ``(..., H, W)`` or ``(..., D, H, W)``.
        output_size (tuple[int]): Windows along every axis that is pooled.
    """
    total = _summed_maps(counts, len(output_size))[0, 0]
    for axis, windows in enumerate(output_size):
        size = total.shape[axis]
        # a window reaches from floor(i * size / windows) to ceil((i + 1) * ...)
        uses = torch.zeros(size, dtype=total.dtype, device=total.device)
        for i in range(windows):
            uses[i * size // windows : -(-(i + 1) * size // windows)] += 1
        total = total * uses.view(-1, *[1] * (total.dim() - 1 - axis))
    return round(total.sum().item())


def _summed_maps(counts: Tensor, axes: int) -> Tensor:
    """Maps over all samples and channels, ``(..., H, W) -> (1, 1, H, W)``."""
    maps = counts.reshape(-1, *counts.shape[counts.dim() - axes :])
    return maps.sum(0, dtype=torch.float64)[None, None]


def count_merged_conv(
    counts: Tensor, out_channels: int, kernel_size: int, element_size: int
) -> dict[str, SynapticOps]:
    """Operations of the one convolution that a chain of linear layers equals.

    Inference merges them; then every weight meets a spike.

    Args:
        counts (Tensor): Spikes per element that the chain reads, ``(B, C, H, W)``.
        out_channels (int): Channels that it gives.
        kernel_size (int): Side of the merged kernel, padded by half of it.
        element_size (int): Bytes of a weight.
    """
    shape = (out_channels, counts.shape[1], kernel_size, kernel_size)
    sops = count_conv_ops(counts, shape, padding=(kernel_size // 2,) * 2)
    mean = counts.sum(dtype=torch.float64).item() / max(counts.numel(), 1)
    macs = counts.numel() * out_channels * kernel_size**2
    return {MERGED: SynapticOps(sops, mean, macs, sops * element_size)}
