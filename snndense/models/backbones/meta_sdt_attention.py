"""Spike-driven self-attention, MLP and layer scale of the Meta-SDT family.

Sources: SDT-V2 (https://arxiv.org/abs/2404.03663) with re-parameterised
convolutions, SDT-V3 (https://arxiv.org/abs/2411.16061) with 1x1 convolutions and
a widened value.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..layers import SpikeConv, build_neuron, build_norm, linear_attention
from ..layers.counting import MERGED, SynapticOps, count_merged_conv


class NormPad(nn.Module):
    """Batch norm, then a one-pixel border of what the norm gives for input 0.

    So padded, the depthwise convolution behind it sees at the border exactly what
    a zero-padded dense convolution in front of the norm would have produced. The
    border uses the running statistics in training too and carries no gradient.

    Shape: ``(B, C, H, W) -> (B, C, H + 2, W + 2)``.
    """

    def __init__(self, dim: int, norm_cfg: dict) -> None:
        super().__init__()
        self.norm = build_norm(norm_cfg, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)  # first, since it updates the statistics used below
        norm = self.norm
        with torch.no_grad():
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            border = norm.bias - norm.running_mean * scale
        batch, channels, height, width = x.shape
        padded = border.to(x.dtype).view(1, -1, 1, 1)
        padded = padded.repeat(batch, 1, height + 2, width + 2)
        padded[:, :, 1:-1, 1:-1] = x
        return padded


class RepConv(nn.Module):
    """Re-parameterisable convolution: 1x1, padded norm, depthwise 3x3, 1x1, norm.

    In evaluation it equals one dense zero-padded 3x3 convolution with bias; that
    form has 4.5 times the multiplications and is not used.

    Shape: ``(B, C, H, W) -> (B, C, H, W)``.
    """

    def __init__(self, dim: int, norm_cfg: dict) -> None:
        super().__init__()
        self.pwconv1 = nn.Conv2d(dim, dim, 1, bias=False)
        self.norm_pad = NormPad(dim, norm_cfg)
        self.dwconv = nn.Conv2d(dim, dim, 3, groups=dim, bias=False)
        self.pwconv2 = nn.Conv2d(dim, dim, 1, bias=False)
        self.norm = build_norm(norm_cfg, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_pad(self.pwconv1(x))
        return self.norm(self.pwconv2(self.dwconv(x)))

    def count_macs(self, x: Tensor) -> dict[str, int]:
        """Multiply-accumulates of the three convolutions."""
        return {MERGED: x.numel() * (2 * x.shape[1] + 9)}

    def count_ops(self, counts: Tensor) -> dict[str, SynapticOps]:
        """Synaptic operations of the dense 3x3 convolution that they equal."""
        weight = self.pwconv2.weight
        return count_merged_conv(counts, len(weight), 3, weight.element_size())


def conv_projection(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
    """Projection of SDT-V3's attention: 1x1 convolution, norm."""
    return SpikeConv(in_channels, out_channels, 1, norm_cfg=norm_cfg)


def rep_conv_projection(
    in_channels: int, out_channels: int, norm_cfg: dict
) -> nn.Module:
    """Projection of SDT-V2's attention: :class:`RepConv`, norm; keeps the width."""
    layers = OrderedDict(
        rep_conv=RepConv(out_channels, norm_cfg),
        norm=build_norm(norm_cfg, out_channels),
    )
    return nn.Sequential(layers)


class SpikeDrivenSelfAttention(nn.Module):
    """``SN(q (k^T v) * scale)`` over spiking q, k, v; O(N) in the tokens.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads h.
        value_ratio (int): Width of v over C. SDT-V3: 4; SDT-V2: 1.
        scale (float): Factor on the attention result.
        projection (callable): Makes each of the four projections from ``(in_channels,
            out_channels, norm_cfg)``; no neuron inside.
        attn_threshold (float, optional): Threshold of the neuron after the
            attention when it differs (SDT-V2: 0.5).
        neuron_cfg (dict): Neuron.
        norm_cfg (dict): Batch norm.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    virtual_steps = 1

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        value_ratio: int,
        scale: float,
        projection: Callable[[int, int, dict], nn.Module],
        attn_threshold: float | None,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'{dim=} is not divisible by {num_heads=}')

        self.num_heads = num_heads
        self.scale = scale
        value_dim = value_ratio * dim
        self.neuron = build_neuron(neuron_cfg, time_steps)
        self.q_conv = projection(dim, dim, norm_cfg)
        self.k_conv = projection(dim, dim, norm_cfg)
        self.v_conv = projection(dim, value_dim, norm_cfg)
        self.q_neuron = build_neuron(neuron_cfg, time_steps)
        self.k_neuron = build_neuron(neuron_cfg, time_steps)
        self.v_neuron = build_neuron(neuron_cfg, time_steps)
        threshold = {} if attn_threshold is None else {'v_threshold': attn_threshold}
        self.attn_neuron = build_neuron(neuron_cfg, time_steps, **threshold)
        self.proj_conv = projection(value_dim, dim, norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        spikes = self.neuron(x)
        q = self._split_heads(self.q_neuron(self.q_conv(spikes)))  # (B, h, C/h, N)
        k = self._split_heads(self.k_neuron(self.k_conv(spikes)))
        v = self._split_heads(self.v_neuron(self.v_conv(spikes)))
        y = self.attend(q, k, v)
        y = y.flatten(1, 2).unflatten(-1, (height, width))  # heads are outermost
        # the sum is exact in float32, the spikes are in any type
        return self.proj_conv(self.attn_neuron(y).to(v.dtype))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """``(q k^T) v * scale`` without the N x N map."""
        return linear_attention(q, k, v, self.scale, self.virtual_steps)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.flatten(2).unflatten(1, (self.num_heads, -1))


class SpikeMLP(nn.Module):
    """Two biased 1x1 convolutions with norm, a neuron in front of each.

    Args:
        dim (int): Channels C.
        mlp_ratio (int): Hidden width over C.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(self, dim: int, mlp_ratio: int, **unit_cfg) -> None:
        super().__init__()
        self.fc1 = SpikeConv(dim, mlp_ratio * dim, 1, bias=True, **unit_cfg)
        self.fc2 = SpikeConv(mlp_ratio * dim, dim, 1, bias=True, **unit_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class LayerScales(nn.ParameterDict):
    """Factors on every channel of the branches of a block, by their names.

    Args:
        names (Iterable[str]): The branches.
        dim (int): Channels C.
        init_value (float): Start of the factors; 0 for none.
    """

    def __init__(self, names: Iterable[str], dim: int, init_value: float) -> None:
        super().__init__()
        if init_value > 0:
            for name in names:
                self[name] = nn.Parameter(torch.full((dim,), float(init_value)))

    def multiply(self, name: str, update: Tensor) -> Tensor:
        """Multiply what a branch adds, ``(T*N, C, H, W)``, by its factors, if any."""
        return update * self[name].view(1, -1, 1, 1) if name in self else update
