"""LS-SSA by torch operators, where a Triton kernel would run.

    python tools/analysis_tools/benchmark.py configs/det/lsformer_h-t_coco.py \\
        --device cuda --train --vs tests/reference/window_operators.py
"""

from torch import nn

from snndense.models.backbones.lsformer_attention import LSSSA
from snndense.models.backbones.lsformer_window import window_attention


def patch(model: nn.Module) -> None:
    """Keep every LS-SSA layer of ``model`` from the kernel."""
    for module in model.modules():
        if isinstance(module, LSSSA):
            module.attend = lambda q, k, v, scale, layer=module: window_attention(
                q,
                k,
                v,
                num_heads=layer.num_heads,
                window_size=layer.window_size,
                dilations=layer.dilations,
                scale=scale,
                backend='torch',
            )
