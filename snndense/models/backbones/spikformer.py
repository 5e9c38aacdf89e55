"""Spikformer: a spiking patch embedding, then attention blocks at one stride."""

from collections import OrderedDict
from collections.abc import Iterator

from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import (
    DropPath,
    SpikeConv,
    build_neuron,
    checkpoint_module,
    drop_path_ramp,
    linear_attention,
)
from .base import SpikingBackbone

#: What the three published definitions differ in: pooling behind the four units of
#: the patch embedding, scale of the attention, biases of its projections, channels
#: of the input.
FLAVOURS = {
    'imagenet': dict(
        pools=(True,) * 4, attn_scale=0.125, qkv_bias=False, in_channels=3
    ),
    'cifar': dict(
        pools=(False, False, True, True), attn_scale=0.125, qkv_bias=True, in_channels=3
    ),
    'dvs': dict(pools=(True,) * 4, attn_scale=0.25, qkv_bias=False, in_channels=2),
}
ATTN_THRESHOLD = 0.5
NUM_TAPS = 4


class ConvSpike(nn.Module):
    """Convolution, batch norm, neuron and, in the patch embedding, a max pool.

    The pool follows the neuron: of spikes, it is a logical OR.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        kernel_size (int): Kernel size.
        bias (bool): Whether the convolution has a bias. Defaults to False.
        pool (bool): Whether a 3x3 max pool of stride 2 follows. Defaults to False.
        neuron_cfg, norm_cfg, time_steps: As in :class:`Spikformer`.

    Shape: ``(T*N, C_in, H, W) -> (T*N, C_out, H, W)``, pooled ``ceil(H / 2)``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = False,
        pool: bool = False,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        self.conv = SpikeConv(
            in_channels, out_channels, kernel_size, bias=bias, norm_cfg=norm_cfg
        )
        layers = OrderedDict(neuron=build_neuron(neuron_cfg, time_steps))
        if pool:
            layers['pool'] = nn.MaxPool2d(3, stride=2, padding=1)
        self.fire = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.fire(self.conv(x))


class SSA(nn.Module):
    """Spiking self-attention ``SN(q k^T v * scale)`` in O(N), between projections.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads.
        scale (float): Factor on the attention result, whatever the head width.
        qkv_bias (bool): Whether the projections to q, k and v have biases.
        neuron_cfg, norm_cfg, time_steps: As in :class:`Spikformer`. The neuron on the
            attention result has a threshold of 0.5.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``, spikes.
    """

    virtual_steps = 1

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        scale: float,
        qkv_bias: bool,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        self.num_heads = num_heads
        self.scale = scale
        self.q = ConvSpike(dim, dim, 1, bias=qkv_bias, **unit_cfg)
        self.k = ConvSpike(dim, dim, 1, bias=qkv_bias, **unit_cfg)
        self.v = ConvSpike(dim, dim, 1, bias=qkv_bias, **unit_cfg)
        self.attn_neuron = build_neuron(
            neuron_cfg, time_steps, v_threshold=ATTN_THRESHOLD
        )
        self.proj = ConvSpike(dim, dim, 1, bias=True, **unit_cfg)

    def forward(self, x: Tensor) -> Tensor:
        q = self._split_heads(self.q(x))  # (T*N, h, C/h, H*W)
        k = self._split_heads(self.k(x))
        v = self._split_heads(self.v(x))
        # upstream: (q k^T) v in the cifar and dvs files; sums of spikes, so equal
        y = linear_attention(q, k, v, self.scale, self.virtual_steps)
        # the sum is exact in float32, the spikes are in any type
        return self.proj(self.attn_neuron(y.reshape(x.shape)).to(v.dtype))

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.flatten(2).unflatten(1, (self.num_heads, -1))


class SpikformerBlock(BaseModule):
    """``x += SSA(x)``, then ``x += MLP(x)``; both add spikes, so x counts them.

    Args:
        dim (int): Channels C.
        num_heads (int): Attention heads.
        mlp_ratio (int): Hidden width of the MLP over C.
        attn_scale (float): Scale of the attention.
        qkv_bias (bool): Whether the projections to q, k and v have biases.
        drop_path (float): Probability of dropping each branch.
        init_cfg (dict, optional): Initialisation, as in mmengine.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        mlp_ratio: int,
        attn_scale: float,
        qkv_bias: bool,
        drop_path: float,
        init_cfg: dict | None,
        **unit_cfg,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        hidden = mlp_ratio * dim
        self.attn = SSA(dim, num_heads, scale=attn_scale, qkv_bias=qkv_bias, **unit_cfg)
        self.mlp = nn.Sequential(
            ConvSpike(dim, hidden, 1, bias=True, **unit_cfg),
            ConvSpike(hidden, dim, 1, bias=True, **unit_cfg),
        )
        self.drop_path = DropPath(drop_path, unit_cfg['time_steps'])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.mlp(x))


def _arch(flavour: str, depths: int, embed_dims: int, num_heads: int) -> dict:
    return dict(
        flavour=flavour,
        embed_dims=embed_dims,
        depths=depths,
        num_heads=num_heads,
        mlp_ratio=4,
    )


@MODELS.register_module()
class Spikformer(SpikingBackbone):
    """Spikformer: spiking patch embedding (SPS), then softmax-free attention blocks.

    https://arxiv.org/abs/2209.15425. The last tap is the output of the last block, a
    plain single-stride map as that of a ViT (stride 16; ``'cifar_*'``: 4), which
    :class:`~snndense.models.necks.SimpleFeaturePyramid` turns into a pyramid. The
    taps before it are the spikes behind the first three units of the patch
    embedding (strides 2, 4, 8; ``'cifar_*'``: 1, 1, 2), which have not seen any
    attention.

    Differences from the published code: one class for its three definitions; any
    number of steps and any input size; attention in O(N) with equal results; the
    norms and position embeddings that it stores and never reads don't exist;
    ``drop_path_rate`` drops branches (upstream builds the ramp and never calls it);
    state never outlives a call.

    Args:
        arch (str | dict): ``'8_384'``, ``'6_512'``, ``'8_512'``, ``'10_512'``,
            ``'8_768'`` (depth and width of the ImageNet models), ``'cifar_4_256'``,
            ``'cifar_2_384'``, ``'cifar_4_384'``, ``'dvs_2_256'``, or a dict with the
            same keys. Defaults to ``'8_512'``.
        in_channels (int, optional): Input channels. None: 3, ``'dvs_*'``: 2, the
            polarities of event frames.
        embed_dims (int, optional): Channels of the blocks. None: from ``arch``, as
            the next three.
        depths (int, optional): Number of blocks.
        num_heads (int, optional): Attention heads; ``'dvs_2_256'`` has 16, as
            published for CIFAR10-DVS (8 for DVS128 Gesture).
        mlp_ratio (int, optional): Hidden width of the MLPs over channels.
        time_steps (int): T. Defaults to 4.
        neuron_cfg (dict): Neuron. Defaults to ``dict(type='LIF')`` (tau 2, sigmoid
            surrogate), as published.
        norm_cfg (dict): Batch norm. Defaults to ``dict(type='BN')``.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly
            from 0. Defaults to 0.0.
        out_indices (tuple[int]): Taps to return, 0 to 3. Defaults to (3,).
        out_mode, frozen_stages, norm_eval, with_cp: See
            :class:`~snndense.models.backbones.base.SpikingBackbone`.
        init_cfg (dict | list, optional): Defaults to torch's own initialisation; in
            the blocks of ``'cifar_*'`` to truncated normal with std 0.02, as
            published.

    Shape: images ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)`` of any height
    and width to a tuple of maps, see ``out_mode``.

    Raises:
        ValueError: For an unknown arch or flavour, or a width that the heads or the
            patch embedding do not divide.
    """

    arch_settings = {
        '8_384': _arch('imagenet', 8, 384, 8),
        '6_512': _arch('imagenet', 6, 512, 8),
        '8_512': _arch('imagenet', 8, 512, 8),
        '10_512': _arch('imagenet', 10, 512, 8),
        '8_768': _arch('imagenet', 8, 768, 12),
        'cifar_4_256': _arch('cifar', 4, 256, 8),
        'cifar_2_384': _arch('cifar', 2, 384, 12),
        'cifar_4_384': _arch('cifar', 4, 384, 12),
        'dvs_2_256': _arch('dvs', 2, 256, 16),
    }

    def __init__(
        self,
        arch: str | dict = '8_512',
        *,
        in_channels: int | None = None,
        embed_dims: int | None = None,
        depths: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: int | None = None,
        time_steps: int = 4,
        neuron_cfg: dict = dict(type='LIF'),  # noqa: B006 (read only)
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (3,),
        out_mode: str = 'mean',
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        settings = self.resolve_arch(
            arch,
            embed_dims=embed_dims,
            depths=depths,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        )
        self._check_settings(settings)
        dim = settings['embed_dims']
        flavour = FLAVOURS[settings['flavour']]
        pools, channels = flavour['pools'], (dim // 8, dim // 4, dim // 2, dim)
        super().__init__(
            stage_channels=channels,
            stage_strides=tuple(2 ** sum(pools[: i + 1]) for i in range(len(pools))),
            in_channels=in_channels or flavour['in_channels'],
            time_steps=time_steps,
            out_indices=out_indices,
            out_mode=out_mode,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        self.patch_embed = nn.ModuleList()
        for index in range(self.num_stages):
            unit_in = channels[index - 1] if index else self.in_channels
            unit = ConvSpike(unit_in, channels[index], 3, pool=pools[index], **unit_cfg)
            self.patch_embed.append(unit)
        if self.num_stages < NUM_TAPS:
            self.position, self.blocks = None, ModuleList()
        else:
            self.position = ConvSpike(dim, dim, 3, **unit_cfg)
            self.blocks = self._make_blocks(settings, drop_path_rate, unit_cfg)
        self._freeze_stages()

    @staticmethod
    def _check_settings(settings: dict) -> None:
        flavour, dim = settings['flavour'], settings['embed_dims']
        if flavour not in FLAVOURS:
            raise ValueError(
                f'expected flavour in {tuple(FLAVOURS)}, but got {flavour!r}'
            )
        if dim % 8 or dim % settings['num_heads']:
            raise ValueError(
                'expected embed_dims to be a multiple of 8 (the patch embedding starts '
                f'with an eighth) and of num_heads={settings["num_heads"]}, but got '
                f'embed_dims={dim}'
            )

    @staticmethod
    def _make_blocks(
        settings: dict, drop_path_rate: float, unit_cfg: dict
    ) -> ModuleList:
        flavour = FLAVOURS[settings['flavour']]
        init_cfg = None
        if settings['flavour'] == 'cifar':
            # upstream: 1x1 convolutions are Linear layers there, which it initialises
            init_cfg = dict(type='TruncNormal', layer='Conv2d', std=0.02, bias=0.0)
        return ModuleList(
            SpikformerBlock(
                settings['embed_dims'],
                num_heads=settings['num_heads'],
                mlp_ratio=settings['mlp_ratio'],
                attn_scale=flavour['attn_scale'],
                qkv_bias=flavour['qkv_bias'],
                drop_path=drop_path,
                init_cfg=init_cfg,
                **unit_cfg,
            )
            for drop_path in drop_path_ramp(drop_path_rate, settings['depths'])
        )

    def forward_stages(self, inputs: Tensor) -> Iterator[Tensor]:
        first, *units = self.patch_embed
        x = self.encode(inputs, first.conv)  # (T*N, C/8, H, W)
        x = self._run(first.fire, x)  # (T*N, C/8, H/2, W/2)
        for unit in units:
            yield x
            x = self._run(unit, x)
        if self.position is not None:
            x = x + self._run(self.position, x)
        for block in self.blocks:
            x = self._run(block, x)
        yield x

    def _run(self, module: nn.Module, x: Tensor) -> Tensor:
        # the patch embedding too: its maps are the largest
        return checkpoint_module(module, x, self.with_cp)

    def stage_modules(self, index: int) -> list[nn.Module]:
        modules = [self.patch_embed[index]]
        if index == NUM_TAPS - 1:
            modules += [self.position, self.blocks]
        return modules

    def stage_outputs(self) -> list[str]:
        names = [f'patch_embed.{index}' for index in range(self.num_stages)]
        names[0] += '.fire'  # the first convolution is called before time unfolds
        if len(self.blocks) > 0:
            names[-1] = f'blocks.{len(self.blocks) - 1}'
        return names

    def block_prefixes(self) -> list[str]:
        return [f'blocks.{index}.' for index in range(len(self.blocks))]
