"""Ports of SDT-V2, SDT-V3 and the ST-ERF models, whole and block by block."""

from torch import Tensor, nn

from snndense.checkpoints.meta_sdt import META_SDT, META_SDT_CLASSIFIER
from snndense.models.backbones.meta_sdt import AttentionBlock, ConvBlock, MetaSDT
from snndense.models.backbones.meta_sdt_attention import (
    RepConv,
    SpikeDrivenSelfAttention,
    SpikeMLP,
    conv_projection,
    rep_conv_projection,
)
from snndense.models.backbones.meta_sdt_mixers import SepConv, SpikeSepConv
from snndense.models.layers import LIF, IntegerLIF, SpikeConv, SpikingNeuron

from .fixture import Fixture
from .port import Port, register_port

NORM = dict(type='BN')


def levels_of(fixture: Fixture) -> int:
    """Integer levels: a constant of the upstream file."""
    default = 8 if fixture.upstream_path.endswith('sterf_models.py') else 4
    return fixture.variant.get('levels', default)


def attn_factor_of(fixture: Fixture) -> float:
    """Factor on the attention scale: a constant of the upstream file."""
    default = 1 if fixture.upstream_path.endswith('erf_sdt/models/sdtv3.py') else 2
    return fixture.variant.get('attention_factor', default)


def unit_cfg(fixture: Fixture) -> dict:
    """Neuron, norm and steps of an integer (4-D) or LIF (5-D) block."""
    shape = fixture.input_shapes[0]
    if len(shape) == 5:
        return dict(neuron_cfg=dict(type='LIF'), norm_cfg=NORM, time_steps=shape[0])
    neuron_cfg = dict(type='IntegerLIF', levels=levels_of(fixture))
    return dict(neuron_cfg=neuron_cfg, norm_cfg=NORM, time_steps=1)


def block_port(module: nn.Module, upstream_prefix: str, prefix: str) -> Port:
    """Port of a block that works on one (folded) tensor."""

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        x = inputs[0]
        return [module(x.flatten(0, 1) if x.dim() == 5 else x)]

    return Port(
        module, META_SDT, forward, upstream_prefix=upstream_prefix, prefix=prefix
    )


@register_port('MultiSpike', 'Multispike')
def integer_neuron(fixture: Fixture) -> Port:
    kwargs = {key.lower(): value for key, value in fixture.kwargs.items()}
    rounding = 'half_up' if fixture.upstream_class == 'Multispike' else 'half_even'
    neuron = IntegerLIF(
        levels=levels_of(fixture), norm=kwargs.get('norm'), rounding=rounding
    )
    return neuron_port(neuron)


@register_port('MultiStepLIFNode')
def lif_neuron(fixture: Fixture) -> Port:
    kwargs = {k: v for k, v in fixture.kwargs.items() if k != 'backend'}
    return neuron_port(LIF(time_steps=fixture.input_shapes[0][0], **kwargs))


def neuron_port(neuron: SpikingNeuron) -> Port:
    # recorded inputs have time (or anything) first, which is already folded form
    return Port(neuron, META_SDT, lambda inputs: [neuron(inputs[0])])


@register_port('MS_DownSampling')
def downsample(fixture: Fixture) -> Port:
    kw = fixture.kwargs
    module = SpikeConv(
        kw['in_channels'],
        kw['embed_dims'],
        kw['kernel_size'],
        stride=kw['stride'],
        bias=True,
        **(dict(norm_cfg=NORM) if kw['first_layer'] else unit_cfg(fixture)),
    )
    return block_port(module, 'downsample2.', 'stages.2.downsample.')


@register_port('RepConv')
def rep_conv(fixture: Fixture) -> Port:
    module = RepConv(fixture.kwargs['in_channel'], NORM)
    ours = 'stages.3.blocks.0.branches.attn.q_conv.rep_conv.'
    return block_port(module, 'block3.0.attn.q_conv.0.', ours)


@register_port('SepConv')
def sep_conv(fixture: Fixture) -> Port:
    module = SepConv(fixture.kwargs['dim'], 7, **unit_cfg(fixture))
    return block_port(module, 'ConvBlock1_1.0.Conv.', 'stages.0.blocks.0.sep_conv.')


@register_port('SepConv_Spike')
def spike_sep_conv(fixture: Fixture) -> Port:
    kw = fixture.kwargs
    module = SpikeSepConv(kw['dim'], kw.get('kernel_size', 7), **unit_cfg(fixture))
    return block_port(module, 'ConvBlock1_1.0.Conv.', 'stages.0.blocks.0.sep_conv.')


CONV_BLOCK_MIXERS = {
    'MS_ConvBlock': 'conv',
    'MS_ConvBlock_spike_SepConv': 'conv',
    'MS_ConvBlock_spike_MLP': 'mlpixer',
    'MS_ConvBlock_spike_splash': 'srb',
}


@register_port(*CONV_BLOCK_MIXERS)
def conv_block(fixture: Fixture) -> Port:
    kw = fixture.kwargs
    module = ConvBlock(
        kw['dim'],
        mixer=CONV_BLOCK_MIXERS[fixture.upstream_class],
        version='v2' if fixture.upstream_class == 'MS_ConvBlock' else 'v3',
        mlp_ratio=kw['mlp_ratio'],
        drop_rate=kw.get('drop', 0.0),
        drop_path=0.0,
        **unit_cfg(fixture),
    )
    return block_port(module, 'ConvBlock1_1.0.', 'stages.0.blocks.0.')


@register_port('MS_Attention_RepConv_qkv_id', 'MS_Attention_linear')
def attention(fixture: Fixture) -> Port:
    dim, heads = fixture.kwargs['dim'], fixture.kwargs['num_heads']
    with_rep_conv = fixture.upstream_class == 'MS_Attention_RepConv_qkv_id'
    scale = 0.125 if with_rep_conv else attn_factor_of(fixture) * (dim / heads) ** -0.5
    module = SpikeDrivenSelfAttention(
        dim,
        heads,
        value_ratio=fixture.kwargs.get('lamda_ratio', 1),
        scale=scale,
        projection=rep_conv_projection if with_rep_conv else conv_projection,
        attn_threshold=0.5 if with_rep_conv else None,
        **unit_cfg(fixture),
    )
    return block_port(module, 'block3.0.attn.', 'stages.3.blocks.0.branches.attn.')


@register_port('MS_MLP')
def mlp(fixture: Fixture) -> Port:
    dim, hidden = fixture.kwargs['in_features'], fixture.kwargs['hidden_features']
    module = SpikeMLP(dim, hidden // dim, **unit_cfg(fixture))
    return block_port(module, 'block3.0.mlp.', 'stages.3.blocks.0.branches.mlp.')


@register_port('MS_Block', 'MS_Block_Spike_SepConv')
def attention_block(fixture: Fixture) -> Port:
    kw = fixture.kwargs
    with_scale = any('layer_scale' in key for key in fixture.state_dict())
    module = AttentionBlock(
        kw['dim'],
        kw['num_heads'],
        version='v2' if fixture.upstream_class == 'MS_Block' else 'v3',
        mlp_ratio=kw['mlp_ratio'],
        attn_factor=attn_factor_of(fixture),
        layer_scale_init_value=1e-6 if with_scale else 0.0,
        drop_path=0.0,
        **unit_cfg(fixture),
    )
    return block_port(module, 'block3.0.', 'stages.3.blocks.0.')


#: Upstream class of a whole model -> (SDT version, mixer).
MODELS = {
    'Spiking_vit_MetaFormer': ('v2', 'conv'),
    'Spiking_vit_MetaFormer_Spike_SepConv': ('v3', 'conv'),
    'Spiking_vit_MetaFormerv2': ('v3', 'conv'),
    'SDEFormer': ('v3', 'conv'),
    'Spiking_vit_MetaFormer_FullAttention': ('v3', 'attention'),
    'Spiking_vit_MetaFormer_Spike_SepConv_ChannelMLP': ('v3', 'mlpixer'),
    'Spiking_vit_MetaFormer_Spike_SepConv_splash': ('v3', 'srb'),
}


def neuron_cfg_of(fixture: Fixture, version: str) -> dict:
    if version == 'v2':
        return dict(type='LIF')
    return dict(
        type='IntegerLIF',
        levels=levels_of(fixture),
        train_levels=fixture.variant.get('levels_train'),
        norm=fixture.variant.get('norm'),
    )


@register_port(*MODELS)
def whole_model(fixture: Fixture) -> Port:
    version, mixer = MODELS[fixture.upstream_class]
    kw, keys = fixture.kwargs, fixture.state_dict()
    names = [entry['name'] for entry in fixture.eval]
    for_segmentation = '/mmseg/' in fixture.upstream_path
    time_steps = fixture.data.get('time_steps', kw.get('T', 1))
    if version == 'v3':
        time_steps = 1  # upstream: T is accepted and never read
    in_mean = for_segmentation and kw.get('decode_mode') == 'snn'
    neuron_cfg = neuron_cfg_of(fixture, version)
    with_scale = any('layer_scale' in key for key in keys)
    backbone = MetaSDT(
        dict(
            embed_dims=tuple(kw['embed_dim']),
            depths=(1, 1, 2, 6, 2),
            num_heads=kw['num_heads'],
            mlp_ratio=kw['mlp_ratios'],
            version=version,
        ),
        mixer=mixer,
        in_channels=kw['in_channels'],
        time_steps=time_steps,
        neuron_cfg=neuron_cfg,
        attn_factor=attn_factor_of(fixture),
        layer_scale_init_value=1e-6 if with_scale else 0.0,
        drop_rate=kw.get('drop_rate', 0.0),
        out_indices=(0, 1, 2, 4) if for_segmentation else (1, 2, 3, 4),
        out_mode='mean' if in_mean else 'sequence',
    )
    if names != ['out']:
        return Port(backbone, META_SDT, lambda inputs: backbone(inputs[0]))
    return classifier_port(fixture, backbone, neuron_cfg)


def classifier_port(fixture: Fixture, backbone: MetaSDT, neuron_cfg: dict) -> Port:
    # the head needs mmpretrain, which dense models do without
    from mmpretrain.models.necks import GlobalAveragePooling

    from snndense.models.cls import SpikeLinearClsHead

    head_neuron = dict(neuron_cfg)
    if head_neuron['type'] == 'IntegerLIF':
        head_neuron['norm'] = 1
    head = SpikeLinearClsHead(
        fixture.kwargs['num_classes'],
        backbone.out_channels[-1],
        time_steps=backbone.time_steps,
        neuron_cfg=head_neuron,
        with_kd_head=fixture.kwargs.get('kd', False),
    )
    module = nn.ModuleDict(dict(backbone=backbone, head=head))
    pool = GlobalAveragePooling()

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        return [head(pool(backbone(inputs[0])))]

    return Port(module, META_SDT_CLASSIFIER, forward)
