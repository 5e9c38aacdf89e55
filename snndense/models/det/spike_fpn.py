"""Feature pyramid whose convolutions read spikes."""

from itertools import chain

from mmdet.models.necks import FPN
from torch import Tensor

from snndense.registry import MODELS

from ..layers import build_neuron, fire_before


@MODELS.register_module()
class SpikeFPN(FPN):
    """Stock FPN with a neuron in front of every lateral and output convolution.

    The neck of the spiking Mask R-CNN, Cascade R-CNN and RetinaNet of SDT-V3
    (https://arxiv.org/abs/2411.16061) and of the ST-ERF models
    (https://arxiv.org/abs/2510.21403). Membranes travel between the levels: the
    top-down sums and the max-pooled extra levels are real valued, and the neuron of
    the next layer makes spikes of them. Parameters and state-dict keys are those of
    :class:`mmdet.models.necks.FPN`.

    upstream: the neck trains with ``round(clamp(x, 0, 4))`` but evaluates with
    ``round(clamp(x, 0, 1))``. Here both use the same neuron; to evaluate a published
    checkpoint, ask for the mismatch by name:
    ``neuron_cfg=dict(type='snndense.IntegerLIF', levels=1, train_levels=4, norm=1)``.

    upstream: the integer neuron of neck and heads forgets its membrane between steps,
    also where the backbone has T > 1; that is ``tau=1`` in ``neuron_cfg``.

    Args:
        in_channels (list[int]): Channels of the backbone's maps, its
            ``out_channels``.
        out_channels (int): Channels of every output map.
        num_outs (int): Number of output maps.
        time_steps (int): T of the maps. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``.
        relu_before_extra_convs (bool): Must stay False: the neuron in front of an
            extra convolution takes the place of the ReLU.
        act_cfg (dict, optional): Must stay None, for the same reason.
        **kwargs: Those of :class:`mmdet.models.necks.FPN`, such as ``start_level``,
            ``add_extra_convs``, ``norm_cfg`` and ``upsample_cfg``.

    Shape: tuple of ``(T*N, C_i, H_i, W_i)`` -> tuple of ``(T*N, C, H_i, W_i)``.

    Raises:
        ValueError: If a ReLU or an activation is asked for, or the maps do not have
            ``in_channels``.
    """

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int,
        num_outs: int,
        *,
        time_steps: int = 1,
        neuron_cfg: dict = dict(  # noqa: B006 (read only)
            type='snndense.IntegerLIF', levels=4, norm=1
        ),
        relu_before_extra_convs: bool = False,
        act_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        if relu_before_extra_convs or act_cfg is not None:
            raise ValueError(
                'SpikeFPN has neurons in front of its convolutions and no activation '
                'after them; expected relu_before_extra_convs=False and act_cfg=None, '
                f'but got {relu_before_extra_convs=}, {act_cfg=}. Choose the neuron '
                'with neuron_cfg'
            )
        super().__init__(list(in_channels), out_channels, num_outs, **kwargs)
        self.time_steps = time_steps
        for conv in chain(self.lateral_convs, self.fpn_convs):
            fire_before(conv, build_neuron(neuron_cfg, time_steps))

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        channels = [x.shape[1] for x in inputs]
        if channels != self.in_channels:
            raise ValueError(
                f'SpikeFPN was built with in_channels={self.in_channels}, but the '
                f'backbone hands over maps of {channels} channels; set in_channels to '
                "the backbone's out_channels"
            )
        return super().forward(inputs)
