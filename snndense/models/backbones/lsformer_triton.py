"""The window attention of LSFormer as one Triton kernel, for GPUs."""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE_ELEMENTS = 4096  # of a head's channels times positions, in float32


@triton.jit
def _window_kernel(
    q,
    k,
    v,
    out,
    q_batch,  # strides in elements, by axis
    q_channel,
    q_row,
    q_column,
    k_batch,
    k_channel,
    k_row,
    k_column,
    v_batch,
    v_channel,
    v_row,
    v_column,
    out_batch,
    out_channel,
    out_row,
    out_column,
    height,
    width,
    dilation,
    first_head,
    scale,
    WINDOW: tl.constexpr,
    CHANNELS: tl.constexpr,  # of a head
    CHANNEL_TILE: tl.constexpr,
    POSITION_TILE: tl.constexpr,
):
    position = tl.program_id(0) * POSITION_TILE + tl.arange(0, POSITION_TILE)
    head = first_head + tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    y, x = position // width, position % width
    is_inside = position < height * width
    channel = tl.arange(0, CHANNEL_TILE)
    is_channel = channel < CHANNELS
    channel = (head * CHANNELS + channel).to(tl.int64)
    dtype = out.dtype.element_ty

    rows = batch * q_batch + channel[:, None] * q_channel
    columns = y * q_row + x * q_column
    mask = is_channel[:, None] & is_inside[None, :]
    queries = tl.load(q + rows + columns[None, :], mask, other=0.0).to(dtype)
    k_rows = batch * k_batch + channel[:, None] * k_channel
    v_rows = batch * v_batch + channel[:, None] * v_channel
    total = tl.zeros((CHANNEL_TILE, POSITION_TILE), dtype)
    for offset in range(WINDOW * WINDOW):
        there_y = y + (offset // WINDOW - WINDOW // 2) * dilation
        there_x = x + (offset % WINDOW - WINDOW // 2) * dilation
        is_there = (there_y >= 0) & (there_y < height)
        is_there &= (there_x >= 0) & (there_x < width) & is_inside
        there = is_channel[:, None] & is_there[None, :]
        columns = there_y * k_row + there_x * k_column
        keys = tl.load(k + k_rows + columns[None, :], there, other=0.0).to(dtype)
        logits = tl.sum(queries * keys, axis=0)
        columns = there_y * v_row + there_x * v_column
        values = tl.load(v + v_rows + columns[None, :], there, other=0.0).to(dtype)
        total += logits[None, :] * values
    rows = batch * out_batch + channel[:, None] * out_channel
    columns = y * out_row + x * out_column
    tl.store(out + rows + columns[None, :], total * scale, mask)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    window_size: int,
    dilations: tuple[int, ...],
    scale: float,
) -> Tensor:
    """The sum of :func:`~.lsformer_window.window_attention`, without a gradient.

    Every program reads the queries of some positions and one head once and keeps
    their sums in registers; keys and values come from the cache but for the first
    time. Sums are in the type of the result, as in the loop over shifted maps.

    Shape: three times ``(B, C, H, W)`` of any layout -> ``(B, C, H, W)``.
    """
    batch, channels, height, width = q.shape
    dtype = torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
    out = torch.empty(q.shape, dtype=dtype, device=q.device)
    if out.numel() == 0:
        return out
    heads = num_heads // len(dilations)
    head_channels = channels // num_heads
    channel_tile = triton.next_power_of_2(head_channels)
    tile = TILE_ELEMENTS * 4 // dtype.itemsize
    position_tile = min(256, max(16, tile // channel_tile))
    # a kernel's arguments are float32
    is_double = dtype == torch.float64
    grid = (triton.cdiv(height * width, position_tile), heads, batch)
    with torch.cuda.device_of(q):
        for group, dilation in enumerate(dilations):
            _window_kernel[grid](
                *(q, k, v, out),
                *(stride for x in (q, k, v, out) for stride in x.stride()),
                height,
                width,
                dilation,
                group * heads,
                1.0 if is_double else float(scale),
                WINDOW=window_size,
                CHANNELS=head_channels,
                CHANNEL_TILE=channel_tile,
                POSITION_TILE=position_tile,
            )
    return out.mul_(scale) if is_double else out
