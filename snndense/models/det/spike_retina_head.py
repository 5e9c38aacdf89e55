"""RetinaNet head that reads spikes and averages over time."""

from itertools import chain

import torch
from mmdet.models.dense_heads import RetinaHead
from torch import Tensor

from snndense.registry import MODELS

from ..layers import build_neuron, fire_before, mean_over_time


@MODELS.register_module()
class SpikeRetinaHead(RetinaHead):
    """Stock RetinaNet head with a neuron in front of every convolution.

    From the spiking RetinaNet published with SDT-V2 (https://arxiv.org/abs/2404.03663).
    Parameters and state-dict keys are those of
    :class:`mmdet.models.dense_heads.RetinaHead`.

    upstream: inference fails, because only the loss averages over time; here
    :meth:`forward_single` does and both work.

    Args:
        num_classes (int): Number of classes without the background.
        in_channels (int): Channels of every pyramid level.
        time_steps (int): T of the maps. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to ``dict(type='snndense.LIF')``.
        share_last_neuron (bool): Whether one neuron stands in front of both
            predictors and runs over the classification feature first and then, from
            the membrane it is left with, over the regression feature.
            upstream: always so, by accident; set it to evaluate a published
            checkpoint. Defaults to False, a neuron for each predictor.
        **kwargs: Those of :class:`mmdet.models.dense_heads.RetinaHead`, such as
            ``stacked_convs``, ``feat_channels`` and ``anchor_generator``.

    Shape: ``(T*N, C, H, W)`` per level -> scores ``(N, A*classes, H, W)`` and deltas
    ``(N, 4*A, H, W)``.
    """

    virtual_steps = 1

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        time_steps: int = 1,
        neuron_cfg: dict = dict(type='snndense.LIF'),  # noqa: B006 (read only)
        share_last_neuron: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.time_steps = time_steps
        self.share_last_neuron = share_last_neuron
        for conv in chain(self.cls_convs, self.reg_convs):
            fire_before(conv, build_neuron(neuron_cfg, time_steps))
        if share_last_neuron:
            # two features one after the other: twice the steps
            self.last_neuron = build_neuron(neuron_cfg, 2 * time_steps)
        else:
            for conv in (self.retina_cls, self.retina_reg):
                fire_before(conv, build_neuron(neuron_cfg, time_steps))

    def forward_single_sequence(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and deltas of every time step: ``(T*N, ...)``, not averaged."""
        if not self.share_last_neuron:
            return super().forward_single(x)
        cls_feat = reg_feat = x
        for conv in self.cls_convs:
            cls_feat = conv(cls_feat)
        for conv in self.reg_convs:
            reg_feat = conv(reg_feat)
        # the steps of the regression follow those of the classification
        steps = (self.virtual_steps, -1)
        pair = torch.cat([x.unflatten(0, steps) for x in (cls_feat, reg_feat)], dim=1)
        spikes = self.last_neuron(pair.flatten(0, 1))  # (2*T*N, C, H, W)
        cls_spikes, reg_spikes = spikes.unflatten(0, steps).chunk(2, dim=1)
        return (
            self.retina_cls(cls_spikes.flatten(0, 1)),
            self.retina_reg(reg_spikes.flatten(0, 1)),
        )

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and deltas of one pyramid level, averaged over time."""
        cls_score, bbox_pred = self.forward_single_sequence(x)
        return (
            mean_over_time(cls_score, self.time_steps),
            mean_over_time(bbox_pred, self.time_steps),
        )
