"""What every backbone has in common: arguments, time, taps, freezing."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snndense.utils.key_report import ORIGIN, KeyReport, compare_keys

from ..layers import fold_time, mean_over_time, repeat_time

OUT_MODES = ('mean', 'sequence')
# how the families call the projection behind an attention, and the layer inside
ATTENTION_PROJECTIONS = ('.proj', '.proj_conv')
CONVOLUTIONS = ('conv', 'rep_conv')
# entries of arch_settings that are integers, or one integer per stage
SIZES = (
    *('embed_dims', 'depths', 'num_heads'),
    *('mlp_ratio', 'patch_sizes', 'group_size'),
)
NOT_BUILT = 'of stages that out_indices does not build'
NOT_PUBLISHED = 'in no published model, starts anew'


def _group(key: str) -> str:
    """Stage that a backbone's key belongs to, such as ``'stages.3'``."""
    first, *rest = key.split('.')
    return f'{first}.{rest[0]}' if rest and rest[0].isdigit() else first


class SpikingBackbone(BaseModule):
    """Base class of the spiking backbones.

    A subclass names its published sizes in ``arch_settings``, builds stages only
    up to ``max(out_indices)`` (what nobody reads does not exist, so that no
    parameter is unused), yields their maps from :meth:`forward_stages` and calls
    :meth:`_freeze_stages` at the end of its constructor.

    Args:
        stage_channels (tuple[int]): Channels of every tap.
        stage_strides (tuple[int]): True stride of every tap.
        in_channels (int): Channels of the input. Defaults to 3.
        time_steps (int): T. Defaults to 1.
        out_indices (tuple[int]): Taps to return, in this order; negative numbers
            count from the end.
        out_mode (str): ``'mean'`` returns rates ``(N, C, H, W)`` for any stock
            neck or head, ``'sequence'`` returns ``(T*N, C, H, W)`` for spiking
            ones. Defaults to ``'mean'``.
        frozen_stages (int): Stages up to this index are fixed (-1: none).
        norm_eval (bool): Whether batch norms keep their running statistics while
            training. Defaults to False.
        with_cp (bool): Whether to recompute blocks in the backward pass to save
            memory. Defaults to False.
        init_cfg (dict, optional): Initialisation, as in mmengine.

    Attributes:
        stage_channels (tuple[int]): Channels of every tap, returned or not.
        stage_strides (tuple[int]): True strides of every tap.
        out_channels (tuple[int]): Channels of the returned maps.
        out_strides (tuple[int]): True strides of the returned maps.
        virtual_steps (int): D of spike-driven execution, 1 otherwise; ``time_steps``
            then counts T x D of them. Set by
            :func:`~snndense.models.time_steps.to_spike_driven`.
        unpublished (tuple[str]): Prefixes of weights that no published model has.

    Raises:
        ValueError: For an unknown ``out_mode``, or taps or stages that do not
            exist.
    """

    arch_settings: dict[str, dict] = {}
    virtual_steps = 1
    unpublished: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        stage_channels: tuple[int, ...],
        stage_strides: tuple[int, ...],
        in_channels: int = 3,
        time_steps: int = 1,
        out_indices: tuple[int, ...],
        out_mode: str = 'mean',
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if out_mode not in OUT_MODES:
            raise ValueError(f'expected out_mode in {OUT_MODES}, but got {out_mode=}')
        if type(time_steps) is not int or time_steps < 1:
            raise ValueError(f'expected time_steps >= 1, but got {time_steps=}')
        self.in_channels = in_channels
        self.stage_channels = tuple(stage_channels)
        self.stage_strides = tuple(stage_strides)
        self.time_steps = time_steps
        self.out_indices = self._resolve_indices(out_indices, len(stage_channels))
        self.num_stages = max(self.out_indices) + 1
        if not -1 <= frozen_stages < self.num_stages:
            raise ValueError(
                f'expected -1 <= frozen_stages < {self.num_stages} (the stages built '
                f'for {out_indices=}), but got {frozen_stages=}'
            )
        self.out_mode = out_mode
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.out_channels = tuple(stage_channels[i] for i in self.out_indices)
        self.out_strides = tuple(stage_strides[i] for i in self.out_indices)

    @staticmethod
    def _resolve_indices(out_indices: tuple[int, ...], num_taps: int) -> tuple:
        if isinstance(out_indices, int):
            out_indices = (out_indices,)
        valid = range(-num_taps, num_taps)
        if not out_indices or any(i not in valid for i in out_indices):
            raise ValueError(
                f'expected out_indices to name taps in 0..{num_taps - 1} (or negative '
                f'ones), but got {out_indices=}'
            )
        resolved = tuple(i % num_taps for i in out_indices)
        if len(set(resolved)) < len(resolved):
            raise ValueError(f'out_indices names a tap twice: {out_indices=}')
        return resolved

    @classmethod
    def resolve_arch(cls, arch: str | dict, **overrides) -> dict:
        """Settings of a published size, with the given entries replaced.

        Args:
            arch (str | dict): Name in ``arch_settings``, or a dict with the same
                keys as its entries.
            **overrides: Replacements; None leaves the entry as it is.

        Raises:
            TypeError: If ``arch`` is neither.
            ValueError: If the name is unknown, a key of the dict is missing or
                unknown, or a size is no positive integer.
        """
        if isinstance(arch, str):
            if arch not in cls.arch_settings:
                raise ValueError(
                    f'unknown arch {arch!r} of {cls.__name__}; expected one of '
                    f'{tuple(cls.arch_settings)} or a dict'
                )
            settings = dict(cls.arch_settings[arch])
        elif isinstance(arch, dict):
            settings = dict(arch)
            expected = set(next(iter(cls.arch_settings.values())))
            if set(settings) != expected:
                raise ValueError(
                    f'expected an arch dict with the keys {sorted(expected)}, but got '
                    f'{sorted(settings)}'
                )
        else:
            raise TypeError(f'expected arch to be a name or a dict, but got {arch=}')
        settings.update({k: v for k, v in overrides.items() if v is not None})
        for name in SIZES:
            if name in settings:
                cls._check_size(name, settings[name])
        return settings

    @classmethod
    def _check_size(cls, name: str, size: object) -> None:
        is_single = isinstance(next(iter(cls.arch_settings.values()))[name], int)
        least = 0 if name == 'depths' and not is_single else 1
        sizes = (size,) if is_single else size
        if not isinstance(sizes, (tuple, list)) or not all(
            isinstance(x, int) and not isinstance(x, bool) and x >= least for x in sizes
        ):
            kind = 'an integer' if is_single else 'a tuple of integers'
            raise ValueError(
                f'expected {name} of {cls.__name__} to be {kind} >= {least}, but got '
                f'{name}={size!r}'
            )

    def encode(self, inputs: Tensor, stem: nn.Module) -> Tensor:
        """Pass the input through the neuron-free ``stem`` and unroll it over time.

        A static image passes the stem once and its result is repeated (direct
        encoding); event frames pass it at every step.

        Args:
            inputs (Tensor): ``(N, C, H, W)``, or event frames ``(N, T, C, H, W)``.
            stem (nn.Module): Layers in front of the first neuron.

        Returns:
            Tensor: ``(T*N, C', H', W')``.

        Raises:
            ValueError: If the input has other axes, channels or steps.
        """
        if inputs.dim() not in (4, 5) or inputs.shape[-3] != self.in_channels:
            raise ValueError(
                f'{type(self).__name__} expects images (N, {self.in_channels}, H, W) '
                f'or event frames (N, T, {self.in_channels}, H, W), but got a tensor '
                f'of shape {tuple(inputs.shape)}'
            )
        if inputs.dim() == 4:
            # upstream: the image is repeated before the stem; same values
            return repeat_time(stem(inputs), self.time_steps)
        time_steps = self.time_steps // self.virtual_steps
        if inputs.shape[1] != time_steps:
            raise ValueError(
                f'event frames have {inputs.shape[1]} steps, but the backbone was '
                f'built with {time_steps=}; set one to the other'
            )
        x = stem(fold_time(inputs.transpose(0, 1)))
        return repeat_time(x, self.virtual_steps)

    @abstractmethod
    def forward_stages(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield the map of every stage, ``(T*N, C, H, W)``, in order."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps at ``out_indices``; see ``out_mode`` for their layout."""
        maps = {
            index: x
            for index, x in enumerate(self.forward_stages(inputs))
            if index in self.out_indices
        }
        if self.out_mode == 'mean':
            maps = {i: mean_over_time(x, self.time_steps) for i, x in maps.items()}
        return tuple(maps[i] for i in self.out_indices)

    @abstractmethod
    def stage_modules(self, index: int) -> list[nn.Module]:
        """Modules that belong to one stage, for freezing."""

    def compare_weights(self, stored: Mapping[str, Tensor]) -> KeyReport:
        """How weights under the keys of this backbone fit it.

        What has to differ counts as expected: stages that ``out_indices`` does not
        build, and weights that no published model has.
        """
        wanted = self.state_dict()
        report = compare_keys(wanted, stored)
        built = {_group(key) for key in wanted}
        expected = {k: NOT_BUILT for k in report.unexpected if _group(k) not in built}
        in_file = {_group(key) for key in stored}
        for key in report.missing:
            if key.startswith(self.unpublished) and _group(key) not in in_file:
                expected[key] = NOT_PUBLISHED
        return replace(report, expected=expected)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args
    ) -> None:
        # mmengine only warns of what does not fit, and goes on with random weights
        if path := local_metadata.get(ORIGIN):
            stored = {
                key.removeprefix(prefix): value
                for key, value in state_dict.items()
                if key.startswith(prefix)
            }
            report = self.compare_weights(stored)
            if report.surprises:
                raise ValueError(
                    f'{path} does not fit this {type(self).__name__}:\n{report}\n'
                    f'{report.advice}No weights are loaded'
                )
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _freeze_stages(self) -> None:
        for index in range(self.frozen_stages + 1):
            for module in self.stage_modules(index):
                module.eval()
                for parameter in module.parameters():
                    parameter.requires_grad = False

    def train(self, mode: bool = True) -> 'SpikingBackbone':
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def stage_outputs(self) -> list[str]:
        """Names of the modules whose outputs are the maps of the stages, in order."""
        return [f'stages.{index}' for index in range(self.num_stages)]

    def erf_layers(self) -> list[str]:
        """Names of the layers that receptive fields are measured at by default.

        They are the output projections of the attentions, in front of their norm
        and neuron, as in https://arxiv.org/abs/2510.21403.
        """
        found = []
        for name, module in self.named_modules():
            if not name.endswith(ATTENTION_PROJECTIONS):
                continue
            while inner := [k for k, _ in module.named_children() if k in CONVOLUTIONS]:
                name, module = f'{name}.{inner[0]}', getattr(module, inner[0])
            found.append(name)
        return found

    @abstractmethod
    def block_prefixes(self) -> list[str]:
        """Parameter-name prefixes of the residual blocks, in order of depth."""

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning-rate decay.

        Layers in front of the first block have depth 0; a downsampling layer
        counts with the block after it; what lies outside the backbone has the
        largest depth.

        Args:
            param_name (str): Name of the parameter, with ``prefix``.
            prefix (str): Prefix of the backbone's parameters, such as
                ``'backbone.'``.

        Returns:
            tuple[int, int]: Depth and number of depths (blocks + 2).
        """
        blocks = self.block_prefixes()
        num_layers = len(blocks) + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        name = param_name[len(prefix) :]
        for depth, block in enumerate(blocks, start=1):
            if name.startswith(block):
                return depth, num_layers
        parts = name.split('.')
        for depth, block in enumerate(blocks, start=1):
            # e.g. 'stages.2.downsample.…' goes with 'stages.2.blocks.0.'
            if block.split('.')[:2] == parts[:2]:
                return depth if depth > 1 else 0, num_layers
        return 0, num_layers
