"""Feature pyramid over the only map of a single-stride backbone."""

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from snndense.registry import MODELS

from ..layers import build_neuron, build_norm, fire_before

NUM_LEVELS = 4  # four, two, one and half times the resolution of the map


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Pyramid made of one map, in the manner of ViTDet; a neck for mmdet and mmseg.

    https://arxiv.org/abs/2203.16527. A map of stride 16 becomes levels of stride 4
    (two transposed convolutions), 8 (one), 16 (none) and 32 (max pool), each behind
    a 1x1 and a 3x3 convolution; every further level halves the one before it. There
    is no top-down path.

    Differences from the paper: batch norms, which fold into the convolutions in
    front of them, instead of layer norms.

    Args:
        in_channels (list[int]): Channels of the map: the ``out_channels`` of a
            backbone with a single entry in ``out_indices``.
        out_channels (int): Channels of every level. Defaults to 256.
        num_outs (int): Number of levels, 4 or more. Defaults to 4.
        norm_cfg (dict): Batch norm. Defaults to ``dict(type='BN')``.
        init_cfg (dict | list, optional): Initialisation, as in mmengine. Defaults to
            None, torch's own.

    Shape: a tuple of one map ``(N, C, H, W)`` -> ``num_outs`` maps of
    ``out_channels`` and size ``(4*H, 4*W)``, ``(2*H, 2*W)``, ``(H, W)``,
    ``(ceil(H/2), ceil(W/2))``, and so on.

    Raises:
        ValueError: If there is not exactly one map, its channels are no multiple of
            4, or fewer than four levels are asked for.
    """

    activation = nn.GELU

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int = 256,
        num_outs: int = NUM_LEVELS,
        *,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels = list(in_channels)
        if len(self.in_channels) != 1 or self.in_channels[0] % 4:
            raise ValueError(
                f'{type(self).__name__} reads a single map of a multiple of 4 channels,'
                f' but got in_channels={self.in_channels}; give the backbone one entry '
                'in out_indices and set in_channels to its out_channels'
            )
        if num_outs < NUM_LEVELS:
            raise ValueError(f'expected num_outs >= {NUM_LEVELS}, but got {num_outs=}')
        self.out_channels = out_channels
        self.num_outs = num_outs
        dim = self.in_channels[0]
        half, quarter = dim // 2, dim // 4
        resize_layers = (
            [
                nn.ConvTranspose2d(dim, half, 2, stride=2, bias=False),
                build_norm(norm_cfg, half),
                self.activation(),
                nn.ConvTranspose2d(half, quarter, 2, stride=2),
            ],
            [nn.ConvTranspose2d(dim, half, 2, stride=2)],
            [],
            [nn.MaxPool2d(2, ceil_mode=True)],
        )
        self.levels = nn.ModuleList()
        for width, layers in zip((quarter, half, dim, dim), resize_layers, strict=True):
            output_layers = (
                nn.Conv2d(width, out_channels, 1, bias=False),
                build_norm(norm_cfg, out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                build_norm(norm_cfg, out_channels),
            )
            self.levels.append(nn.Sequential(*layers, *output_layers))

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        channels = [x.shape[1] for x in inputs]
        if channels != self.in_channels:
            raise ValueError(
                f'{type(self).__name__} was built with in_channels={self.in_channels}, '
                f'but the backbone hands over maps of {channels} channels; set '
                "in_channels to the backbone's out_channels"
            )
        outs = [level(inputs[0]) for level in self.levels]
        while len(outs) < self.num_outs:
            outs.append(max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)


@MODELS.register_module()
class SpikeSimpleFeaturePyramid(SimpleFeaturePyramid):
    """:class:`SimpleFeaturePyramid` with a neuron in front of every convolution.

    Membranes leave it, as they leave
    :class:`~snndense.models.det.spike_fpn.SpikeFPN`; the heads fire on them.

    Args:
        in_channels, out_channels, num_outs: As in the base class.
        time_steps (int): T of the map. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``.
        **kwargs: ``norm_cfg`` and ``init_cfg``.

    Shape: ``(T*N, C, H, W)`` -> ``(T*N, ...)``, as in the base class.
    """

    activation = nn.Identity

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int = 256,
        num_outs: int = NUM_LEVELS,
        *,
        time_steps: int = 1,
        neuron_cfg: dict = dict(  # noqa: B006 (read only)
            type='snndense.IntegerLIF', levels=4, norm=1
        ),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, out_channels, num_outs, **kwargs)
        self.time_steps = time_steps
        for module in list(self.modules()):
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                fire_before(module, build_neuron(neuron_cfg, time_steps))
