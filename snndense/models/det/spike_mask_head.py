"""Mask head that reads spikes and averages over time."""

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor, nn

from snndense.registry import MODELS

from ..layers import build_neuron, fire_before, mean_over_time


@MODELS.register_module()
class SpikeFCNMaskHead(FCNMaskHead):
    """Stock FCN mask head with a neuron in front of every layer that has weights.

    From SDT-V3 (https://arxiv.org/abs/2411.16061). There is no ReLU after the
    transposed convolution. Interpolation (``'nearest'``, ``'bilinear'``) resizes
    membranes and gets no neuron; learned upsampling (``'deconv'``, ``'carafe'``)
    does. Parameters and state-dict keys are those of
    :class:`mmdet.models.roi_heads.mask_heads.FCNMaskHead`.

    upstream: only ``'deconv'`` works, and the Kaiming initialisation of upsampling
    and logits never runs; here every method works and the stock initialisation runs.

    Args:
        time_steps (int): T of the RoI features. Defaults to 1.
        neuron_cfg (dict): Neuron. Defaults to
            ``dict(type='snndense.IntegerLIF', levels=4, norm=1)``.
        **kwargs: Those of the stock head, such as ``num_convs``, ``in_channels``,
            ``conv_out_channels``, ``num_classes`` and ``upsample_cfg``.

    Shape: ``(T*K, C, s, s) -> (K, classes, 2*s, 2*s)``, K RoIs.
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
        layers = [*self.convs, self.conv_logits]
        if self.upsample_method in ('deconv', 'carafe'):
            layers.append(self.upsample)
        for layer in layers:
            fire_before(layer, build_neuron(neuron_cfg, time_steps))

    def forward(self, x: Tensor) -> Tensor:
        """Mask logits, averaged over time."""
        return mean_over_time(super().forward(x), self.time_steps)
