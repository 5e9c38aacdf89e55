"""Meta-SDT: SDT-V2, SDT-V3 and the ST-ERF models on one five-step pyramid."""

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import DropPath, drop_path_ramp
from .meta_sdt_attention import (
    LayerScales,
    SpikeDrivenSelfAttention,
    SpikeMLP,
    conv_projection,
    rep_conv_projection,
)
from .meta_sdt_mixers import SRB, ConvMixer, MLPixer, SepConv, SpikeSepConv
from .meta_sdt_pyramid import MetaSDTPyramid, MetaSDTStage

MIXERS = ('conv', 'mlpixer', 'srb', 'attention')
VERSIONS = ('v2', 'v3')


class ConvBlock(nn.Module):
    """Early block: ``x += SepConv(x)``, then ``x += mixer(x)``.

    Args:
        dim (int): Channels C.
        mixer (str): ``'conv'``, ``'mlpixer'`` or ``'srb'``.
        version (str): ``'v2'`` or ``'v3'``, which separable convolution.
        mlp_ratio (int): Hidden width of the mixer over C.
        drop_rate (float): Dropout of MLPixer and SRB.
        drop_path (float): Probability of dropping each branch.
        neuron_cfg, norm_cfg, time_steps: As in :class:`MetaSDT`.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        *,
        mixer: str,
        version: str,
        mlp_ratio: int,
        drop_rate: float,
        drop_path: float,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        sep_conv = SepConv if version == 'v2' else SpikeSepConv
        self.sep_conv = sep_conv(dim, 7, **unit_cfg)
        if mixer == 'conv':
            self.mixer = ConvMixer(dim, mlp_ratio, **unit_cfg)
        elif mixer == 'srb':
            self.mixer = SRB(dim, mlp_ratio, drop_rate=drop_rate, **unit_cfg)
        else:
            del unit_cfg['norm_cfg']  # MLPixer has no norm
            self.mixer = MLPixer(dim, mlp_ratio, drop_rate=drop_rate, **unit_cfg)
        self.drop_path = DropPath(drop_path, time_steps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.sep_conv(x))
        return x + self.drop_path(self.mixer(x))


class AttentionBlock(nn.Module):
    """Late block: ``x += [SepConv(x);] attn(x); mlp(x)``, SepConv in V3 only.

    Args:
        dim (int): Channels C.
        num_heads (int): Attention heads.
        version (str): ``'v2'`` or ``'v3'``.
        mlp_ratio (int): Hidden width of the MLP over C.
        attn_factor (float): V3: scale = attn_factor * (C / heads) ** -0.5.
        layer_scale_init_value (float): Start of the per-channel factors on the
            branches (V3); 0 for none.
        drop_path (float): Probability of dropping each branch.
        neuron_cfg, norm_cfg, time_steps: As in :class:`MetaSDT`.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        version: str,
        mlp_ratio: int,
        attn_factor: float,
        layer_scale_init_value: float,
        drop_path: float,
        **unit_cfg,
    ) -> None:
        super().__init__()
        if version == 'v2':
            attention = dict(
                value_ratio=1,
                scale=0.125,
                projection=rep_conv_projection,
                attn_threshold=0.5,
            )
            branches = {}
        else:
            attention = dict(
                value_ratio=4,
                scale=attn_factor * (dim // num_heads) ** -0.5,
                projection=conv_projection,
                attn_threshold=None,
            )
            branches = {'sep_conv': SpikeSepConv(dim, 3, **unit_cfg)}
        branches['attn'] = SpikeDrivenSelfAttention(
            dim, num_heads, **attention, **unit_cfg
        )
        branches['mlp'] = SpikeMLP(dim, mlp_ratio, **unit_cfg)
        self.branches = nn.ModuleDict(branches)
        self.layer_scales = LayerScales(branches, dim, layer_scale_init_value)
        self.drop_path = DropPath(drop_path, unit_cfg['time_steps'])

    def forward(self, x: Tensor) -> Tensor:
        for name, branch in self.branches.items():
            x = x + self.drop_path(self.layer_scales.multiply(name, branch(x)))
        return x


def _arch(embed_dims: tuple, version: str) -> dict:
    return dict(
        embed_dims=embed_dims,
        depths=(1, 1, 2, 6, 2),
        num_heads=8,
        mlp_ratio=4,
        version=version,
    )


@MODELS.register_module()
class MetaSDT(MetaSDTPyramid):
    """Spike-driven meta-transformer with a choice of channel mixer.

    One class for Meta-SpikeFormer (SDT-V2, https://arxiv.org/abs/2404.03663),
    E-SpikeFormer (SDT-V3, https://arxiv.org/abs/2411.16061) and the MLPixer and
    SRB models of Spatial-Temporal ERF (https://arxiv.org/abs/2510.21403). Five
    taps of stride 2, 4, 8, 16, 16: the last stage does not downsample.

    Differences from the published code: ``drop_path_rate`` drops branches
    (upstream builds the ramp and never calls it), attention is evaluated in O(N)
    with equal results, state never outlives a call.

    Args:
        arch (str | dict): ``'t'``, ``'s'``, ``'m'``, ``'l'`` (SDT-V3 and Meta-SDT
            widths; the ST-ERF paper's T is ``'s'``, its B is ``'l'``),
            ``'v2_15m'``, ``'v2_31m'``, ``'v2_55m'``, ``'v2_124m'`` (SDT-V2), or a
            dict with the same keys. Defaults to ``'l'``.
        mixer (str): Channel mixer of the early stages: ``'conv'``,
            ``'mlpixer'``, ``'srb'``, or ``'attention'`` for attention blocks
            from the first stage on (the full-attention ablation). V2 knows
            ``'conv'`` only. Defaults to ``'conv'``.
        in_channels (int): Input channels. Defaults to 3.
        embed_dims (tuple[int], optional): Channels after stages 2 to 5; the first
            stage has half of the first. None: from ``arch``, as the next three.
        depths (tuple[int], optional): Blocks per stage, five numbers.
        num_heads (int, optional): Attention heads.
        mlp_ratio (int, optional): Hidden width over channels, of the mixers and
            of the MLPs (the published "epsilon").
        time_steps (int): T. Defaults to 1.
        neuron_cfg (dict, optional): Neuron. None: ``IntegerLIF`` with 4 levels
            for V3, ``LIF`` with tau 2 for V2.
        norm_cfg (dict): Batch norm. Defaults to ``dict(type='BN')``.
        attn_factor (float): V3 attention scale = attn_factor / sqrt(head width);
            2 in the published models, 1 in one analysis copy. Defaults to 2.0.
        layer_scale_init_value (float): Start of the per-channel branch factors
            of V3 attention blocks (published segmentation copy: 1e-6); 0 builds
            none. Defaults to 0.0.
        drop_rate (float): Dropout inside MLPixer and SRB (published recipes:
            0.2). Defaults to 0.0.
        drop_path_rate (float): Stochastic depth of the last block, rising
            linearly from 0. Defaults to 0.0.
        out_indices (tuple[int]): Taps to return. Defaults to (1, 2, 3, 4).
        out_mode, frozen_stages, norm_eval, with_cp: See
            :class:`~snndense.models.backbones.base.SpikingBackbone`.
        init_cfg (dict | list, optional): Defaults to truncated normal (std 0.02)
            for Linear layers, as published.

    Shape: images ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)`` of any
    height and width to a tuple of maps, see ``out_mode``.

    Raises:
        ValueError: For an unknown arch, mixer or combination, or widths that the
            heads do not divide.
    """

    arch_settings = {
        't': _arch((24, 48, 96, 128), 'v3'),
        's': _arch((32, 64, 128, 192), 'v3'),
        'm': _arch((48, 96, 192, 240), 'v3'),
        'l': _arch((64, 128, 256, 360), 'v3'),
        'v2_15m': _arch((64, 128, 256, 360), 'v2'),
        'v2_31m': _arch((96, 192, 384, 480), 'v2'),
        'v2_55m': _arch((128, 256, 512, 640), 'v2'),
        'v2_124m': _arch((192, 384, 768, 960), 'v2'),
    }

    def __init__(
        self,
        arch: str | dict = 'l',
        *,
        mixer: str = 'conv',
        in_channels: int = 3,
        embed_dims: tuple[int, ...] | None = None,
        depths: tuple[int, ...] | None = None,
        num_heads: int | None = None,
        mlp_ratio: int | None = None,
        time_steps: int = 1,
        neuron_cfg: dict | None = None,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        attn_factor: float = 2.0,
        layer_scale_init_value: float = 0.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (1, 2, 3, 4),
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
        self._check_settings(settings, mixer, layer_scale_init_value)
        dims = settings['embed_dims']
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0)
        super().__init__(
            stage_channels=(dims[0] // 2, *dims),
            stage_strides=(2, 4, 8, 16, 16),
            in_channels=in_channels,
            time_steps=time_steps,
            out_indices=out_indices,
            out_mode=out_mode,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        if neuron_cfg is None:
            is_v3 = settings['version'] == 'v3'
            neuron_cfg = dict(type='IntegerLIF' if is_v3 else 'LIF')
        drop_paths = iter(drop_path_ramp(drop_path_rate, sum(settings['depths'])))
        self.stages = nn.ModuleList(
            self._make_stage(
                index,
                settings,
                drop_paths,
                mixer=mixer,
                drop_rate=drop_rate,
                attn_factor=attn_factor,
                layer_scale_init_value=layer_scale_init_value,
                neuron_cfg=neuron_cfg,
                norm_cfg=norm_cfg,
                time_steps=time_steps,
            )
            for index in range(self.num_stages)
        )
        self._freeze_stages()

    @staticmethod
    def _check_settings(settings: dict, mixer: str, layer_scale: float) -> None:
        version = settings['version']
        if version not in VERSIONS:
            raise ValueError(f'expected version in {VERSIONS}, but got {version=}')
        if mixer not in MIXERS:
            raise ValueError(f'expected mixer in {MIXERS}, but got {mixer=}')
        if version == 'v2' and (mixer != 'conv' or layer_scale > 0):
            raise ValueError(
                "SDT-V2 sizes ('v2_…') have mixer='conv' and no layer scale, but got "
                f"{mixer=}, layer_scale_init_value={layer_scale}; use 't', 's', 'm' "
                "or 'l'"
            )
        dims, depths = settings['embed_dims'], settings['depths']
        heads = settings['num_heads']
        if len(dims) != 4 or len(depths) != 5 or dims[0] % 2:
            raise ValueError(
                'expected four embed_dims (the first one even) and five depths, but '
                f'got embed_dims={dims}, depths={depths}'
            )
        attended = (dims[0] // 2, *dims) if mixer == 'attention' else dims[2:]
        if any(dim % heads for dim in attended):
            raise ValueError(
                f'widths {attended} must be multiples of num_heads={heads}'
            )

    def _make_stage(
        self,
        index: int,
        settings: dict,
        drop_paths: Iterator[float],
        *,
        mixer: str,
        drop_rate: float,
        attn_factor: float,
        layer_scale_init_value: float,
        **unit_cfg,
    ) -> MetaSDTStage:
        if index > 2 or mixer == 'attention':
            make_block = partial(
                AttentionBlock,
                num_heads=settings['num_heads'],
                attn_factor=attn_factor,
                layer_scale_init_value=layer_scale_init_value,
            )
        else:
            make_block = partial(ConvBlock, mixer=mixer, drop_rate=drop_rate)
        blocks = [
            make_block(
                self.stage_channels[index],
                version=settings['version'],
                mlp_ratio=settings['mlp_ratio'],
                drop_path=next(drop_paths),
                **unit_cfg,
            )
            for _ in range(settings['depths'][index])
        ]
        downsample = self._make_downsample(index, **unit_cfg)
        return MetaSDTStage(downsample, blocks, self.with_cp)
