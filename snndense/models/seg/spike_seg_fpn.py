"""Spiking feature pyramid for segmentation."""

import torch
from mmcv.cnn import ConvModule
from mmseg.models.necks import FPN
from torch import nn

from snndense.registry import MODELS

from ..layers import build_neuron, fire_before


@MODELS.register_module()
class SpikeSegFPN(FPN):
    """mmseg's FPN with a neuron in front of every convolution.

    Two published forms: ``QFPN`` of SDT-V3 (https://arxiv.org/abs/2411.16061) and
    of the ST-ERF models (https://arxiv.org/abs/2510.21403) is the default
    (divisor ``norm=4`` in the former, ``norm=1`` in the latter); ``FPN_SNN`` of
    SDT-V2 is ``neuron_cfg=dict(type='snndense.LIF'), norm_cfg=None`` with T steps.

    Differences from the published code: ``norm_cfg``, ``no_norm_on_lateral`` and
    extra levels are honoured instead of ignored.

    Args:
        in_channels (list[int]): Channels of the backbone's maps.
        out_channels (int): Channels of the pyramid.
        num_outs (int): Number of maps returned.
        time_steps (int): T of the backbone. Defaults to 1.
        neuron_cfg (dict): Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``.
        norm_cfg (dict, optional): Defaults to ``dict(type='BN')``.
        conv_bias (bool): Whether convolutions keep their bias in front of a norm,
            as published. Defaults to True.
        **kwargs: See mmseg's ``FPN``.

    Shape: maps ``(T*N, C_i, H_i, W_i)`` -> maps ``(T*N, out_channels, H_i, W_i)``
    of membrane potentials.

    Raises:
        ValueError: If an activation behind the convolutions is asked for.
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
        norm_cfg: dict | None = dict(type='BN'),  # noqa: B006 (read only)
        conv_bias: bool = True,
        **kwargs,
    ) -> None:
        for name in ('act_cfg', 'relu_before_extra_convs'):
            if kwargs.get(name):
                raise ValueError(
                    f'{name} must stay unset in {type(self).__name__}: the neuron in '
                    'front of the next convolution is the nonlinearity'
                )
        super().__init__(
            in_channels, out_channels, num_outs, norm_cfg=norm_cfg, **kwargs
        )
        self.time_steps = time_steps
        for conv in (*self.lateral_convs, *self.fpn_convs):
            if conv_bias:
                _keep_bias(conv)
            fire_before(conv, build_neuron(neuron_cfg, time_steps))


def _keep_bias(module: ConvModule) -> None:
    """Give a ConvModule the bias that it drops in front of a norm."""
    if module.conv.bias is None:
        module.conv.bias = nn.Parameter(torch.zeros(module.conv.out_channels))
