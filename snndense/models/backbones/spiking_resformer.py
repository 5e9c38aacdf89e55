"""SpikingResformer: convolutional stages of dual spike self-attention."""

from collections import OrderedDict
from collections.abc import Iterator

from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import DropPath, SpikeConv, checkpoint_module, drop_path_ramp
from .base import SpikingBackbone
from .spiking_resformer_attention import DSSA

STEM_STRIDES = {'imagenet': 4, 'conv3x3': 1}


class GWFFN(nn.Module):
    """Group-wise spiking feed-forward network.

    ``u = up(x)``, ``u += group_conv(u)``, ``down(u)``: 1x1, grouped 3x3 and 1x1
    convolutions, a neuron in front of each.

    Args:
        dim (int): Channels C.
        mlp_ratio (int): Hidden width over C.
        group_size (int): Channels of a group of the 3x3 convolution.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self, dim: int, *, mlp_ratio: int, group_size: int, **unit_cfg
    ) -> None:
        super().__init__()
        hidden = mlp_ratio * dim
        groups = hidden // group_size
        self.up = SpikeConv(dim, hidden, 1, **unit_cfg)
        self.group_conv = SpikeConv(hidden, hidden, 3, groups=groups, **unit_cfg)
        self.down = SpikeConv(hidden, dim, 1, **unit_cfg)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up(x)
        return self.down(hidden + self.group_conv(hidden))


class SpikingResformerBlock(nn.Module):
    """``x += DSSA(x)``, then ``x += GWFFN(x)``.

    Args:
        dim (int): Channels C.
        num_heads (int): Attention heads.
        patch_size (int): Patch size of keys and values.
        num_tokens (int, optional): Patches that the attention scale reckons with.
        mlp_ratio, group_size: See :class:`GWFFN`.
        drop_path (float): Probability of dropping each branch.
        pad_patches, published_rates: See :class:`SpikingResformer`.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        patch_size: int,
        *,
        num_tokens: int | None,
        mlp_ratio: int,
        group_size: int,
        drop_path: float,
        pad_patches: bool,
        published_rates: bool,
        **unit_cfg,
    ) -> None:
        super().__init__()
        self.attn = DSSA(
            dim,
            num_heads,
            patch_size,
            num_tokens=num_tokens,
            pad_patches=pad_patches,
            published_rates=published_rates,
            **unit_cfg,
        )
        self.ffn = GWFFN(dim, mlp_ratio=mlp_ratio, group_size=group_size, **unit_cfg)
        self.drop_path = DropPath(drop_path, unit_cfg['time_steps'])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.ffn(x))


class SpikingResformerStage(nn.Module):
    """Downsampling where there is one, then blocks where there are some."""

    def __init__(
        self, downsample: SpikeConv | None, blocks: list, with_cp: bool
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            x = self.downsample(x)
        for block in self.blocks:
            x = checkpoint_module(block, x, self.with_cp)
        return x


def _arch(
    embed_dims: tuple,
    num_heads: tuple,
    stem: str = 'imagenet',
    group_size: int = 64,
    neuron_type: str = 'LIF',
) -> dict:
    return dict(
        embed_dims=embed_dims,
        depths=(1, 2, 3),
        num_heads=num_heads,
        patch_sizes=(4, 2, 1),
        mlp_ratio=4,
        group_size=group_size,
        stem=stem,
        neuron_type=neuron_type,
    )


@MODELS.register_module()
class SpikingResformer(SpikingBackbone):
    """Spiking transformer with convolutional stages and dual spike self-attention.

    https://arxiv.org/abs/2403.14302. Three stages of (DSSA, GWFFN) pairs whose taps,
    the real-valued membranes, have stride 4, 8 and 16 (``'cifar'``, ``'dvsg'``: 1, 2
    and 4). The fourth tap, for heads that want one, is made as the network itself
    downsamples, a neuron, a 3x3 convolution of stride 2 to twice the channels and a
    norm; it only exists if ``out_indices`` asks for it.

    Differences from the published code: attention maps are computed in blocks, with
    equal results; image borders that do not fill a patch are seen; the attention
    scale follows the input size (``train_img_size`` fixes it); firing rates are
    averaged over all ranks and never 0 (``published_rates``); stochastic depth;
    state never outlives a call.

    Args:
        arch (str | dict): ``'ti'``, ``'s'``, ``'m'``, ``'l'``, ``'cifar'`` (3x3 stem
            of stride 1), ``'dvsg'`` (the same, with PLIF neurons), or a dict with
            the same keys. Defaults to ``'s'``.
        in_channels (int): Input channels; event frames have 3, both polarities and
            their sum. Defaults to 3.
        embed_dims (tuple[int], optional): Channels of the three stages. None: from
            ``arch``, as the next five.
        depths (tuple[int], optional): Pairs of attention and feed-forward network
            per stage.
        num_heads (tuple[int], optional): Attention heads per stage.
        patch_sizes (tuple[int], optional): Patch size of keys and values per stage.
        mlp_ratio (int, optional): Hidden width of the feed-forward network over its
            channels.
        group_size (int, optional): Channels of a group of its 3x3 convolution.
        time_steps (int): T. Defaults to 4.
        neuron_cfg (dict, optional): Neuron. None: ``LIF`` (``PLIF`` for ``'dvsg'``)
            with tau 2 and the arctan surrogate.
        norm_cfg (dict): Batch norm. Defaults to ``dict(type='BN')``.
        train_img_size (int, optional): Image size whose number of patches the
            attention scale reckons with. None: that of the input at hand. A
            published checkpoint that is evaluated at another size as it is needs the
            one it was trained with (224).
        pad_patches (bool): Whether borders that do not fill a patch are padded for
            keys and values instead of left out, as published. Defaults to True.
        published_rates (bool): Whether firing rates are computed as published, with
            infinite scales for silent heads and no exchange between ranks.
            Defaults to False.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly
            from 0. Defaults to 0.0.
        out_indices (tuple[int]): Taps to return, 0 to 3. Defaults to (0, 1, 2).
        out_mode, frozen_stages, norm_eval, with_cp: See
            :class:`~snndense.models.backbones.base.SpikingBackbone`.
        init_cfg (dict | list, optional): Defaults to truncated normal (std 0.02) for
            convolutions, as published.

    Shape: images ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)`` of any height
    and width to a tuple of maps, see ``out_mode``.

    Raises:
        ValueError: For an unknown arch, stem or neuron, or widths that heads or
            groups do not divide.
    """

    unpublished = ('stages.3.',)  # the fourth tap
    arch_settings = {
        'ti': _arch((64, 192, 384), (1, 3, 6)),
        's': _arch((64, 256, 512), (1, 4, 8)),
        'm': _arch((64, 384, 768), (1, 6, 12)),
        'l': _arch((128, 512, 1024), (2, 8, 16)),
        'cifar': _arch((64, 192, 384), (1, 3, 6), 'conv3x3'),
        'dvsg': _arch((32, 96, 192), (1, 3, 6), 'conv3x3', 32, 'PLIF'),
    }

    def __init__(
        self,
        arch: str | dict = 's',
        *,
        in_channels: int = 3,
        embed_dims: tuple[int, ...] | None = None,
        depths: tuple[int, ...] | None = None,
        num_heads: tuple[int, ...] | None = None,
        patch_sizes: tuple[int, ...] | None = None,
        mlp_ratio: int | None = None,
        group_size: int | None = None,
        time_steps: int = 4,
        neuron_cfg: dict | None = None,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        train_img_size: int | None = None,
        pad_patches: bool = True,
        published_rates: bool = False,
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (0, 1, 2),
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
            patch_sizes=patch_sizes,
            mlp_ratio=mlp_ratio,
            group_size=group_size,
        )
        self._check_settings(settings)
        dims = settings['embed_dims']
        stem_stride = STEM_STRIDES[settings['stem']]
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Conv2d', std=0.02)
        super().__init__(
            stage_channels=(*dims, 2 * dims[-1]),
            stage_strides=tuple(stem_stride * 2**i for i in range(len(dims) + 1)),
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
            neuron_cfg = dict(type=settings['neuron_type'], surrogate='atan')
        self.stem = self._make_stem(settings['stem'], in_channels, dims[0], norm_cfg)
        drop_paths = iter(drop_path_ramp(drop_path_rate, sum(settings['depths'])))
        self.stages = nn.ModuleList(
            self._make_stage(
                index,
                settings,
                drop_paths,
                train_img_size=train_img_size,
                pad_patches=pad_patches,
                published_rates=published_rates,
                neuron_cfg=neuron_cfg,
                norm_cfg=norm_cfg,
                time_steps=time_steps,
            )
            for index in range(self.num_stages)
        )
        self._freeze_stages()

    @staticmethod
    def _check_settings(settings: dict) -> None:
        if settings['stem'] not in STEM_STRIDES:
            raise ValueError(
                f'expected stem in {tuple(STEM_STRIDES)}, but got {settings["stem"]!r}'
            )
        dims, heads = settings['embed_dims'], settings['num_heads']
        lengths = {
            key: len(settings[key])
            for key in ('embed_dims', 'depths', 'num_heads', 'patch_sizes')
        }
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f'expected one entry per stage in each of {tuple(lengths)}, but they '
                f'have {tuple(lengths.values())} entries'
            )
        if any(dim % head for dim, head in zip(dims, heads, strict=True)):
            raise ValueError(
                f'embed_dims={dims} must be multiples of num_heads={heads}'
            )
        hidden = tuple(settings['mlp_ratio'] * dim for dim in dims)
        if any(width % settings['group_size'] for width in hidden):
            raise ValueError(
                f'hidden widths {hidden} (mlp_ratio times embed_dims) must be '
                f'multiples of group_size={settings["group_size"]}'
            )

    @staticmethod
    def _make_stem(
        kind: str, in_channels: int, dim: int, norm_cfg: dict
    ) -> nn.Sequential:
        if kind == 'conv3x3':
            conv = SpikeConv(in_channels, dim, 3, norm_cfg=norm_cfg)
            return nn.Sequential(OrderedDict(embed=conv))
        conv = SpikeConv(in_channels, dim, 7, stride=2, norm_cfg=norm_cfg)
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        return nn.Sequential(OrderedDict(embed=conv, pool=pool))

    def _make_stage(
        self,
        index: int,
        settings: dict,
        drop_paths: Iterator[float],
        *,
        train_img_size: int | None,
        pad_patches: bool,
        published_rates: bool,
        **unit_cfg,
    ) -> SpikingResformerStage:
        downsample, blocks = None, []
        if index > 0:
            dim_in, dim_out = self.stage_channels[index - 1 : index + 1]
            downsample = SpikeConv(dim_in, dim_out, 3, stride=2, **unit_cfg)
        if index < len(settings['embed_dims']):
            stride, patch = self.stage_strides[index], settings['patch_sizes'][index]
            num_tokens = self._num_tokens(train_img_size, stride, patch)
            blocks = [
                SpikingResformerBlock(
                    settings['embed_dims'][index],
                    settings['num_heads'][index],
                    patch,
                    num_tokens=num_tokens,
                    mlp_ratio=settings['mlp_ratio'],
                    group_size=settings['group_size'],
                    drop_path=next(drop_paths),
                    pad_patches=pad_patches,
                    published_rates=published_rates,
                    **unit_cfg,
                )
                for _ in range(settings['depths'][index])
            ]
        return SpikingResformerStage(downsample, blocks, self.with_cp)

    @staticmethod
    def _num_tokens(img_size: int | None, stride: int, patch: int) -> int | None:
        if img_size is None:
            return None
        side = img_size // stride // patch
        if side < 1:
            raise ValueError(
                f'expected train_img_size >= {stride * patch} (a patch), but got '
                f'train_img_size={img_size}'
            )
        return side**2

    def forward_stages(self, inputs: Tensor) -> Iterator[Tensor]:
        x = self.encode(inputs, self.stem)  # (T*N, C, H/4, W/4)
        for stage in self.stages:
            x = stage(x)
            yield x

    def stage_modules(self, index: int) -> list[nn.Module]:
        stage = self.stages[index]
        return [stage] if index else [self.stem, stage]

    def block_prefixes(self) -> list[str]:
        prefixes = []
        for i, stage in enumerate(self.stages):
            blocks = [f'stages.{i}.blocks.{j}.' for j in range(len(stage.blocks))]
            prefixes += blocks or [f'stages.{i}.']
        return prefixes
