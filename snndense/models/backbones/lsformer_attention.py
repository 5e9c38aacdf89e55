"""Token mixers of LSFormer: local dilated-window, global, and none.

LSFormer (https://arxiv.org/abs/2605.13887) names a local dilated window as its
attention; the equations are not public and those here are our choice. The blocks'
skeleton is that of Spikformer (https://arxiv.org/abs/2209.15425).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import SpikeConv, build_neuron, build_norm, hold, linear_attention
from ..layers.counting import SynapticOps
from .lsformer_window import (
    check_dilations,
    check_heads,
    check_window,
    count_window,
    window_attention,
)

ATTENTIONS = ('ls', 'global', 'none')


class DilatedDepthwiseConv(nn.Module):
    """Depthwise convolution whose channel groups have different dilations.

    Args:
        channels (int): Channels C.
        window_size (int): Side of the kernel, odd.
        dilations (tuple[int]): Rates of equal, consecutive groups of channels.

    Shape: ``(B, C, H, W) -> (B, C, H, W)``, zero padded.
    """

    def __init__(
        self, channels: int, window_size: int, dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        check_window(window_size)
        check_dilations(dilations, channels, 'channels')
        self.dilations = tuple(dilations)
        self.weight = nn.Parameter(torch.zeros(channels, 1, window_size, window_size))

    def forward(self, x: Tensor) -> Tensor:
        groups = len(self.dilations)
        reach = self.weight.shape[-1] // 2
        parts = zip(
            x.chunk(groups, 1), self.weight.chunk(groups), self.dilations, strict=True
        )
        outputs = [
            F.conv2d(part, weight, None, 1, rate * reach, rate, part.shape[1])
            for part, weight, rate in parts
        ]
        return torch.cat(outputs, 1)


class SSA(nn.Module):
    """Spiking self-attention of Spikformer over all tokens, without a softmax.

    ``y = BN(W_o SN'(scale * (q k^T) v))`` of spikes x, with ``q, k, v = SN(BN(W x))``,
    1x1 convolutions without bias and SN' a neuron of threshold 0.5; evaluated as
    ``q (k^T v)``: O(N).

    Args:
        dim (int): Channels C.
        num_heads (int): Heads h.
        scale (float): Factor on the attention; inference folds it into the
            threshold of SN'. Defaults to 0.125.
        learn_scale (bool): Whether every head learns its factor, from ``scale``
            on. Defaults to False.
        neuron_cfg (dict): Neuron.
        norm_cfg (dict): Batch norm.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    virtual_steps = 1

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        scale: float = 0.125,
        learn_scale: bool = False,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        check_heads(num_heads, dim)
        self.dim = dim
        self.num_heads = num_heads
        self.scale = scale
        if learn_scale:
            self.scale = nn.Parameter(torch.full((num_heads,), float(scale)))

        def neuron(**overrides) -> nn.Module:
            return build_neuron(neuron_cfg, time_steps, **overrides)

        self.q_conv = SpikeConv(dim, dim, 1, norm_cfg=norm_cfg)
        self.k_conv = SpikeConv(dim, dim, 1, norm_cfg=norm_cfg)
        self.v_conv = SpikeConv(dim, dim, 1, norm_cfg=norm_cfg)
        self.q_neuron = neuron()
        self.k_neuron = neuron()
        self.v_neuron = neuron()
        self.attn_neuron = neuron(v_threshold=0.5)
        self.proj_conv = SpikeConv(dim, dim, 1, norm_cfg=norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q_neuron(self.q_conv(x))
        k = self.k_neuron(self.k_conv(x))
        v = self.v_neuron(self.v_conv(x))
        # the sum is exact in float32, the spikes are in any type
        spikes = self.attn_neuron(self.mix(q, k, v)).to(v.dtype)
        return self.proj_conv(spikes)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Scaled attention, ``(T*N, C, H, W)``, at least float32."""
        is_learnt, steps = isinstance(self.scale, nn.Parameter), self.virtual_steps
        if not is_learnt and steps == 1:
            return self.attend(q, k, v, self.scale)
        # the factor, no power of two, is for what has accumulated
        y = hold(self.attend(q, hold(k, steps), hold(v, steps), 1.0), steps)
        if not is_learnt:
            return y * self.scale
        scale = self.scale.abs().repeat_interleave(self.dim // self.num_heads)
        return y * scale.view(1, -1, 1, 1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """``(q k^T) v * scale`` of ``(T*N, C, H, W)`` tensors."""
        size = q.shape[2:]
        q, k, v = (x.flatten(2).unflatten(1, (self.num_heads, -1)) for x in (q, k, v))
        y = linear_attention(q, k, v, scale)  # (T*N, h, C/h, H*W)
        return y.flatten(1, 2).unflatten(-1, size)

    def extra_repr(self) -> str:
        return f'dim={self.dim}, num_heads={self.num_heads}'


class LSSSA(SSA):
    """Local structure-aware spiking self-attention (LS-SSA), LSFormer (re-design).

    Every token attends to a window around it, whose positions lie ``dilation``
    tokens apart; the heads have different dilations, so that one layer sees local
    detail and long range. That much is published
    (https://arxiv.org/abs/2605.13887); the rest is our choice: no softmax, zero
    padding (exact: a key outside the image has no spikes), heads split evenly over
    the dilations, and an optional term that depends on the offset alone::

        O(i) = scale * sum over offsets D of <q(i), k(i + r D)> v(i + r D)
                     + sum over offsets D of rel_bias(D) v(i + r D)

    Cost and memory grow linearly with the number of tokens; see
    :func:`~snndense.models.backbones.lsformer_window.window_attention`.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads h.
        window_size (int): Side w of the window, odd. Defaults to 3.
        dilations (tuple[int]): Rates of equal, consecutive groups of heads.
            Defaults to (1, 2, 3, 4).
        rel_bias (bool): Whether the offset term, a dilated depthwise convolution of
            v that starts at zero, is added. Defaults to True.
        scale (float, optional): Factor on the attention; None means ``8 / w**2``,
            the expected input of Spikformer's 0.125 with 64 keys.
        **kwargs: See :class:`SSA`.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.

    Raises:
        ValueError: For an even window, dilations below 1, or heads that the
            channels or the dilations do not allow.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        window_size: int = 3,
        dilations: tuple[int, ...] = (1, 2, 3, 4),
        rel_bias: bool = True,
        scale: float | None = None,
        **kwargs,
    ) -> None:
        check_window(window_size)
        check_dilations(dilations, num_heads, 'num_heads')
        scale = 8 / window_size**2 if scale is None else scale
        super().__init__(dim, num_heads, scale=scale, **kwargs)
        self.window_size = window_size
        self.dilations = tuple(dilations)
        self.rel_bias = None
        if rel_bias:
            self.rel_bias = DilatedDepthwiseConv(dim, window_size, dilations)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y = super().mix(q, k, v)
        return y if self.rel_bias is None else y + self.rel_bias(v)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """``scale * sum of <q, k'> v'`` of ``(T*N, C, H, W)`` tensors."""
        return window_attention(
            q,
            k,
            v,
            num_heads=self.num_heads,
            window_size=self.window_size,
            dilations=self.dilations,
            scale=scale,
        )

    #: What an operation counter asks below is about this method; its elementwise
    #: products are no operators that one could recognise.
    counted_method = 'attend'

    def count_macs(self, q: Tensor, k: Tensor, v: Tensor) -> dict[str, int]:
        """Multiply-accumulates of the products with the keys and with the values."""
        macs = q.numel() * self.window_size**2
        return dict(qk=macs, av=macs)

    def count_ops(self, q: Tensor, k: Tensor, v: Tensor) -> dict[str, SynapticOps]:
        """Synaptic operations of the attention.

        A spike of q is added once for every key in its window, a spike of v once
        for every query that has it in its window. The offset term is a convolution
        and no part of this.

        Args:
            q (Tensor): Spikes per element of the queries, ``(T*N, C, H, W)``.
            k (Tensor): Those of the keys; without influence on the count.
            v (Tensor): Those of the values.

        Returns:
            dict[str, SynapticOps]: Operations of the product with the keys (``'qk'``)
            and with the values (``'av'``), of all samples and steps together.
        """
        windows = [
            count_window(*q.shape[2:], self.window_size, rate).to(q.device)
            for rate in self.dilations
        ]
        window = torch.stack(windows)  # (G, H, W)

        def count(counts: Tensor) -> SynapticOps:
            spikes = counts.sum(0, dtype=torch.float64)
            spikes = spikes.unflatten(0, (len(windows), -1)).sum(1)  # (G, H, W)
            return SynapticOps(
                sops=round((spikes * window).sum().item()),
                mean_count=spikes.sum().item() / max(counts.numel(), 1),
                macs=counts.numel() * self.window_size**2,
            )

        return dict(qk=count(q), av=count(v))

    def extra_repr(self) -> str:
        return (
            f'{super().extra_repr()}, window_size={self.window_size}, '
            f'dilations={self.dilations}'
        )


class LocalMixer(nn.Module):
    """What LS-SSA is without attention: its values, mixed by a fixed kernel.

    ``y = BN(W_o SN(BN(dilated depthwise convolution of v)))`` with ``v =
    SN(BN(W_v x))``: the window, dilations and widths of :class:`LSSSA`, no queries
    and keys. For ablations.

    Args:
        dim (int): Channels C.
        window_size (int): Side of the window, odd.
        dilations (tuple[int]): Rates of equal, consecutive groups of channels.
        neuron_cfg (dict): Neuron.
        norm_cfg (dict): Batch norm.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        *,
        window_size: int,
        dilations: tuple[int, ...],
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()

        def neuron() -> nn.Module:
            return build_neuron(neuron_cfg, time_steps)

        self.v_conv = SpikeConv(dim, dim, 1, norm_cfg=norm_cfg)
        self.v_neuron = neuron()
        self.dwconv = DilatedDepthwiseConv(dim, window_size, dilations)
        nn.init.kaiming_normal_(self.dwconv.weight)
        self.norm = build_norm(norm_cfg, dim)
        self.mix_neuron = neuron()
        self.proj_conv = SpikeConv(dim, dim, 1, norm_cfg=norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        v = self.v_neuron(self.v_conv(x))
        return self.proj_conv(self.mix_neuron(self.norm(self.dwconv(v))))


def build_mixer(
    attn: str,
    dim: int,
    num_heads: int,
    *,
    window_size: int,
    dilations: tuple[int, ...],
    rel_bias: bool,
    learn_scale: bool,
    **unit_cfg,
) -> nn.Module:
    """Token mixer of one block.

    Args:
        attn (str): ``'ls'`` for :class:`LSSSA`, ``'global'`` for :class:`SSA`,
            ``'none'`` for :class:`LocalMixer`.
        dim (int): Channels C.
        num_heads (int): Attention heads.
        window_size (int): Side of the window of ``'ls'`` and ``'none'``.
        dilations (tuple[int]): Its rates.
        rel_bias (bool): Whether ``'ls'`` has the offset term.
        learn_scale (bool): Whether every head of ``'ls'`` and ``'global'`` learns
            its scale.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Raises:
        ValueError: For an unknown ``attn``, or as the modules do.
    """
    if attn == 'none':
        return LocalMixer(dim, window_size=window_size, dilations=dilations, **unit_cfg)
    if attn == 'global':
        return SSA(dim, num_heads, learn_scale=learn_scale, **unit_cfg)
    if attn == 'ls':
        return LSSSA(
            dim,
            num_heads,
            window_size=window_size,
            dilations=dilations,
            rel_bias=rel_bias,
            learn_scale=learn_scale,
            **unit_cfg,
        )
    raise ValueError(f'expected attn in {ATTENTIONS}, but got {attn=}')
