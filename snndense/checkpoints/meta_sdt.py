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
    published code: 4 levels, factor 2 (the full-attention ablation: 1).

    Args:
        weights (dict[str, Tensor]): Upstream keys without a prefix.

    Returns:
        dict, optional: Config of the backbone with ``type``, or None if the keys
        are others.
    """
    names = ('downsample1_2', 'downsample2', 'downsample3', 'downsample4')
    convs = [weights.get(f'{name}.encode_conv.weight') for name in names]
    stem = weights.get('downsample1_1.encode_conv.weight')
    fc1 = weights.get('block3.0.mlp.fc1_conv.weight')
    if stem is None or fc1 is None or any(conv is None for conv in convs):
        return None  # SDT-V3 large has no fourth stage and other blocks
    version = 'v2' if 'block3.0.attn.q_conv.0.body.0.weight' in weights else 'v3'
    mixer = _find_mixer(weights)
    depths = [
        len({key.split('.')[1] for key in weights if key.startswith(f'{stage}.')})
        for stage in ('block3', 'block4')
    ]
    with_layer_scale = 'block3.0.layer_scale1' in weights
    neuron, levels = ('LIF', {}) if version == 'v2' else ('IntegerLIF', dict(levels=4))
    return dict(
        type='snndense.MetaSDT',
        arch=dict(
            embed_dims=[conv.shape[0] for conv in convs],
            depths=[1, 1, 2, *depths],
            num_heads=8,
            mlp_ratio=fc1.shape[0] // fc1.shape[1],
            version=version,
        ),
        mixer=mixer,
        in_channels=stem.shape[1],
        time_steps=4 if 'head_kd.weight' in weights else 1,
        neuron_cfg=dict(type=f'snndense.{neuron}', **levels),
        attn_factor=1.0 if mixer == 'attention' else 2.0,
        layer_scale_init_value=1e-6 if with_layer_scale else 0.0,
    )


def _find_mixer(weights: dict[str, Tensor]) -> str:
    start = 'ConvBlock1_1.0.'
    layers = {k.removeprefix(start) for k in weights if k.startswith(start)}
    if 'attn.q_conv.0.weight' in layers:
        return 'attention'
    if 'fc1.weight' in layers:
        return 'srb' if 'conv2.weight' in layers else 'mlpixer'
    return 'conv'


def name_meta_sdt(backbone: dict) -> str:
    """Which of the three families that share :class:`MetaSDT` a backbone is of."""
    if backbone['neuron_cfg']['type'] == 'snndense.LIF':
        return 'sdt_v2'
    return 'sdt_v3' if backbone['mixer'] == 'conv' else 'meta_sdt'


def meta_sdt_head(state_dict: dict[str, Tensor], backbone: dict) -> dict:
    """Config of the classification head that converted weights belong to."""
    num_classes, in_channels = state_dict['head.fc.weight'].shape
    neuron_cfg = dict(backbone['neuron_cfg'])
    if 'levels' in neuron_cfg:
        neuron_cfg['norm'] = 1  # the Linear layer reads integers
    return dict(
        type='snndense.SpikeLinearClsHead',
        num_classes=num_classes,
        in_channels=in_channels,
        time_steps=backbone['time_steps'],
        neuron_cfg=neuron_cfg,
        with_kd_head='head.fc_kd.weight' in state_dict,
    )
