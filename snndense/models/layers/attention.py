"""Softmax-free attention in linear time."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .virtual_steps import hold


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Context in which operations on tensors like x keep their types."""
    if x.is_meta:  # which autocast does not know
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, scale: float, virtual_steps: int = 1
) -> Tensor:
    """``(q k^T) v * scale`` evaluated as ``q (k^T v) * scale``: O(N), no N x N map.

    Without a softmax the product is associative. Spikes are multiples of 1/D, so
    in float32 both orders are exact sums, bit-identical while ``N * d * D**3 <
    2**24``; the products are therefore kept out of autocast, because ``k^T v``
    does not fit the mantissa of a half-precision number.

    Args:
        q (Tensor): Queries, ``(B, heads, d, N)``, channels before tokens.
        k (Tensor): Keys, ``(B, heads, d, N)``.
        v (Tensor): Values, ``(B, heads, e, N)``.
        scale (float): Factor on the result.
        virtual_steps (int): D of spike-driven execution, see
            :mod:`snndense.models.layers.virtual_steps`: spikes of q meet keys and
            values that have accumulated, and the factor, which may be no power of
            two, what has accumulated of them. Defaults to 1.

    Returns:
        Tensor: ``(B, heads, e, N)``, at least float32.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    with without_autocast(q):
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
        k, v = hold(k, virtual_steps), hold(v, virtual_steps)
        context = v @ k.mT  # (B, heads, e, d)
        return hold(context @ q, virtual_steps).mul_(scale)  # (B, heads, e, N)
