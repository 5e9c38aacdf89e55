"""Key map of the three published Spikformer definitions."""

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
