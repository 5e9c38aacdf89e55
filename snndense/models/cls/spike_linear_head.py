"""Linear classification head that reads spikes."""

from mmpretrain.models.heads import LinearClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import build_neuron, mean_over_time


@MODELS.register_module()
class SpikeLinearClsHead(LinearClsHead):
    """A neuron on the pooled features, a Linear layer, the mean over time.

    The head of SDT-V2 (``LIF``), SDT-V3 and Meta-SDT (``IntegerLIF`` with
    ``norm=1``, so that the Linear layer reads integers 0..D), of SpikingResformer (no
    neuron, no bias) and of SDT-V3 large (``fc_reads_membranes``). Put it behind a
    backbone with ``out_mode='sequence'`` and ``GlobalAveragePooling``.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the pooled features.
        time_steps (int): T of the backbone. Defaults to 1.
        neuron_cfg (dict, optional): Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``; None lets the
            Linear layer read the pooled membranes.
        bias (bool): Whether the Linear layer has a bias. Defaults to True.
        with_kd_head (bool): Whether a second Linear layer, trained on a teacher's
            labels (see :class:`DistilledClassifier`), reads the same spikes; the logits
            are the average of both. Defaults to False.
        fc_reads_membranes (bool): Whether the first Linear layer reads the pooled
            membranes and only the second (``with_kd_head``) the spikes, as published
            for SDT-V3 large. Defaults to False.
        loss_per_step (bool): Whether the loss is the mean of the losses of the T
            steps' logits, as in TET (https://arxiv.org/abs/2202.11946), instead of
            the loss of their mean. Predictions are the same. Defaults to False.
        init_cfg (dict, optional): Defaults to truncated normal with std 0.02.
        **kwargs: See mmpretrain's ``LinearClsHead``.

    Shape: a tuple whose last entry is ``(T*N, C)`` -> logits ``(N, num_classes)``.

    Raises:
        ValueError: If ``fc_reads_membranes`` leaves the neuron without a reader.
        ValueError: For ``loss_per_step`` together with ``with_kd_head``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        time_steps: int = 1,
        neuron_cfg: dict | None = dict(  # noqa: B006 (read only)
            type='snndense.IntegerLIF', levels=4, norm=1
        ),
        bias: bool = True,
        with_kd_head: bool = False,
        fc_reads_membranes: bool = False,
        loss_per_step: bool = False,
        init_cfg: dict | None = dict(  # noqa: B006 (read only)
            type='TruncNormal', layer='Linear', std=0.02, bias=0.0
        ),
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, init_cfg=init_cfg, **kwargs)
        if fc_reads_membranes and not (with_kd_head and neuron_cfg):
            raise ValueError(
                'fc_reads_membranes leaves the spikes to the second layer and needs '
                'with_kd_head=True and a neuron_cfg; a head whose only layer reads '
                'membranes has neuron_cfg=None'
            )
        self.fc_reads_membranes = fc_reads_membranes
        if loss_per_step and with_kd_head:
            raise ValueError(
                'the loss of with_kd_head=True is that of DistilledClassifier; leave '
                'loss_per_step out'
            )
        self.loss_per_step = loss_per_step
        self.time_steps = time_steps
        self.neuron = build_neuron(neuron_cfg, time_steps) if neuron_cfg else None
        if not bias:
            self.fc.bias = None
        self.fc_kd = nn.Linear(in_channels, num_classes) if with_kd_head else None

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Spikes (membranes without a neuron) of the last map, ``(T*N, C)``."""
        x = super().pre_logits(feats)
        return x if self.neuron is None else self.neuron(x)

    def forward_pair(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Logits of both layers (``with_kd_head``), ``(N, num_classes)`` each."""
        spikes = self.pre_logits(feats)
        features = feats[-1] if self.fc_reads_membranes else spikes
        return (
            mean_over_time(self.fc(features), self.time_steps),
            mean_over_time(self.fc_kd(spikes), self.time_steps),
        )

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        if self.fc_kd is None:
            return mean_over_time(self.fc(self.pre_logits(feats)), self.time_steps)
        # upstream: training returns the pair; averaged here in both modes
        return sum(self.forward_pair(feats)) / 2  # (N, num_classes)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs
    ) -> dict[str, Tensor]:
        """Losses, see mmpretrain's ``ClsHead``."""
        if not self.loss_per_step:
            return super().loss(feats, data_samples, **kwargs)
        logits = self.fc(self.pre_logits(feats))  # (T*N, num_classes)
        return self._get_loss(logits, data_samples * self.time_steps, **kwargs)
