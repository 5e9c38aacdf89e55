"""Box heads of the second stage that read spikes and average over time."""

from itertools import chain

from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import build_neuron, fire_before, mean_over_time


@MODELS.register_module()
class SpikeConvFCBBoxHead(ConvFCBBoxHead):
    """Stock convolution/FC box head with a neuron in front of every layer.

    From SDT-V3 (https://arxiv.org/abs/2411.16061). There is no ReLU after an FC
    layer, and the predictors ``fc_cls`` and ``fc_reg`` have no neuron: they read the
    real-valued output of the layer before them. Parameters and state-dict keys are
    those of :class:`mmdet.models.roi_heads.bbox_heads.ConvFCBBoxHead`.

    upstream: the outputs keep a time axis, which a patched RoI head averages, and
    ``with_avg_pool=True`` fails; here :meth:`forward` averages and pooling works.

    Args:
        time_steps (int): T of the RoI features. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``.
        **kwargs: Those of the stock head, such as ``num_shared_convs``,
            ``num_shared_fcs``, ``fc_out_channels`` and ``num_classes``.

    Shape: ``(T*K, C, s, s)`` -> scores ``(K, classes + 1)`` and deltas
    ``(K, 4*classes)``, K RoIs.
    """

    def __init__(
        self,
        *,
        time_steps: int = 1,
        neuron_cfg: dict = dict(  # noqa: B006 (read only)
            type='snndense.IntegerLIF', levels=4, norm=1
        ),
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.time_steps = time_steps
        self.relu = nn.Identity()
        layers = chain(
            self.shared_convs,
            self.shared_fcs,
            self.cls_convs,
            self.cls_fcs,
            self.reg_convs,
            self.reg_fcs,
        )
        for layer in layers:
            fire_before(layer, build_neuron(neuron_cfg, time_steps))

    def forward_sequence(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Scores and deltas of every time step: ``(T*K, ...)``, not averaged."""
        return super().forward(x)

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Scores and deltas averaged over time; None for a branch left out."""
        cls_score, bbox_pred = self.forward_sequence(x)
        if cls_score is not None:
            cls_score = mean_over_time(cls_score, self.time_steps)
        if bbox_pred is not None:
            bbox_pred = mean_over_time(bbox_pred, self.time_steps)
        return cls_score, bbox_pred


@MODELS.register_module()
class SharedSpike2FCBBoxHead(SpikeConvFCBBoxHead):
    """Two shared FC layers: the box head of the spiking Mask R-CNN.

    Args:
        **kwargs: See :class:`SpikeConvFCBBoxHead`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(num_shared_fcs=2, **kwargs)


@MODELS.register_module()
class SharedSpike4Conv1FCBBoxHead(SpikeConvFCBBoxHead):
    """Four shared convolutions, one FC layer: the spiking Cascade R-CNN's box head.

    Args:
        **kwargs: See :class:`SpikeConvFCBBoxHead`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(num_shared_convs=4, num_shared_fcs=1, **kwargs)
