"""Key maps of the published segmentation neck and head to stock mmseg keys."""

import re

from torch import Tensor

from .dense_heads import find_norm_cfg
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


def segmentor_parts(state_dict: dict[str, Tensor], backbone: dict) -> dict[str, dict]:
    """Configs of neck and head that a converted segmentor's weights belong to.

    ``QFPN`` and ``QFPNHead`` have integer neurons: rates 0, 1/4, ..., 1 in SDT-V3,
    which is told from its convolutional mixer, counts 0 to 4 in the ST-ERF models.
    ``FPN_SNN`` and ``FPNHead_SNN`` have LIF neurons and, since the published backbone
    averages before them, one step.

    Args:
        state_dict (dict[str, Tensor]): Weights under our keys.
        backbone (dict): Config of the backbone.

    Returns:
        dict[str, dict]: Configs with ``type`` by the place of the module.
    """
    if backbone['neuron_cfg']['type'] == 'snndense.LIF':
        neuron_cfg = dict(type='snndense.LIF')
    else:
        norm = 4 if backbone['mixer'] == 'conv' else 1
        neuron_cfg = dict(type='snndense.IntegerLIF', levels=4, norm=norm)
    laterals = _numbered(state_dict, r'neck\.lateral_convs\.(\d+)\.conv\.weight')
    levels = _numbered(state_dict, r'decode_head\.scale_heads\.(\d+)\.0\.conv\.weight')
    parts = {}
    if laterals:
        parts['neck'] = dict(
            type='snndense.SpikeSegFPN',
            in_channels=[conv.shape[1] for conv in laterals],
            out_channels=laterals[0].shape[0],
            num_outs=len(laterals),
            norm_cfg=find_norm_cfg(state_dict, 'neck.lateral_convs.0.bn.weight'),
            conv_bias='neck.lateral_convs.0.conv.bias' in state_dict,
            neuron_cfg=neuron_cfg,
        )
    if levels:
        parts['decode_head'] = dict(
            type='snndense.SpikeFPNHead',
            in_channels=[conv.shape[1] for conv in levels],
            in_index=[*range(len(levels))],
            feature_strides=[2 ** (i + 1) for i in range(len(levels))],
            channels=levels[0].shape[0],
            num_classes=state_dict['decode_head.conv_seg.weight'].shape[0],
            norm_cfg=find_norm_cfg(state_dict, 'decode_head.scale_heads.0.0.bn.weight'),
            neuron_cfg=neuron_cfg,
        )
    return parts


def _numbered(state_dict: dict[str, Tensor], pattern: str) -> list[Tensor]:
    found = {int(m[1]): v for k, v in state_dict.items() if (m := re.match(pattern, k))}
    return [found[index] for index in sorted(found)]
