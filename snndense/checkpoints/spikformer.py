"""Key map of the three published Spikformer definitions."""

from torch import Tensor

from .key_map import KeyMap

# units of the patch embedding: 'proj_conv', 'proj_conv1', 'proj_conv2', 'proj_conv3'
PATCH_EMBED = (
    (r'^(backbone\.|)patch_embed\.proj_(conv|bn)\.', r'\1patch_embed.proj_\g<2>0.'),
    (r'^(backbone\.|)patch_embed\.proj_conv(\d)\.', r'\1patch_embed.\2.conv.conv.'),
    (r'^(backbone\.|)patch_embed\.proj_bn(\d)\.', r'\1patch_embed.\2.conv.norm.'),
    (r'^(backbone\.|)patch_embed\.rpe_conv\.', r'\1position.conv.conv.'),
    (r'^(backbone\.|)patch_embed\.rpe_bn\.', r'\1position.conv.norm.'),
)

# the cifar file has Linear layers in the blocks, the others convolutions
BLOCKS = (
    (r'^(backbone\.|)block\.(\d+)\.', r'\1blocks.\2.'),
    (r'attn\.(q|k|v|proj)_(?:conv|linear)\.', r'attn.\1.conv.conv.'),
    (r'attn\.(q|k|v|proj)_bn\.', r'attn.\1.conv.norm.'),
    (r'mlp\.fc1_(?:conv|linear)\.', 'mlp.0.conv.conv.'),
    (r'mlp\.fc2_(?:conv|linear)\.', 'mlp.1.conv.conv.'),
    (r'mlp\.fc1_bn\.', 'mlp.0.conv.norm.'),
    (r'mlp\.fc2_bn\.', 'mlp.1.conv.norm.'),
)

RULES = (*PATCH_EMBED, *BLOCKS)
NUM_AXES = ((r'conv\.conv\.weight$', 4),)
# layer norms and position embeddings that no forward pass reads
UNUSED = (
    r'^(?:backbone\.|)block\.\d+\.norm\d\.',
    r'^(?:backbone\.|)norm\.',
    r'^(?:backbone\.|)pos_embed$',
)

#: Backbone keys, bare or under ``backbone.``.
SPIKFORMER = KeyMap(RULES, UNUSED, num_axes=NUM_AXES)

#: Classification files: backbone and head keys side by side at the top.
SPIKFORMER_CLASSIFIER = KeyMap(
    (
        (r'^head\.', 'head.fc.'),
        (r'^(?!head\.)', 'backbone.'),
        *RULES,
    ),
    UNUSED,
    num_axes=NUM_AXES,
)


def recognise_spikformer(weights: dict[str, Tensor]) -> dict | None:
    """Constructor arguments of the Spikformer that published weights belong to.

    Heads and steps do not show in keys and shapes. The heads are left open (None), to
    be filled in from the published size; steps are 4, with event frames 16.

    Args:
        weights (dict[str, Tensor]): Upstream keys without a prefix.

    Returns:
        dict, optional: Config of the backbone with ``type``, or None if the keys
        are others.
    """
    first = weights.get('patch_embed.proj_conv.weight')
    last = weights.get('patch_embed.proj_conv3.weight')
    is_cifar = 'block.0.attn.q_linear.weight' in weights
    layer = 'linear' if is_cifar else 'conv'
    fc1 = weights.get(f'block.0.mlp.fc1_{layer}.weight')
    if any(x is None for x in (first, last, fc1)):
        return None
    flavour = 'cifar' if is_cifar else 'imagenet' if fc1.dim() == 4 else 'dvs'
    blocks = {key.split('.')[1] for key in weights if key.startswith('block.')}
    return dict(
        type='snndense.Spikformer',
        arch=dict(
            flavour=flavour,
            embed_dims=last.shape[0],
            depths=len(blocks),
            num_heads=None,
            mlp_ratio=fc1.shape[0] // fc1.shape[1],
        ),
        in_channels=first.shape[1],
        time_steps=16 if flavour == 'dvs' else 4,
    )


def spikformer_head(state_dict: dict[str, Tensor], backbone: dict) -> dict:
    """Config of the classification head that converted weights belong to."""
    num_classes, in_channels = state_dict['head.fc.weight'].shape
    return dict(
        type='mmpretrain.LinearClsHead',
        num_classes=num_classes,
        in_channels=in_channels,
    )
