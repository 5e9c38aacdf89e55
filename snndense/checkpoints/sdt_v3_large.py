"""Key map of SDT-V3 large (83M, 173M) to SDTV3Large.

Stages and downsampling layers are named as in the base sizes, blocks are not. What
keys and shapes do not tell: the levels (files called "1x8" need 8 of them), and that
the masked pre-training of the 173M model is 192 wide where its classifier is 196.

The released 83M file is reported (issue 9 of the published code) to hold batch norms
of 768 entries at ``block3.*.rep_conv.conv1.1``, where the published code and all
other shapes of that file have 512. Such weights belong to no published model:
:func:`find_wide_rep_conv_norms` names their keys.
"""

import re

from torch import Tensor

from .key_map import KeyMap
from .meta_sdt import STAGES

BLOCKS = (
    # 3x3 units: Sequential(Sequential(convolution, norm))
    (r'(blocks\.\d+\.)conv(\d)\.0\.0\.', r'\1mixer.conv\2.conv.'),
    (r'(blocks\.\d+\.)conv(\d)\.0\.1\.', r'\1mixer.conv\2.norm.'),
    # pairs of 1x1 units, and the norm behind those of the attention
    (r'rep_conv\.conv(\d)\.0\.', r'rep_conv.pair.conv\1.conv.'),
    (r'rep_conv\.conv(\d)\.1\.', r'rep_conv.pair.conv\1.norm.'),
    (
        r'attn\.(q|k|v|proj)_conv\.0\.conv(\d)\.0\.',
        r'attn.\1_conv.rep_conv.conv\2.conv.',
    ),
    (
        r'attn\.(q|k|v|proj)_conv\.0\.conv(\d)\.1\.',
        r'attn.\1_conv.rep_conv.conv\2.norm.',
    ),
    (r'attn\.(q|k|v|proj)_conv\.1\.', r'attn.\1_conv.norm.'),
    (r'mlp\.fc(\d)_conv\.', r'mlp.fc\1.conv.'),
    (r'mlp\.fc(\d)_bn\.', r'mlp.fc\1.norm.'),
    (r'layer_scale1$', 'layer_scales.attn'),
    (r'layer_scale2$', 'layer_scales.mlp'),
)

RULES = (*STAGES, *BLOCKS)

#: Backbone keys, bare or under ``backbone.``.
SDT_V3_LARGE = KeyMap(RULES)

#: Classification files: backbone and head keys side by side at the top.
SDT_V3_LARGE_CLASSIFIER = KeyMap(
    (
        (r'^head\.', 'head.fc.'),
        (r'^head_kd\.', 'head.fc_kd.'),
        (r'^(?!head\.)', 'backbone.'),
        *RULES,
    )
)

WIDE_NORM = re.compile(r'block3\.\d+\.rep_conv\.conv1\.1\.\w+$')


def find_wide_rep_conv_norms(weights: dict[str, Tensor]) -> list[str]:
    """Keys of batch norms that are wider than the convolution in front of them.

    Args:
        weights (dict[str, Tensor]): Upstream keys, with or without a prefix.

    Returns:
        list[str]: Empty unless this is the 83M file whose norms do not fit.
    """
    found = []
    for key, value in weights.items():
        if WIDE_NORM.search(key) is None or value.dim() != 1:
            continue
        stem = key.rpartition('.1.')[0]
        conv = weights.get(f'{stem}.0.weight')
        if conv is not None and len(value) != len(conv):
            found.append(key)
    return found


def recognise_sdt_v3_large(weights: dict[str, Tensor]) -> dict | None:
    """Constructor arguments of the SDTV3Large that published weights belong to.

    Args:
        weights (dict[str, Tensor]): Upstream keys without a prefix.

    Returns:
        dict, optional: Config of the backbone with ``type``, or None if the keys are
        others. Heads (8 in both published models) and levels (4) are assumed.

    Raises:
        ValueError: If this is the 83M file whose norms do not fit.
    """
    names = ('downsample1_2', 'downsample2', 'downsample3')
    convs = [weights.get(f'{name}.encode_conv.weight') for name in names]
    fc1 = weights.get('block3.0.mlp.fc1_conv.weight')
    is_large = 'block3.0.attn.q_conv.0.conv1.0.weight' in weights
    if not is_large or fc1 is None or any(conv is None for conv in convs):
        return None
    if wide := find_wide_rep_conv_norms(weights):
        raise ValueError(
            f'{wide[0]} and {len(wide) - 1} more have another length than the '
            'convolutions in front of them. This is known of the released 83M file: it '
            'does not fit the published code, and cannot be used'
        )
    blocks = {key.split('.')[1] for key in weights if key.startswith('block3.')}
    arch = dict(
        embed_dims=tuple(conv.shape[0] for conv in convs),
        depths=(1, 1, 2, len(blocks)),
        num_heads=8,
        mlp_ratio=fc1.shape[0] // fc1.shape[1],
        with_rep_conv='block3.0.rep_conv.conv1.0.weight' in weights,
    )
    with_layer_scale = 'block3.0.layer_scale1' in weights
    return dict(
        type='snndense.SDTV3Large',
        arch=arch,
        in_channels=weights['downsample1_1.encode_conv.weight'].shape[1],
        time_steps=1,
        neuron_cfg=dict(
            type='snndense.IntegerLIF', levels=4, rounding='half_up', tau=1
        ),
        layer_scale_init_value=1e-6 if with_layer_scale else 0.0,
    )


def sdt_v3_large_head(state_dict: dict[str, Tensor], backbone: dict) -> dict:
    """Config of the classification head that converted weights belong to.

    The first layer reads membranes; the spikes are those that the second one, of
    distilled models, reads.
    """
    num_classes, in_channels = state_dict['head.fc.weight'].shape
    is_distilled = 'head.fc_kd.weight' in state_dict
    return dict(
        type='snndense.SpikeLinearClsHead',
        num_classes=num_classes,
        in_channels=in_channels,
        neuron_cfg=dict(backbone['neuron_cfg'], norm=1) if is_distilled else None,
        with_kd_head=is_distilled,
        fc_reads_membranes=is_distilled,
    )
