"""RoI features of every time step in one call."""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from snndense.registry import MODELS

from ..layers import repeat_time, unfold_time


@MODELS.register_module()
class SpikeSingleRoIExtractor(SingleRoIExtractor):
    """Stock RoI extractor for maps with time folded into the batch.

    The RoIs are repeated T times, those of step t with the image index n + t * N, so
    that every level is pooled once for all steps and the stock ``StandardRoIHead``
    and ``CascadeRoIHead`` work as they are.

    upstream: the RoI head pools one time step after the other and stacks the
    results; same values.

    Samplers that look at features (``OHEMSampler``) hand over one entry of the first
    axis per image and therefore need T = 1, and so does a mask branch without a
    ``mask_roi_extractor`` of its own, which picks RoIs from the box features.

    Args:
        time_steps (int): T of the maps. Defaults to 1.
        **kwargs: Those of the stock extractor: ``roi_layer``, ``out_channels``,
            ``featmap_strides``, ``finest_scale``.

    Shape: maps ``(T*N, C, H_i, W_i)`` and RoIs ``(K, 5)`` -> ``(T*K, C, s, s)``.

    Raises:
        ValueError: If the first axis of the maps is not a multiple of
            ``time_steps``.
    """

    def __init__(self, *, time_steps: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.time_steps = time_steps

    def forward(
        self,
        feats: tuple[Tensor, ...],
        rois: Tensor,
        roi_scale_factor: float | None = None,
    ) -> Tensor:
        num_images = unfold_time(feats[0], self.time_steps).shape[1]
        steps = torch.arange(self.time_steps, device=rois.device)
        offsets = (steps * num_images).repeat_interleave(len(rois))
        rois = repeat_time(rois, self.time_steps)  # (T*K, 5)
        indices = rois[:, :1] + offsets[:, None]
        rois = torch.cat((indices, rois[:, 1:]), dim=1)
        dtype = feats[0].dtype
        if dtype == torch.bfloat16:  # which mmcv's RoIAlign has no kernel for
            feats = tuple(x.float() for x in feats)
        return super().forward(feats, rois, roi_scale_factor).to(dtype)
