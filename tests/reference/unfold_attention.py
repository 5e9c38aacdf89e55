"""The window attention of LSFormer, written as its definition and with ``unfold``.

The loop is the definition; ``unfold`` copies every window, ``window_size ** 2`` times
the keys and the values. Tests compare with both, and
``tools/analysis_tools/benchmark.py CONFIG --vs tests/reference/unfold_attention.py``
measures against the second.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snndense.models.backbones.lsformer_attention import LSSSA


def loop_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    num_heads: int,
    window_size: int,
    dilations: tuple[int, ...],
    scale: float = 1.0,
) -> Tensor:
    """As window_attention, position by position."""
    batch, channels, height, width = q.shape
    reach = range(-(window_size // 2), window_size // 2 + 1)
    q, k, v = (x.unflatten(1, (num_heads, -1)) for x in (q, k, v))
    out = []
    for b in range(batch):
        for head in range(num_heads):
            rate = dilations[head * len(dilations) // num_heads]
            for y in range(height):
                for x in range(width):
                    total = torch.zeros_like(q[b, head, :, y, x])
                    for dy in reach:
                        for dx in reach:
                            i, j = y + rate * dy, x + rate * dx
                            if 0 <= i < height and 0 <= j < width:
                                logit = q[b, head, :, y, x] @ k[b, head, :, i, j]
                                total = total + scale * logit * v[b, head, :, i, j]
                    out.append(total)
    out = torch.stack(out).view(batch, num_heads, height, width, -1)
    return out.movedim(-1, 2).reshape(batch, channels, height, width)


def unfold_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    num_heads: int,
    window_size: int,
    dilations: tuple[int, ...],
    scale: float = 1.0,
) -> Tensor:
    """As window_attention, from copies of all windows."""
    groups = len(dilations)
    heads = num_heads // groups
    outputs = []
    for rate, *parts in zip(
        dilations, *(x.chunk(groups, 1) for x in (q, k, v)), strict=True
    ):
        windows = [
            F.unfold(x, window_size, rate, rate * (window_size // 2)).unflatten(
                1, (heads, -1, window_size**2)
            )
            for x in parts[1:]
        ]  # (B, h, d, w * w, H * W)
        queries = parts[0].flatten(2).unflatten(1, (heads, -1))  # (B, h, d, H * W)
        logits = torch.einsum('bhdn,bhdwn->bhwn', queries, windows[0])
        outputs.append(
            torch.einsum('bhwn,bhdwn->bhdn', logits, windows[1]).flatten(1, 2)
        )
    return scale * torch.cat(outputs, 1).unflatten(-1, q.shape[2:])


def patch(model: nn.Module) -> None:
    """Let every LS-SSA layer of ``model`` unfold its windows."""
    for module in model.modules():
        if isinstance(module, LSSSA):
            module.attend = lambda q, k, v, scale, layer=module: unfold_attention(
                q,
                k,
                v,
                num_heads=layer.num_heads,
                window_size=layer.window_size,
                dilations=layer.dilations,
                scale=scale,
            )
