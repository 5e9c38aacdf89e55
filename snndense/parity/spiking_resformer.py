"""Ports of SpikingResformer, whole and its attention alone."""

from collections import OrderedDict

from torch import Tensor, nn

from snndense.checkpoints.key_map import KeyMap
from snndense.checkpoints.spiking_resformer import (
    ATTENTION,
    NUM_AXES,
    SPIKING_RESFORMER_CLASSIFIER,
)
from snndense.models.backbones.spiking_resformer import SpikingResformer
from snndense.models.backbones.spiking_resformer_attention import DSSA

from .fixture import Fixture
from .port import Port, register_port


@register_port('DSSA')
def attention(fixture: Fixture) -> Port:
    """A 1x1 convolution, then the attention with its residual connection."""
    shapes = {key: x.shape for key, x in fixture.state_dict().items()}
    time_steps, _, dim, _, _ = fixture.input_shapes[0]
    conv = nn.Conv2d(dim, dim, 1, bias=False)
    attn = DSSA(
        dim,
        shapes['1.firing_rate_x'].numel(),
        shapes['1.W.weight'][-1],
        num_tokens=None,
        pad_patches=False,
        published_rates=True,
        neuron_cfg=dict(type='LIF', surrogate='atan'),
        norm_cfg=dict(type='BN'),
        time_steps=time_steps,
    )
    rules = ((r'^0\.', 'conv.'), (r'^1\.', 'attn.'), *ATTENTION)
    key_map = KeyMap(rules, num_axes=NUM_AXES)

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        x = conv(inputs[0].flatten(0, 1))
        return [x + attn(x)]

    return Port(nn.ModuleDict(dict(conv=conv, attn=attn)), key_map, forward)


@register_port('SpikingResformer')
def whole_model(fixture: Fixture) -> Port:
    kw = fixture.kwargs
    is_event_stem = kw['prologue'] is not None
    backbone = SpikingResformer(
        dict(
            embed_dims=tuple(kw['planes']),
            depths=tuple(len(layers) // 2 for layers in kw['layers']),
            num_heads=tuple(kw['num_heads']),
            patch_sizes=tuple(kw['patch_sizes']),
            mlp_ratio=4,
            group_size=kw['group_size'],
            stem='conv3x3' if is_event_stem else 'imagenet',
            neuron_type=kw['activation'],
        ),
        time_steps=kw['T'],
        train_img_size=kw['img_size'],
        pad_patches=False,
        published_rates=True,
        out_mode='sequence',
    )
    fc = nn.Linear(backbone.out_channels[-1], kw['num_classes'], bias=False)
    head = nn.ModuleDict(dict(fc=fc))
    model = nn.ModuleDict(OrderedDict(backbone=backbone, head=head))

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        x = inputs[0]
        if x.dim() == 4 and backbone.training:
            # as event frames, since the running variance of the stem's norm depends
            # on the number of images: upstream repeats them in front of the stem
            x = x.unsqueeze(1).repeat(1, kw['T'], 1, 1, 1)
        x = backbone.encode(x, backbone.stem)
        maps = [x]
        for stage in backbone.stages:
            maps.append(x := stage(x))
        return [*maps, fc(x.mean((2, 3)))]

    return Port(model, SPIKING_RESFORMER_CLASSIFIER, forward)
