"""Region proposal network that reads spikes and averages over time."""

from mmdet.models.dense_heads import RPNHead
from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import build_neuron, fire_before, mean_over_time


@MODELS.register_module()
class SpikeRPNHead(RPNHead):
    """Stock RPN head with a neuron in front of every convolution.

    From SDT-V3 (https://arxiv.org/abs/2411.16061). The neurons in front of the two
    predictors replace the ReLU between them and the shared convolution. Parameters
    and state-dict keys are those of :class:`mmdet.models.dense_heads.RPNHead`.

    upstream: scores and deltas are averaged over time in patched loss and prediction
    code of the toolbox; here at the end of :meth:`forward_single`, with the same
    result, so that everything after it is stock.

    Args:
        in_channels (int): Channels of every pyramid level.
        time_steps (int): T of the maps. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``.
        **kwargs: Those of :class:`mmdet.models.dense_heads.RPNHead`, such as
            ``feat_channels``, ``num_convs`` and ``anchor_generator``.

    Shape: ``(T*N, C, H, W)`` per level -> scores ``(N, A, H, W)`` and deltas
    ``(N, 4*A, H, W)``.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        time_steps: int = 1,
        neuron_cfg: dict = dict(  # noqa: B006 (read only)
            type='snndense.IntegerLIF', levels=4, norm=1
        ),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, **kwargs)
        self.time_steps = time_steps
        is_stacked = isinstance(self.rpn_conv, nn.Sequential)
        convs = [*self.rpn_conv] if is_stacked else [self.rpn_conv]
        for conv in (*convs, self.rpn_cls, self.rpn_reg):
            fire_before(conv, build_neuron(neuron_cfg, time_steps))

    def forward_single_sequence(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and deltas of every time step: ``(T*N, ...)``, not averaged."""
        x = self.rpn_conv(x)
        return self.rpn_cls(x), self.rpn_reg(x)

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and deltas of one pyramid level, averaged over time."""
        cls_score, bbox_pred = self.forward_single_sequence(x)
        return (
            mean_over_time(cls_score, self.time_steps),
            mean_over_time(bbox_pred, self.time_steps),
        )
