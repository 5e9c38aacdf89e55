"""Key map of whole published detectors: backbone, spiking neck and heads.

The published modules wrap every layer as ``Sequential(neuron, container(layer))``,
hence ``1.0`` = (after the neuron).(first in the container). Ours are stock layers
with stock keys.
"""

import re

from torch import Tensor

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

#: What the published detectors declare; the maps of the last levels have 16, 16, 32.
STRIDES = (4, 8, 16, 32, 64)
ROI_SIZE = 7
RATIOS = [0.5, 1.0, 2.0]


def _neuron(levels: int = 4, **kwargs) -> dict:
    # upstream: it forgets its membrane between steps
    return dict(type='snndense.IntegerLIF', levels=levels, norm=1, tau=1.0, **kwargs)


def _count(state_dict: dict[str, Tensor], pattern: str) -> int:
    found = (re.match(pattern, key) for key in state_dict)
    return len({match[1] for match in found if match})


def find_norm_cfg(state_dict: dict[str, Tensor], key: str) -> dict | None:
    """Config of the batch norm that a weight belongs to, None without it."""
    return dict(type='BN') if key in state_dict else None


def detector_parts(state_dict: dict[str, Tensor], backbone: dict) -> dict[str, dict]:
    """Configs of the neck and the heads that a converted detector's weights belong to.

    Strides and neurons are the published ones: anchors and RoI extractors for
    strides 4, 8, 16, 32(, 64), a neck that evaluates with spikes of 0 and 1.

    Args:
        state_dict (dict[str, Tensor]): Weights under our keys.
        backbone (dict): Config of the backbone.

    Returns:
        dict[str, dict]: Configs with ``type`` by the place of the module.
    """
    steps = backbone['time_steps']
    parts = {}
    if 'neck.lateral_convs.0.conv.weight' in state_dict:
        parts['neck'] = _neck(state_dict, steps)
    if 'rpn_head.rpn_cls.weight' in state_dict:
        parts['rpn_head'] = _rpn_head(state_dict, steps)
    if 'bbox_head.retina_cls.weight' in state_dict:
        parts['bbox_head'] = _retina_head(state_dict, steps)
    for key in state_dict:
        if match := re.match(r'(roi_head\.bbox_head(?:\.\d+)?)\.fc_cls\.weight$', key):
            parts[match[1]] = _bbox_head(state_dict, f'{match[1]}.', steps)
        elif match := re.match(
            r'(roi_head\.mask_head(?:\.\d+)?)\.conv_logits\.weight$', key
        ):
            parts[match[1]] = _mask_head(state_dict, f'{match[1]}.', steps)
    return parts


def _neck(state_dict: dict[str, Tensor], steps: int) -> dict:
    laterals = [
        state_dict[f'neck.lateral_convs.{i}.conv.weight']
        for i in range(_count(state_dict, r'neck\.lateral_convs\.(\d+)\.'))
    ]
    width = laterals[0].shape[0]
    num_convs = _count(state_dict, r'neck\.fpn_convs\.(\d+)\.')
    # the finest of the backbone's four maps may be left out
    skipped = max(4 - len(laterals), 0)
    extra = {}
    if num_convs > len(laterals):
        first_extra = state_dict[f'neck.fpn_convs.{len(laterals)}.conv.weight']
        from_input = first_extra.shape[1] == laterals[-1].shape[1]
        extra = dict(add_extra_convs='on_input' if from_input else 'on_output')
    return dict(
        type='snndense.SpikeFPN',
        # the width of a map that is not read may be any
        in_channels=[width] * skipped + [conv.shape[1] for conv in laterals],
        out_channels=width,
        num_outs=max(num_convs, 5),
        start_level=skipped,
        norm_cfg=find_norm_cfg(state_dict, 'neck.lateral_convs.0.bn.weight'),
        time_steps=steps,
        neuron_cfg=_neuron(levels=1, train_levels=4),
        **extra,
    )


def _rpn_head(state_dict: dict[str, Tensor], steps: int) -> dict:
    num_convs = _count(state_dict, r'rpn_head\.rpn_conv\.(\d+)\.') or 1
    name = 'rpn_head.rpn_conv.' + ('0.conv.' if num_convs > 1 else '')
    conv = state_dict[f'{name}weight']
    return dict(
        type='snndense.SpikeRPNHead',
        in_channels=conv.shape[1],
        feat_channels=conv.shape[0],
        num_convs=num_convs,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[8], ratios=RATIOS, strides=[*STRIDES]
        ),
        time_steps=steps,
        neuron_cfg=_neuron(),
    )


def _retina_head(state_dict: dict[str, Tensor], steps: int) -> dict:
    conv = state_dict['bbox_head.cls_convs.0.conv.weight']
    num_anchors = state_dict['bbox_head.retina_reg.weight'].shape[0] // 4
    return dict(
        type='snndense.SpikeRetinaHead',
        num_classes=state_dict['bbox_head.retina_cls.weight'].shape[0] // num_anchors,
        in_channels=conv.shape[1],
        feat_channels=conv.shape[0],
        stacked_convs=_count(state_dict, r'bbox_head\.cls_convs\.(\d+)\.'),
        norm_cfg=find_norm_cfg(state_dict, 'bbox_head.cls_convs.0.bn.weight'),
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=num_anchors // len(RATIOS),
            ratios=RATIOS,
            strides=[2 * stride for stride in STRIDES],
        ),
        time_steps=steps,
        share_last_neuron=True,
    )


def _bbox_head(state_dict: dict[str, Tensor], place: str, steps: int) -> dict:
    classes = state_dict[f'{place}fc_cls.weight'].shape[0] - 1
    fc = state_dict[f'{place}shared_fcs.0.weight']
    num_convs = _count(state_dict, re.escape(place) + r'shared_convs\.(\d+)\.')
    channels = fc.shape[1] // ROI_SIZE**2
    options = {}
    if num_convs:
        conv = state_dict[f'{place}shared_convs.0.conv.weight']
        options = dict(
            conv_out_channels=channels,
            norm_cfg=find_norm_cfg(state_dict, f'{place}shared_convs.0.bn.weight'),
        )
        channels = conv.shape[1]
    return dict(
        type='snndense.SpikeConvFCBBoxHead',
        num_shared_convs=num_convs,
        num_shared_fcs=_count(state_dict, re.escape(place) + r'shared_fcs\.(\d+)\.'),
        in_channels=channels,
        fc_out_channels=fc.shape[0],
        roi_feat_size=ROI_SIZE,
        num_classes=classes,
        reg_class_agnostic=state_dict[f'{place}fc_reg.weight'].shape[0] == 4,
        time_steps=steps,
        neuron_cfg=_neuron(),
        **options,
    )


def _mask_head(state_dict: dict[str, Tensor], place: str, steps: int) -> dict:
    conv = state_dict[f'{place}convs.0.conv.weight']
    classes = state_dict[f'{place}conv_logits.weight'].shape[0]
    return dict(
        type='snndense.SpikeFCNMaskHead',
        num_convs=_count(state_dict, re.escape(place) + r'convs\.(\d+)\.'),
        in_channels=conv.shape[1],
        conv_out_channels=conv.shape[0],
        num_classes=classes,
        class_agnostic=classes == 1,
        norm_cfg=find_norm_cfg(state_dict, f'{place}convs.0.bn.weight'),
        time_steps=steps,
        neuron_cfg=_neuron(),
    )
