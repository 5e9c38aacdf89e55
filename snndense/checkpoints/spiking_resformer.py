"""Key map of the published SpikingResformer models."""

import re

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
