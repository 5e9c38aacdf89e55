"""Key maps of SDT-V2, SDT-V3 (base sizes) and the ST-ERF models to MetaSDT.

The upstream repositories share one naming; what differs (RepConv or 1x1
projections, mixer, layer scale, heads) shows in the keys themselves. The rules
below run in order, so the later ones already see our stage names.
"""

from torch import Tensor

from .key_map import KeyMap

STAGES = (
    (r'^(backbone\.|)downsample1_1\.', r'\1stages.0.downsample.'),
    (r'^(backbone\.|)downsample1_2\.', r'\1stages.1.downsample.'),
    (r'^(backbone\.|)downsample(\d)\.', r'\1stages.\2.downsample.'),
    (r'^(backbone\.|)ConvBlock1_1\.0\.', r'\1stages.0.blocks.0.'),
    (r'^(backbone\.|)ConvBlock1_2\.0\.', r'\1stages.1.blocks.0.'),
    (r'^(backbone\.|)ConvBlock2_1\.0\.', r'\1stages.2.blocks.0.'),
    (r'^(backbone\.|)ConvBlock2_2\.0\.', r'\1stages.2.blocks.1.'),
    (r'^(backbone\.|)block(\d)\.(\d+)\.', r'\1stages.\2.blocks.\3.'),
    (r'downsample\.encode_conv\.', 'downsample.conv.'),
    (r'downsample\.encode_bn\.', 'downsample.norm.'),
)

SEP_CONV = (
    (r'(blocks\.\d+\.)Conv\.', r'\1sep_conv.'),
    (r'(blocks\.\d+\.)conv\.', r'\1branches.sep_conv.'),
    # V3: three units of a convolution (0) and its norm (1)
    (r'sep_conv\.(pwconv1|dwconv|pwconv2)\.0\.', r'sep_conv.\1.conv.'),
    (r'sep_conv\.(pwconv1|dwconv|pwconv2)\.1\.', r'sep_conv.\1.norm.'),
    # V2: bare convolutions, norms beside them
    (r'sep_conv\.pwconv1\.weight$', 'sep_conv.pwconv1.conv.weight'),
    (r'sep_conv\.bn1\.', 'sep_conv.pwconv1.norm.'),
    (r'sep_conv\.bn2\.', 'sep_conv.norm.'),
)

MIXER = (
    (r'(blocks\.\d+\.)fc(\d)\.weight$', r'\1mixer.fc\2.weight'),
    (r'(blocks\.\d+\.)conv(\d)\.weight$', r'\1mixer.conv\2.conv.weight'),
    (r'(blocks\.\d+\.)bn(\d)\.', r'\1mixer.conv\2.norm.'),
)

ATTENTION = (
    (r'(blocks\.\d+\.)attn\.', r'\1branches.attn.'),
    (r'attn\.(q|k|v|proj)_conv\.0\.weight$', r'attn.\1_conv.conv.weight'),
    (r'attn\.(q|k|v|proj)_conv\.1\.', r'attn.\1_conv.norm.'),
    (r'attn\.(q|k|v|proj)_conv\.0\.body\.', r'attn.\1_conv.rep_conv.body.'),
    (r'rep_conv\.body\.0\.', 'rep_conv.pwconv1.'),
    (r'rep_conv\.body\.1\.bn\.', 'rep_conv.norm_pad.norm.'),
    (r'rep_conv\.body\.2\.0\.', 'rep_conv.dwconv.'),
    (r'rep_conv\.body\.2\.1\.', 'rep_conv.pwconv2.'),
    (r'rep_conv\.body\.2\.2\.', 'rep_conv.norm.'),
)

MLP_AND_SCALE = (
    (r'(blocks\.\d+\.)mlp\.fc(\d)_conv\.', r'\1branches.mlp.fc\2.conv.'),
    (r'(blocks\.\d+\.)mlp\.fc(\d)_bn\.', r'\1branches.mlp.fc\2.norm.'),
    (r'(blocks\.\d+\.)layer_scale1$', r'\1layer_scales.sep_conv'),
    (r'(blocks\.\d+\.)layer_scale2$', r'\1layer_scales.attn'),
    (r'(blocks\.\d+\.)layer_scale3$', r'\1layer_scales.mlp'),
)

RULES = (*STAGES, *SEP_CONV, *MIXER, *ATTENTION, *MLP_AND_SCALE)

#: Backbone keys, bare or under ``backbone.`` as in detectors and segmentors.
META_SDT = KeyMap(RULES)

#: Classification files: backbone and head keys side by side at the top.
META_SDT_CLASSIFIER = KeyMap(
    (
        (r'^head\.', 'head.fc.'),
        (r'^head_kd\.', 'head.fc_kd.'),
        (r'^(?!head\.)', 'backbone.'),
        *RULES,
    )
)


def recognise_meta_sdt(weights: dict[str, Tensor]) -> dict | None:
    """Constructor arguments of the MetaSDT that published weights belong to.

    Sizes, version, mixer and layer scale show in keys and shapes. Heads (8 in every
    published model), levels and the attention factor do not, and are those of the
    published dense models: 4 levels, factor 2.

    Args:
        weights (dict[str, Tensor]): Upstream keys without a prefix.

    Returns:
        dict, optional: Config of the backbone with ``type``, or None if the keys
        are others.
    """
    if 'downsample1_1.encode_conv.weight' not in weights:
        return None
    names = ('downsample1_2', 'downsample2', 'downsample3', 'downsample4')
    convs = [weights.get(f'{name}.encode_conv.weight') for name in names]
    fc1 = weights.get('block3.0.mlp.fc1_conv.weight')
    if fc1 is None or any(conv is None for conv in convs):
        return None  # SDT-V3 large has no fourth stage and other blocks
    version = 'v3'
    if 'block3.0.attn.q_conv.0.body.0.weight' in weights:
        version = 'v2'
    layers = {
        key.removeprefix('ConvBlock1_1.0.').removesuffix('.weight')
        for key in weights
        if key.startswith('ConvBlock1_1.0.')
    }
    if 'attn.q_conv.0' in layers:
        mixer = 'attention'
    elif 'fc1' in layers:
        mixer = 'srb' if 'conv2' in layers else 'mlpixer'
    else:
        mixer = 'conv'
    depths = (
        len({key.split('.')[1] for key in weights if key.startswith(f'{stage}.')})
        for stage in ('block3', 'block4')
    )
    arch = dict(
        embed_dims=tuple(conv.shape[0] for conv in convs),
        depths=(1, 1, 2, *depths),
        num_heads=8,
        mlp_ratio=fc1.shape[0] // fc1.shape[1],
        version=version,
    )
    with_layer_scale = 'block3.0.layer_scale1' in weights
    return dict(
        type='snndense.MetaSDT',
        arch=arch,
        mixer=mixer,
        in_channels=weights['downsample1_1.encode_conv.weight'].shape[1],
        layer_scale_init_value=1e-6 if with_layer_scale else 0.0,
    )
