"""LSFormer (re-design): flat classifiers and pyramids for dense prediction."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate, islice
from operator import mul

from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import (
    DropPath,
    SpikeConv,
    build_neuron,
    build_norm,
    checkpoint_module,
    drop_path_ramp,
)
from .base import SpikingBackbone
from .lsformer_attention import ATTENTIONS, build_mixer
from .lsformer_pooling import SPooling

SHORTCUTS = ('ms', 'sew')
OUT_TYPES = ('norm', 'spike', 'membrane')


def spiking_branch(layer: nn.Module, neuron: nn.Module, shortcut: str) -> nn.Module:
    """``layer`` behind its neuron (membrane shortcut) or in front of it (SEW)."""
    parts = [('neuron', neuron), ('layer', layer)]
    return nn.Sequential(OrderedDict(parts if shortcut == 'ms' else parts[::-1]))


class LSFormerBlock(nn.Module):
    """``x += attn(x)``, then ``x += mlp(x)``.

    Args:
        dim (int): Channels C.
        attn (nn.Module): Token mixer, from spikes to currents.
        mlp_ratio (int): Hidden width of the MLP over C.
        shortcut (str): ``'ms'``: x is a membrane and every branch fires first;
            ``'sew'``: x are spikes and every branch fires last.
        drop_path (float): Probability of dropping each branch.
        neuron_cfg, norm_cfg, time_steps: As in :class:`LSFormer`.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        attn: nn.Module,
        *,
        mlp_ratio: int,
        shortcut: str,
        drop_path: float,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        mlp = nn.Sequential(
            SpikeConv(dim, mlp_ratio * dim, 1, norm_cfg=norm_cfg),
            SpikeConv(mlp_ratio * dim, dim, 1, **unit_cfg),
        )
        self.attn, self.mlp = (
            spiking_branch(layer, build_neuron(neuron_cfg, time_steps), shortcut)
            for layer in (attn, mlp)
        )
        self.drop_path = DropPath(drop_path, time_steps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.mlp(x))


class LSFormerStage(nn.Module):
    """Neuron, pooling and 3x3 convolution, then blocks.

    Args:
        in_channels (int): Channels of the stage before.
        dim (int): Channels C.
        spool_cfg (dict, optional): ``spool`` and ``kernel_size`` of the pooling;
            None keeps the resolution.
        attn_cfg (dict): Arguments of :func:`build_mixer`.
        mlp_ratio (int): Hidden width of the MLPs over C.
        shortcut (str): See :class:`LSFormerBlock`.
        drop_paths (list[float]): Probability of dropping a branch, one per block.
        with_cp (bool): Whether to recompute all of them in the backward pass.
        neuron_cfg, norm_cfg, time_steps: As in :class:`LSFormer`.

    Shape: ``(T*N, C_in, H, W) -> (T*N, C, ceil(H / s), ceil(W / s))``, s = 2 with a
    pooling and 1 without.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        *,
        spool_cfg: dict | None,
        attn_cfg: dict,
        mlp_ratio: int,
        shortcut: str,
        drop_paths: list[float],
        with_cp: bool,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        embed = nn.Sequential()
        if spool_cfg is not None:
            embed.add_module('pool', SPooling(in_channels, **spool_cfg, **unit_cfg))
        embed.add_module('conv', SpikeConv(in_channels, dim, 3, norm_cfg=norm_cfg))
        neuron = build_neuron(neuron_cfg, time_steps)
        self.patch_embed = spiking_branch(embed, neuron, shortcut)
        self.blocks = nn.ModuleList(
            LSFormerBlock(
                dim,
                build_mixer(dim=dim, **attn_cfg, **unit_cfg),
                mlp_ratio=mlp_ratio,
                shortcut=shortcut,
                drop_path=drop_path,
                **unit_cfg,
            )
            for drop_path in drop_paths
        )
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        # the maps of a flat model's stem are its largest
        for module in (self.patch_embed, *self.blocks):
            x = checkpoint_module(module, x, self.with_cp)
        return x


def _flat(dim: int, depth: int, pools: tuple = (True,) * 4) -> dict:
    """Sizes of a classifier: a stem of four convolutions, then blocks of one width."""
    return dict(
        stem=(3, 1),
        embed_dims=(dim // 4, dim // 2, dim, dim),
        pools=pools,
        depths=(0, 0, 0, depth),
        num_heads=(dim // 128, dim // 64, dim // 32, dim // 32),
        dilations=(1, 2, 3, 4),
        mlp_ratio=4,
    )


def _pyramid(embed_dims: tuple, depths: tuple) -> dict:
    """Sizes of a dense backbone: attention at strides 4, 8, 16 and 32."""
    return dict(
        stem=(7, 2),
        embed_dims=embed_dims,
        pools=(True,) * 4,
        depths=depths,
        num_heads=tuple(dim // 32 for dim in embed_dims),
        dilations=((1, 2), *[(1, 2, 3, 4)] * 3),
        mlp_ratio=4,
    )


@MODELS.register_module()
class LSFormer(SpikingBackbone):
    """Spiking transformer of local dilated-window attention and response pooling.

    LSFormer (re-design). Of LSFormer (https://arxiv.org/abs/2605.13887) neither code
    nor, to us, the full text is available. Its abstract names two parts: spiking
    response pooling in place of max pooling (:class:`SPooling`) and local
    structure-aware spiking self-attention over a local dilated window in place of
    global attention (:class:`LSSSA`). Their formulas, all sizes and the pyramid for
    dense prediction are our choice; the skeleton is that of Spikformer
    (https://arxiv.org/abs/2209.15425) with the membrane shortcut. The paper's
    results are its own, not those of this model.

    A stem convolution reads the image; every stage is neuron, pooling, 3x3
    convolution, blocks. The flat sizes have blocks in the last stage only: their
    first three taps are those of a convolutional stem that has seen no attention.

    Args:
        arch (str | dict): Classifiers ``'cifar'``, ``'tiny'`` (both stride 4),
            ``'tiny-s8'``, ``'dvs'``, ``'ncaltech'`` (for events, ``in_channels=2``),
            ``'8-384'``, ``'8-512'``, ``'8-768'`` (stride 16); pyramids ``'h-t'``,
            ``'h-s'``, ``'h-b'`` (strides 4, 8, 16, 32); or a dict with the same
            keys. Defaults to ``'h-t'``.
        in_channels (int): Input channels. Defaults to 3.
        embed_dims (tuple[int], optional): Channels of the stages; the stem has half
            of the first. None: from ``arch``, as the next four.
        depths (tuple[int], optional): Blocks per stage.
        num_heads (tuple[int], optional): Attention heads per stage.
        dilations (tuple, optional): Rates of the attention window, of all stages or
            one tuple per stage; they divide the heads into equal groups.
        mlp_ratio (int, optional): Hidden width of the MLPs over channels.
        window_size (int): Side of the attention window, odd. Defaults to 3.
        attn (str | tuple[str]): Token mixer, of all stages or per stage: ``'ls'``,
            ``'global'`` (all tokens, :class:`SSA`) or ``'none'`` (a depthwise
            convolution, :class:`LocalMixer`). Defaults to ``'ls'``.
        rel_bias (bool): Whether LS-SSA has the offset term. Defaults to True.
        learn_scale (bool): Whether every head learns its scale. Defaults to False.
        spool (str): Pooling: ``'if'``, ``'lif'``, ``'bn'``, ``'dw'``, ``'avg'`` or
            ``'max'``, see :class:`SPooling`. Defaults to ``'if'``.
        spool_size (int): Side of the pooling window. Defaults to 3.
        shortcut (str): ``'ms'`` adds membranes, so that every convolution but the
            first reads spikes; ``'sew'`` adds spikes, as Spikformer does. Defaults
            to ``'ms'``.
        time_steps (int): T. Defaults to 4.
        neuron_cfg (dict): Neuron. Defaults to ``dict(type='LIF')``, tau 2; for an
            ``IntegerLIF`` set ``time_steps=1``.
        norm_cfg (dict): Batch norm. Defaults to ``dict(type='BN')``.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly
            from 0. Defaults to 0.0.
        out_indices (tuple[int]): Taps to return. Defaults to (0, 1, 2, 3).
        out_type (str): ``'norm'`` normalises a tap with a batch norm of its own,
            for stock necks and heads; ``'spike'`` fires, for a Linear classifier;
            ``'membrane'`` leaves it as it is, for spiking ones. With the SEW
            shortcut the last two are the summed spikes. Defaults to ``'norm'``.
        out_mode, frozen_stages, norm_eval, with_cp, init_cfg: See
            :class:`~snndense.models.backbones.base.SpikingBackbone`. Convolutions
            start as truncated normal of std 0.02 (1x1) or Kaiming normal.

    Shape: images ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)`` of any
    height and width to a tuple of maps, see ``out_mode``. Sides are halved to
    ``ceil``.

    Raises:
        ValueError: For an unknown arch or option, per-stage tuples of different
            lengths, or a window, dilations or heads that do not fit.
    """

    arch_settings = {
        'cifar': _flat(384, 4, (False, False, True, True)),
        'tiny': _flat(384, 4, (False, False, True, True)),
        'tiny-s8': _flat(384, 4, (False, True, True, True)),
        'dvs': _flat(256, 2),
        'ncaltech': _flat(256, 2),
        '8-384': _flat(384, 8),
        '8-512': _flat(512, 8),
        '8-768': _flat(768, 8),
        'h-t': _pyramid((64, 128, 256, 384), (2, 2, 6, 2)),
        'h-s': _pyramid((64, 128, 384, 512), (2, 2, 8, 2)),
        'h-b': _pyramid((128, 256, 512, 768), (2, 2, 8, 2)),
    }

    def __init__(
        self,
        arch: str | dict = 'h-t',
        *,
        in_channels: int = 3,
        embed_dims: tuple[int, ...] | None = None,
        depths: tuple[int, ...] | None = None,
        num_heads: tuple[int, ...] | None = None,
        dilations: tuple | None = None,
        mlp_ratio: int | None = None,
        window_size: int = 3,
        attn: str | tuple[str, ...] = 'ls',
        rel_bias: bool = True,
        learn_scale: bool = False,
        spool: str = 'if',
        spool_size: int = 3,
        shortcut: str = 'ms',
        time_steps: int = 4,
        neuron_cfg: dict = dict(type='LIF'),  # noqa: B006 (read only)
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        out_type: str = 'norm',
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
            dilations=dilations,
            mlp_ratio=mlp_ratio,
        )
        settings = self._per_stage(settings, attn)
        self._check_settings(settings, shortcut, out_type)
        dims, (kernel_size, stride) = settings['embed_dims'], settings['stem']
        factors = [2 if pool else 1 for pool in settings['pools']]
        super().__init__(
            stage_channels=dims,
            stage_strides=tuple(accumulate([stride * factors[0], *factors[1:]], mul)),
            in_channels=in_channels,
            time_steps=time_steps,
            out_indices=out_indices,
            out_mode=out_mode,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        self.stem = SpikeConv(
            in_channels, dims[0] // 2, kernel_size, stride=stride, norm_cfg=norm_cfg
        )
        self.stem_neuron = nn.Identity()
        if shortcut == 'sew':
            self.stem_neuron = build_neuron(neuron_cfg, time_steps)
        drop_paths = iter(drop_path_ramp(drop_path_rate, sum(settings['depths'])))
        self.stages = nn.ModuleList(
            self._make_stage(
                index,
                settings,
                drop_paths,
                attn_cfg=dict(
                    window_size=window_size, rel_bias=rel_bias, learn_scale=learn_scale
                ),
                spool_cfg=dict(spool=spool, kernel_size=spool_size),
                shortcut=shortcut,
                **unit_cfg,
            )
            for index in range(self.num_stages)
        )
        self.out_layers = self._make_out_layers(out_type, shortcut, **unit_cfg)
        self._init_convs()
        self._freeze_stages()

    @staticmethod
    def _per_stage(settings: dict, attn: str | tuple[str, ...]) -> dict:
        num_stages = len(settings['embed_dims'])
        attns = (attn,) * num_stages if isinstance(attn, str) else tuple(attn)
        dilations = settings['dilations']
        if not isinstance(dilations, (tuple, list)):
            raise ValueError(
                'expected dilations to be integers, or a tuple of them per stage, but '
                f'got {dilations=}'
            )
        if not any(isinstance(rates, (tuple, list)) for rates in dilations):
            dilations = (tuple(dilations),) * num_stages
        return {**settings, 'dilations': dilations, 'attn': attns}

    @staticmethod
    def _check_settings(settings: dict, shortcut: str, out_type: str) -> None:
        names = ('embed_dims', 'depths', 'num_heads', 'dilations', 'pools', 'attn')
        lengths = {name: len(settings[name]) for name in names}
        if len(set(lengths.values())) > 1:
            raise ValueError(f'expected one entry per stage, but got {lengths}')
        if settings['embed_dims'][0] % 2:
            raise ValueError(
                'expected an even first width (the stem has half of it), but got '
                f'embed_dims={settings["embed_dims"]}'
            )
        for rates in settings['dilations']:
            if not isinstance(rates, (tuple, list)):
                raise ValueError(
                    'expected a tuple of dilations for every stage, but got dilations='
                    f'{settings["dilations"]}'
                )
        if any(attn not in ATTENTIONS for attn in settings['attn']):
            raise ValueError(
                f'expected attn in {ATTENTIONS}, but got attn={settings["attn"]}'
            )
        if shortcut not in SHORTCUTS:
            raise ValueError(f'expected shortcut in {SHORTCUTS}, but got {shortcut=}')
        if out_type not in OUT_TYPES:
            raise ValueError(f'expected out_type in {OUT_TYPES}, but got {out_type=}')

    def _make_stage(
        self,
        index: int,
        settings: dict,
        drop_paths: Iterator[float],
        *,
        attn_cfg: dict,
        spool_cfg: dict,
        shortcut: str,
        **unit_cfg,
    ) -> LSFormerStage:
        dims = settings['embed_dims']
        return LSFormerStage(
            dims[index - 1] if index else dims[0] // 2,
            dims[index],
            spool_cfg=spool_cfg if settings['pools'][index] else None,
            attn_cfg=dict(
                attn=settings['attn'][index],
                num_heads=settings['num_heads'][index],
                dilations=settings['dilations'][index],
                **attn_cfg,
            ),
            mlp_ratio=settings['mlp_ratio'],
            shortcut=shortcut,
            drop_paths=list(islice(drop_paths, settings['depths'][index])),
            with_cp=self.with_cp,
            **unit_cfg,
        )

    def _make_out_layers(
        self,
        out_type: str,
        shortcut: str,
        *,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> nn.ModuleDict:
        layers = nn.ModuleDict()
        for index, dim in zip(self.out_indices, self.out_channels, strict=True):
            if out_type == 'norm':
                layers[str(index)] = build_norm(norm_cfg, dim)
            elif out_type == 'spike' and shortcut == 'ms':
                layers[str(index)] = build_neuron(neuron_cfg, time_steps)
        return layers

    def _init_convs(self) -> None:
        for module in self.modules():
            if not isinstance(module, nn.Conv2d):
                continue
            if module.kernel_size == (1, 1):
                nn.init.trunc_normal_(module.weight, std=0.02)
            else:
                nn.init.kaiming_normal_(module.weight, mode='fan_out')

    def forward_stages(self, inputs: Tensor) -> Iterator[Tensor]:
        x = self.encode(inputs, self.stem)
        x = self.stem_neuron(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            name = str(index)
            yield self.out_layers[name](x) if name in self.out_layers else x

    def stage_modules(self, index: int) -> list[nn.Module]:
        stage = self.stages[index]
        return [self.stem, self.stem_neuron, stage] if index == 0 else [stage]

    def block_prefixes(self) -> list[str]:
        return [
            f'stages.{i}.blocks.{j}.'
            for i, stage in enumerate(self.stages)
            for j in range(len(stage.blocks))
        ]

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        depth, num_layers = super().get_layer_depth(param_name, prefix)
        if param_name.startswith(f'{prefix}out_layers.'):
            depth = num_layers - 1  # new with the task, as neck and heads are
        return depth, num_layers
