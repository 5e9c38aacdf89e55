"""Key map of whole published detectors: Meta-SDT backbone, spiking neck and heads.

The published modules wrap every layer as ``Sequential(neuron, container(layer))``,
hence ``1.0`` = (after the neuron).(first in the container). Ours are stock layers
with stock keys.
"""

import re

from .key_map import KeyMap
from .meta_sdt import META_SDT


def _retina_conv(match: re.Match) -> str:
    # neurons and containers alternate in one list: container k has the index 2k + 1
    return f'bbox_head.{match[1]}_convs.{int(match[2]) // 2}.'


NECK = ((r'^(neck\.(?:lateral|fpn)_convs\.\d+)\.1\.0\.', r'\1.'),)

RPN_HEAD = (
    (r'^rpn_head\.(rpn_conv|rpn_cls|rpn_reg)\.1\.0\.(weight|bias)$', r'rpn_head.\1.\2'),
    (r'^(rpn_head\.rpn_conv\.\d+)\.1\.0\.conv\.', r'\1.conv.'),
)

RETINA_HEAD = (
    (r'^bbox_head\.(cls|reg)_convs\.(\d+)\.0\.', _retina_conv),
    (r'^(bbox_head\.retina_(?:cls|reg))\.0\.', r'\1.'),
)

# a cascade has the stage number after 'bbox_head.' and 'mask_head.'
ROI_HEAD = (
    (
        r'^(roi_head\.bbox_head\.(?:\d+\.)?(?:shared|cls|reg)_(?:convs|fcs)\.\d+)'
        r'\.1\.0\.',
        r'\1.',
    ),
    (
        r'^(roi_head\.mask_head\.(?:\d+\.)?(?:convs\.\d+|upsample|conv_logits))'
        r'\.1\.0\.',
        r'\1.',
    ),
)

DETECTOR = KeyMap(
    (*NECK, *RPN_HEAD, *RETINA_HEAD, *ROI_HEAD), parts={'backbone.': META_SDT}
)
