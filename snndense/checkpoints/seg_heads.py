"""Key maps of the published segmentation neck and head to stock mmseg keys."""

import re

from .key_map import KeyMap
from .meta_sdt import RULES as BACKBONE_RULES


def _stock_index(match: re.Match) -> str:
    """FPNHead_SNN counts convolutions; mmseg counts the upsampling between too."""
    level, index = int(match[1]), int(match[2])
    return f'scale_heads.{level}.{2 * index if level else index}.'


# QFPN: convolution 0, norm 1; FPN_SNN: neuron 0, container 1
FPN_RULES = (
    (r'(lateral_convs|fpn_convs)\.(\d+)\.1\.0\.', r'\1.\2.'),
    (r'(lateral_convs|fpn_convs)\.(\d+)\.0\.', r'\1.\2.conv.'),
    (r'(lateral_convs|fpn_convs)\.(\d+)\.1\.', r'\1.\2.bn.'),
)

# QFPNHead: neuron 0, convolution 1, norm 2; FPNHead_SNN: neuron 0, container 1
HEAD_RULES = (
    (r'scale_heads\.(\d+)\.(\d+)\.1\.0\.', _stock_index),
    (r'(scale_heads\.\d+\.\d+)\.1\.weight', r'\1.conv.weight'),
    (r'(scale_heads\.\d+\.\d+)\.2\.', r'\1.bn.'),
)

#: Neck and head, alone or inside a segmentor.
SEG_HEADS = KeyMap((*FPN_RULES, *HEAD_RULES))

#: Whole segmentors: ``backbone.``, ``neck.`` and ``decode_head.`` keys.
SEGMENTOR = KeyMap((*BACKBONE_RULES, *FPN_RULES, *HEAD_RULES))
