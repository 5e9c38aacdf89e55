"""Event frames as pictures."""

import numpy as np
import torch
from torch import Tensor

POLARITIES = 2
WHITE = 255
OFF_COLOUR, ON_COLOUR = (220, 40, 40), (40, 80, 220)
# of the toolboxes, which read image files, and what draws frames instead
EVENT_HOOKS = {
    'DetVisualizationHook': 'snndense.EventDetVisualizationHook',
    'VisualizationHook': 'snndense.EventVisualizationHook',
}


def event_picture(frames: np.ndarray | Tensor) -> np.ndarray:
    """Draw events of all frames together: red where pixels darken, blue else.

    Args:
        frames (np.ndarray | Tensor): ``(T, C, H, W)``, or ``(T*2, H, W)`` as a
            detector gets them; channels after the first two are not drawn.

    Returns:
        np.ndarray: RGB, uint8 ``(H, W, 3)``, white where nothing happened.
    """
    frames = torch.as_tensor(frames).float()
    if frames.dim() == 3:
        frames = frames.unflatten(0, (-1, POLARITIES))
    counts = frames[:, :POLARITIES].sum(0)  # 2 H W
    total = counts.sum(0)
    share = counts / total.clamp(min=1)
    colours = share.new_tensor((OFF_COLOUR, ON_COLOUR))
    colour = torch.einsum('phw,pc->hwc', share, colours)
    shown = (total > 0)[..., None]
    return torch.where(shown, colour, WHITE).round().byte().numpy()
