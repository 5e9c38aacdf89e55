"""Attention over a local dilated window, lean in memory and linear in the tokens."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import unfold

from ..layers import is_exporting, without_autocast

# Products of one block of rows: small enough for a CPU's cache, large enough for a
# GPU not to wait for kernel launches.
CPU_BLOCK_ELEMENTS = 2**17
GPU_BLOCK_ELEMENTS = 2**22


def check_heads(num_heads: int, dim: int) -> None:
    """Raise ValueError unless the heads divide the channels evenly."""
    if not isinstance(num_heads, int) or num_heads < 1 or dim % num_heads:
        raise ValueError(
            f'expected num_heads to divide the channels, but got {dim=}, {num_heads=}'
        )


def check_window(window_size: int) -> None:
    """Raise ValueError unless the window has a centre."""
    if not isinstance(window_size, int) or window_size < 1 or window_size % 2 == 0:
        raise ValueError(f'expected an odd window_size >= 1, but got {window_size=}')


def check_dilations(dilations: tuple[int, ...], count: int, name: str) -> None:
    """Raise ValueError unless the rates are valid and divide ``count`` evenly."""
    rates = tuple(dilations)
    if not rates or any(not isinstance(rate, int) or rate < 1 for rate in rates):
        raise ValueError(f'expected dilations of integers >= 1, but got {dilations=}')
    if count % len(rates):
        raise ValueError(
            f'expected {name} to be a multiple of the number of dilations, but got '
            f'{name}={count}, {dilations=}'
        )


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    num_heads: int,
    window_size: int,
    dilations: tuple[int, ...],
    scale: float = 1.0,
) -> Tensor:
    """``scale * sum over the window of <q(i), k(j)> v(j)``, per head, no softmax.

    The window of a token are ``window_size ** 2`` positions, ``dilations[g]`` tokens
    apart for the g-th group of heads; those outside the image contribute nothing.
    Any height and width. For the backward pass only q, k and v are kept, and
    nothing of the size of the window exists at any time. Products are summed in
    float32 at least, out of reach of autocast: exact for spikes.

    Args:
        q (Tensor): Queries, ``(B, C, H, W)``, heads outermost in C.
        k (Tensor): Keys, ``(B, C, H, W)``.
        v (Tensor): Values, ``(B, C, H, W)``.
        num_heads (int): Heads; C is a multiple.
        window_size (int): Side of the window, odd.
        dilations (tuple[int]): Rates of equal, consecutive groups of heads.
        scale (float): Factor on the result. Defaults to 1.0.

    Returns:
        Tensor: ``(B, C, H, W)``, at least float32.

    Raises:
        ValueError: For an even window, dilations below 1, or heads that the channels
            or the dilations do not allow.
    """
    check_heads(num_heads, q.shape[1])
    check_window(window_size)
    check_dilations(dilations, num_heads, 'num_heads')
    return _WindowAttention.apply(
        q, k, v, num_heads, window_size, tuple(dilations), scale
    )


def count_window(height: int, width: int, window_size: int, dilation: int) -> Tensor:
    """In-image positions of every token's window, ``(H, W)``, itself included."""
    sides = []
    for size in (height, width):
        count = torch.zeros(size)
        for shift in _shifts(window_size, dilation, size):
            count[max(0, -shift) : size - max(0, shift)] += 1
        sides.append(count)
    return torch.outer(*sides)


class _WindowAttention(torch.autograd.Function):
    """The gradients are the same sum with the roles of the operands exchanged.

    ``O(i) = sum_j <q(i), k(j)> v(j)`` is linear in each operand and j is in the
    window of i exactly if i is in that of j. With ``g = dL/dO``::

        dL/dq(i) = sum_j <g(i), v(j)> k(j)
        dL/dk(j) = sum_i <v(j), g(i)> q(i)
        dL/dv(j) = sum_i <k(j), q(i)> g(i)
    """

    @staticmethod
    def forward(
        ctx,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        num_heads: int,
        window_size: int,
        dilations: tuple[int, ...],
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.options = (num_heads, window_size, dilations, scale)
        return _attend(q, k, v, *ctx.options)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        q, k, v = ctx.saved_tensors
        operands = ((grad, v, k), (v, grad, q), (k, q, grad))
        grads = [
            _attend(*triple, *ctx.options).to(x.dtype) if needed else None
            for triple, x, needed in zip(
                operands, (q, k, v), ctx.needs_input_grad[:3], strict=True
            )
        ]
        return *grads, None, None, None, None


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    window_size: int,
    dilations: tuple[int, ...],
    scale: float,
) -> Tensor:
    groups = len(dilations)
    shape = (groups, num_heads // groups, -1)
    q, k, v = (x.unflatten(1, shape) for x in (q, k, v))  # (B, G, h/G, C/h, H, W)
    dtype = torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
    with without_autocast(q):
        if is_exporting():
            parts = [
                _attend_group(*(x[:, i].to(dtype) for x in (q, k, v)), window_size, d)
                for i, d in enumerate(dilations)
            ]
            return torch.stack(parts, 1).mul(scale).flatten(1, 3)
        out = q.new_zeros(q.shape, dtype=dtype)
        for group, dilation in enumerate(dilations):
            parts = [x[:, group] for x in (q, k, v, out)]
            for top, bottom in _row_blocks(parts[0]):
                _add_rows(*parts, top, bottom, window_size, dilation)
        return out.mul_(scale).flatten(1, 3)


def _attend_group(
    q: Tensor, k: Tensor, v: Tensor, window_size: int, dilation: int
) -> Tensor:
    """One group of heads, all ``(B, h, d, H, W)``, with whole windows in memory.

    For exporters: few operators, and no writes into parts of a tensor.
    """
    batch, size = q.shape[:2], q.shape[-2:]
    padding = dilation * (window_size // 2)
    k, v = (
        unfold(x.flatten(0, 1), window_size, dilation=dilation, padding=padding)
        .unflatten(1, (-1, window_size**2))
        .unflatten(0, batch)
        for x in (k, v)
    )  # (B, h, d, w * w, H * W)
    logits = (q.flatten(3).unsqueeze(3) * k).sum(2, keepdim=True)
    return (logits * v).sum(3).unflatten(-1, size)


def _row_blocks(x: Tensor) -> Iterator[tuple[int, int]]:
    height = x.shape[-2]
    block = GPU_BLOCK_ELEMENTS if x.is_cuda else CPU_BLOCK_ELEMENTS
    rows = height  # a compiler fuses the products, there is nothing to bound
    if not torch.compiler.is_compiling():
        rows = max(1, block * height // max(1, x.numel()))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _shifts(window_size: int, dilation: int, size: int) -> list[int]:
    """Distances along one axis from a token to its window, those that may exist."""
    reach = window_size // 2
    shifts = (dilation * offset for offset in range(-reach, reach + 1))
    return [shift for shift in shifts if abs(shift) < size]


def _add_rows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    top: int,
    bottom: int,
    window_size: int,
    dilation: int,
) -> None:
    """Add to rows ``top`` to ``bottom`` of ``out``, all ``(B, h, d, H, W)``."""
    height, width = q.shape[-2:]
    rows = q[..., top:bottom, :].to(out.dtype)
    for dy in _shifts(window_size, dilation, height):
        y0, y1 = max(top, -dy), min(bottom, height - dy)
        if y0 >= y1:
            continue
        for dx in _shifts(window_size, dilation, width):
            x0, x1 = max(0, -dx), min(width, width - dx)
            there = (..., slice(y0 + dy, y1 + dy), slice(x0 + dx, x1 + dx))
            product = rows[..., y0 - top : y1 - top, x0:x1] * k[there]
            logits = product.sum(2, keepdim=True)
            out[..., y0:y1, x0:x1].addcmul_(logits, v[there])
