"""The attention of Meta-SDT in the order it is written in: ``(q k^T) v``.

It builds the N x N map that the package never does. Tests compare with it, and
``tools/analysis_tools/benchmark.py CONFIG --vs tests/reference/quadratic_attention.py``
measures against it.
"""

from functools import partial

from torch import Tensor, nn

from snndense.models.backbones.meta_sdt_attention import SpikeDrivenSelfAttention


def quadratic_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """``(q k^T) v * scale`` for ``(B, heads, d, N)`` tensors, as linear_attention."""
    attention = q.mT @ k  # (B, heads, N, N)
    return (attention @ v.mT).mT * scale  # (B, heads, e, N)


def patch(model: nn.Module) -> None:
    """Let every attention layer of ``model`` build its N x N map."""
    for module in model.modules():
        if isinstance(module, SpikeDrivenSelfAttention):
            module.attend = partial(quadratic_attention, scale=module.scale)
