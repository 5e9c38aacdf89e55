"""SDT-V3 large: the 83M and 173M models of E-SpikeFormer."""

from collections import OrderedDict

from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import DropPath, SpikeConv, build_neuron, build_norm, drop_path_ramp
from ..layers.counting import MERGED, SynapticOps, count_merged_conv
from .meta_sdt_attention import LayerScales, SpikeDrivenSelfAttention, SpikeMLP
from .meta_sdt_mixers import ConvMixer
from .meta_sdt_pyramid import MetaSDTPyramid, MetaSDTStage

ATTN_SCALE = 0.125  # whatever the head width


class PointwisePair(nn.Sequential):
    """Two 1x1 convolutions, a norm behind each and no neuron between.

    In evaluation they equal a single 1x1 convolution with bias.

    Args:
        in_channels (int): Input channels.
        hidden_channels (int): Channels between them.
        out_channels (int): Output channels.
        norm_cfg (dict): Batch norm.

    Shape: ``(B, C_in, H, W) -> (B, C_out, H, W)``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        norm_cfg: dict,
    ) -> None:
        layers = OrderedDict(
            conv1=SpikeConv(in_channels, hidden_channels, 1, norm_cfg=norm_cfg),
            conv2=SpikeConv(hidden_channels, out_channels, 1, norm_cfg=norm_cfg),
        )
        super().__init__(layers)

    def count_macs(self, x: Tensor) -> dict[str, int]:
        """Multiply-accumulates of both convolutions."""
        weights = (layer.conv.weight for layer in self)
        positions = x.numel() // x.shape[1]
        return {MERGED: positions * sum(weight.numel() for weight in weights)}

    def count_ops(self, counts: Tensor) -> dict[str, SynapticOps]:
        """Synaptic operations of the single convolution that they equal."""
        weight = self.conv2.conv.weight
        return count_merged_conv(counts, len(weight), 1, weight.element_size())


def pair_projection(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
    """Projection of the attention: :class:`PointwisePair`, 1.5 times as wide, norm."""
    hidden = int(1.5 * in_channels)
    layers = OrderedDict(
        rep_conv=PointwisePair(in_channels, hidden, out_channels, norm_cfg),
        norm=build_norm(norm_cfg, out_channels),
    )
    return nn.Sequential(layers)


class LargeConvBlock(nn.Module):
    """Early block: ``x += conv2(conv1(x))``, 3x3 with biases; no SepConv.

    Args:
        dim (int): Channels C.
        mlp_ratio (int): Hidden width over C.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(self, dim: int, mlp_ratio: int, **unit_cfg) -> None:
        super().__init__()
        self.mixer = ConvMixer(dim, mlp_ratio, bias=True, **unit_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mixer(x)


class LargeAttentionBlock(nn.Module):
    """Late block: ``x += [rep_conv(x);] g1 * attn(x); g2 * mlp(x)``.

    Args:
        dim (int): Channels C.
        num_heads (int): Attention heads.
        mlp_ratio (int): Hidden width of the MLP over C.
        with_rep_conv (bool): Whether two 1x1 convolutions come first (83M).
        layer_scale_init_value (float): Start of the factors g of every channel; 0
            for none.
        drop_path (float): Probability of dropping attention or MLP.
        neuron_cfg, norm_cfg, time_steps: As in :class:`SDTV3Large`.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        mlp_ratio: int,
        with_rep_conv: bool,
        layer_scale_init_value: float,
        drop_path: float,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        self.rep_conv = None
        if with_rep_conv:
            layers = OrderedDict(
                neuron=build_neuron(neuron_cfg, time_steps),
                pair=PointwisePair(dim, dim, dim, norm_cfg),
            )
            self.rep_conv = nn.Sequential(layers)
        self.attn = SpikeDrivenSelfAttention(
            dim,
            num_heads,
            value_ratio=1,
            scale=ATTN_SCALE,
            projection=pair_projection,
            attn_threshold=None,
            **unit_cfg,
        )
        self.mlp = SpikeMLP(dim, mlp_ratio, **unit_cfg)
        self.layer_scales = LayerScales(('attn', 'mlp'), dim, layer_scale_init_value)
        self.drop_path = DropPath(drop_path, time_steps)

    def forward(self, x: Tensor) -> Tensor:
        if self.rep_conv is not None:
            x = x + self.rep_conv(x)
        for name, branch in (('attn', self.attn), ('mlp', self.mlp)):
            x = x + self.drop_path(self.layer_scales.multiply(name, branch(x)))
        return x


def _arch(embed_dims: tuple, with_rep_conv: bool) -> dict:
    return dict(
        embed_dims=embed_dims,
        depths=(1, 1, 2, 12),
        num_heads=8,
        mlp_ratio=4,
        with_rep_conv=with_rep_conv,
    )


@MODELS.register_module()
class SDTV3Large(MetaSDTPyramid):
    """The large models of E-SpikeFormer (SDT-V3), 83M and 173M parameters.

    https://arxiv.org/abs/2411.16061. Unlike the base sizes, which are
    :class:`~snndense.models.backbones.meta_sdt.MetaSDT`: four taps of stride 2, 4, 8
    and 16; early blocks of two biased 3x3 convolutions; twelve attention blocks whose
    projections are pairs of 1x1 convolutions; layer scale; spike counts that are
    rounded half up.

    Differences from the published code: any number of steps, which do not interact;
    attention over maps of any size; state never outlives a call. Published weights
    have three traps: the first width of the 173M model is 196, but 192 in its masked
    pre-training (``embed_dims=(192, 384, 768)``); weights of "1x8" need
    ``neuron_cfg=dict(type='IntegerLIF', levels=8, rounding='half_up', tau=1)``; and
    the 83M file is reported to hold batch norms of another model, see
    :mod:`snndense.checkpoints.sdt_v3_large`.

    Args:
        arch (str | dict): ``'83m'``, ``'173m'``, or a dict with the same keys.
            Defaults to ``'83m'``.
        in_channels (int): Input channels. Defaults to 3.
        embed_dims (tuple[int], optional): Channels after stages 2 to 4; the first
            stage has half of the first. None: from ``arch``, as the next three.
        depths (tuple[int], optional): Blocks per stage, four numbers.
        num_heads (int, optional): Attention heads.
        mlp_ratio (int, optional): Hidden width over channels, of early blocks and of
            the MLPs.
        time_steps (int): T. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to ``dict(type='IntegerLIF', levels=4,
            rounding='half_up', tau=1)``.
        norm_cfg (dict): Batch norm. Defaults to ``dict(type='BN')``.
        layer_scale_init_value (float): Start of the factors on every channel of
            attention and MLP; 0 builds none. Defaults to 1e-6, as published.
        drop_path_rate (float): Stochastic depth of attention and MLP in the last
            block, rising linearly from 0 in the first attention block. Defaults
            to 0.0.
        out_indices (tuple[int]): Taps to return. Defaults to (0, 1, 2, 3).
        out_mode, frozen_stages, norm_eval, with_cp, init_cfg: See
            :class:`~snndense.models.backbones.base.SpikingBackbone`.

    Shape: images ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)`` of any
    height and width to a tuple of maps, see ``out_mode``.

    Raises:
        ValueError: For an unknown arch, or widths that the heads do not divide.
    """

    arch_settings = {
        '83m': _arch((128, 256, 512), with_rep_conv=True),
        '173m': _arch((196, 384, 768), with_rep_conv=False),
    }

    def __init__(
        self,
        arch: str | dict = '83m',
        *,
        in_channels: int = 3,
        embed_dims: tuple[int, ...] | None = None,
        depths: tuple[int, ...] | None = None,
        num_heads: int | None = None,
        mlp_ratio: int | None = None,
        time_steps: int = 1,
        neuron_cfg: dict = dict(  # noqa: B006 (read only)
            type='IntegerLIF', levels=4, rounding='half_up', tau=1
        ),
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        layer_scale_init_value: float = 1e-6,
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
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
        dims = settings['embed_dims']
        super().__init__(
            stage_channels=(dims[0] // 2, *dims),
            stage_strides=(2, 4, 8, 16),
            in_channels=in_channels,
            time_steps=time_steps,
            out_indices=out_indices,
            out_mode=out_mode,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        self.stages = nn.ModuleList(
            self._make_stage(
                index,
                settings,
                drop_path_rate=drop_path_rate,
                layer_scale_init_value=layer_scale_init_value,
                neuron_cfg=neuron_cfg,
                norm_cfg=norm_cfg,
                time_steps=time_steps,
            )
            for index in range(self.num_stages)
        )
        self._freeze_stages()

    @staticmethod
    def _check_settings(settings: dict) -> None:
        dims, depths = settings['embed_dims'], settings['depths']
        if len(dims) != 3 or len(depths) != 4 or dims[0] % 2:
            raise ValueError(
                'expected three embed_dims (the first one even) and four depths, but '
                f'got embed_dims={dims}, depths={depths}'
            )
        if dims[-1] % settings['num_heads']:
            raise ValueError(
                f'the width {dims[-1]} of the attention blocks must be a multiple of '
                f'num_heads={settings["num_heads"]}'
            )

    def _make_stage(
        self,
        index: int,
        settings: dict,
        *,
        drop_path_rate: float,
        layer_scale_init_value: float,
        **unit_cfg,
    ) -> MetaSDTStage:
        dim, depth = self.stage_channels[index], settings['depths'][index]
        if index < 3:
            blocks = [
                LargeConvBlock(dim, settings['mlp_ratio'], **unit_cfg)
                for _ in range(depth)
            ]
        else:
            blocks = [
                LargeAttentionBlock(
                    dim,
                    settings['num_heads'],
                    mlp_ratio=settings['mlp_ratio'],
                    with_rep_conv=settings['with_rep_conv'],
                    layer_scale_init_value=layer_scale_init_value,
                    drop_path=drop_path,
                    **unit_cfg,
                )
                for drop_path in drop_path_ramp(drop_path_rate, depth)
            ]
        downsample = self._make_downsample(index, **unit_cfg)
        return MetaSDTStage(downsample, blocks, self.with_cp)
