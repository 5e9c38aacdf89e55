"""Key map of the published SpikingResformer models."""

import re

from torch import Tensor

from .key_map import KeyMap


def _layer(match: re.Match) -> str:
    """Our place of upstream's ``layers.<stage>.<position>.``.

    A stage lists attention and feed-forward network in turn, behind the downsampling
    layer from the second stage on.
    """
    prefix, stage, position = match[1], int(match[2]), int(match[3])
    if stage > 0:
        if position == 0:
            return f'{prefix}stages.{stage}.downsample.'
        position -= 1
    branch = 'ffn' if position % 2 else 'attn'
    return f'{prefix}stages.{stage}.blocks.{position // 2}.{branch}.'


STAGES = (
    (r'^(backbone\.|)prologue\.0\.', r'\1stem.embed.conv.'),
    (r'^(backbone\.|)prologue\.1\.bn\.', r'\1stem.embed.norm.'),
    (r'^(backbone\.|)layers\.(\d)\.(\d+)\.', _layer),
    (r'downsample\.norm\.bn\.', 'downsample.norm.'),
    (r'downsample\.activation\.', 'downsample.neuron.'),
)

# W makes keys and values, Wproj the output; 'w' alone is the parameter of a PLIF
ATTENTION = (
    (r'attn\.firing_rate_x$', 'attn.query_rate.value'),
    (r'attn\.firing_rate_attn$', 'attn.attn_rate.value'),
    (r'attn\.W\.', 'attn.patch_conv.'),
    (r'attn\.norm\.bn\.', 'attn.norm.'),
    (r'attn\.Wproj\.', 'attn.proj.conv.'),
    (r'attn\.norm_proj\.bn\.', 'attn.proj.norm.'),
    (r'attn\.activation_in\.', 'attn.neuron.'),
    (r'attn\.activation_attn\.', 'attn.attn_neuron.'),
    (r'attn\.activation_out\.', 'attn.proj.neuron.'),
)

# units of a neuron (0), a convolution (1) and a norm (2)
FEED_FORWARD = (
    (r'ffn\.conv\.0\.', 'ffn.group_conv.'),
    (r'ffn\.(up|group_conv|down)\.0\.', r'ffn.\1.neuron.'),
    (r'ffn\.(up|group_conv|down)\.1\.', r'ffn.\1.conv.'),
    (r'ffn\.(up|group_conv|down)\.2\.bn\.', r'ffn.\1.norm.'),
)

RULES = (*STAGES, *ATTENTION, *FEED_FORWARD)

# published rates are (1, 1, heads, 1, 1)
NUM_AXES = ((r'_rate\.value$', 1),)

#: Backbone keys, bare or under ``backbone.``.
SPIKING_RESFORMER = KeyMap(RULES, num_axes=NUM_AXES)

#: Published files: backbone keys and ``classifier.weight`` at the top.
SPIKING_RESFORMER_CLASSIFIER = KeyMap(
    (
        (r'^classifier\.', 'head.fc.'),
        (r'^(?!head\.)', 'backbone.'),
        *RULES,
    ),
    num_axes=NUM_AXES,
)

NUM_STAGES = 3


def recognise_spiking_resformer(weights: dict[str, Tensor]) -> dict | None:
    """Constructor arguments of the SpikingResformer that published weights belong to.

    All but the number of steps show in keys and shapes; the published models have 4,
    that of DVS128 Gesture 16.

    Args:
        weights (dict[str, Tensor]): Upstream keys without a prefix.

    Returns:
        dict, optional: Config of the backbone with ``type``, or None if the keys
        are others.
    """
    stem = weights.get('prologue.0.weight')
    attentions = [
        sorted(
            key.removesuffix('W.weight')
            for key in weights
            if re.fullmatch(rf'layers\.{stage}\.\d+\.W\.weight', key)
        )
        for stage in range(NUM_STAGES)
    ]
    up, group_conv = (
        weights.get(f'layers.0.1.{name}.weight') for name in ('up.1', 'conv.0.1')
    )
    rates = [weights.get(f'{a[0]}firing_rate_x') for a in attentions if a]
    if any(x is None for x in (stem, up, group_conv, *rates)) or not all(attentions):
        return None
    patch_convs = [weights[f'{first}W.weight'] for first, *_ in attentions]
    is_parametric = f'{attentions[0][0]}activation_in.w' in weights
    return dict(
        type='snndense.SpikingResformer',
        arch=dict(
            embed_dims=[conv.shape[1] for conv in patch_convs],
            depths=[len(found) for found in attentions],
            num_heads=[rate.numel() for rate in rates],
            patch_sizes=[conv.shape[-1] for conv in patch_convs],
            mlp_ratio=up.shape[0] // up.shape[1],
            group_size=group_conv.shape[1],
            stem='imagenet' if stem.shape[-1] == 7 else 'conv3x3',
            neuron_type='PLIF' if is_parametric else 'LIF',
        ),
        in_channels=stem.shape[1],
        time_steps=16 if is_parametric else 4,
    )


def spiking_resformer_head(state_dict: dict[str, Tensor], backbone: dict) -> dict:
    """Config of the classification head that converted weights belong to."""
    num_classes, in_channels = state_dict['head.fc.weight'].shape
    return dict(
        type='snndense.SpikeLinearClsHead',
        num_classes=num_classes,
        in_channels=in_channels,
        # the backbone's maps are averaged: without a neuron that is the same
        neuron_cfg=None,
        bias='head.fc.bias' in state_dict,
    )
