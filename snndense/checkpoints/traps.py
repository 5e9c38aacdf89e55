"""What is known to go wrong with published files, seen from keys, shapes and names."""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

from .recognition import Published

#: '1x4', '1x8' in a file name: steps and levels.
STEPS_AND_LEVELS = re.compile(r'(?<![\dx])(\d)x([248])(?![\dx])')
#: '10.0M', '19M', '5M' in a file name: millions of parameters.
MILLIONS = re.compile(r'(?<![\d.])(\d+(?:\.\d+)?)M(?![a-zA-Z])')
TOLERANCE = 0.1  # sizes in file names are rounded


def find_notes(
    published: Published, name: str = ''
) -> tuple[Published, tuple[str, ...]]:
    """Settings that a file name tells, and what to know before using the weights.

    Args:
        published (Published): As from
            :func:`~snndense.checkpoints.recognition.recognise`.
        name (str): Name of the file.

    Returns:
        tuple: ``published`` with steps and levels of the file name in its parts, and
        the notes.
    """
    notes: list[str] = []
    settings = STEPS_AND_LEVELS.search(name)
    has_levels = 'levels' in published.backbone.get('neuron_cfg', {})
    if settings and has_levels:
        published = _with_levels(published, int(settings[2]))
        notes.append(
            f'{settings[2]} integer levels, from the file name (keys and shapes do not '
            'tell)'
        )
    elif has_levels:
        notes += _level_notes(published)
    notes += _size_notes(published, name)
    notes += _family_notes(published)
    if published.unread:
        notes.append(
            f'{len(published.unread)} keys that the published code stores and never '
            f'reads are left out, such as {published.unread[0]}'
        )
    return published, tuple(notes)


def _with_levels(published: Published, levels: int) -> Published:
    # necks and heads of the published dense models have four levels whatever happens
    parts = deepcopy(published.parts)
    for place in ('backbone', 'head'):
        if place in parts and 'levels' in (parts[place].get('neuron_cfg') or {}):
            parts[place]['neuron_cfg']['levels'] = levels
    return replace(published, parts=parts)


def _level_notes(published: Published) -> Iterator[str]:
    levels = published.backbone['neuron_cfg']['levels']
    if published.family == 'meta_sdt' or published.task == 'classifier':
        yield (
            f'keys and shapes do not tell the number of integer levels; {levels} is '
            'assumed, and copies of the published code with 8 exist. If the accuracy '
            'is far below the published one, try neuron_cfg levels=8'
        )


def _size_notes(published: Published, name: str) -> Iterator[str]:
    stated = MILLIONS.search(name)
    if stated is None:
        return
    expected, found = float(stated[1]), published.num_params / 1e6
    if published.task in ('detector', 'segmentor'):
        weights = published.backbone_weights
        found = sum(value.numel() for value in weights.values()) / 1e6
    if abs(expected - found) <= TOLERANCE * expected:
        return
    swapped = {round(expected), round(found)} == {10, 19}
    yield (
        f'the file name says {stated[0]}, but these are {found:.1f}M weights of size '
        f'{published.arch}'
        + ('; links to the 10M and the 19M file are swapped in places' * swapped)
    )


def _family_notes(published: Published) -> Iterator[str]:
    backbone, task = published.backbone, published.task
    if published.family == 'meta_sdt' and backbone['mixer'] != 'attention':
        yield (
            'keys and shapes do not tell the factor on the attention scale; '
            f'attn_factor={backbone["attn_factor"]:g} is assumed, as in the published '
            'dense models. One analysis copy of the code has 1'
        )
    if backbone.get('mixer') in ('mlpixer', 'srb'):
        yield (
            f'the {backbone["mixer"]} mixer reads runs of pixels in memory: what it '
            'mixes, and so the accuracy, depends on the size of the input'
        )
    if published.family == 'sdt_v3' and backbone['in_channels'] == 2:
        yield (
            'two input channels: an event model, whose neurons divide counts by 1, 4 '
            'or 8 (neuron_cfg norm), by data set; keys and shapes do not tell which'
        )
    if published.family in ('sdt_v2', 'spikformer', 'spiking_resformer'):
        yield (
            f'keys and shapes do not tell the number of time steps; '
            f'{backbone["time_steps"]} is assumed, as published for this size'
        )
    if published.family == 'sdt_v3_large' and published.arch not in ('83m', '173m'):
        yield (
            'the first width of the 173M classifier is 196; that of its masked '
            'pre-training, 192, fits no classifier of it'
        )
    if published.family == 'spikformer':
        yield 'keys and shapes do not tell the number of attention heads (num_heads)'
    if backbone.get('layer_scale_init_value') and published.family != 'sdt_v3_large':
        yield 'the blocks have layer scales, as in the published segmentation backbone'
    if published.family == 'spiking_resformer':
        yield (
            'the attention scale was made for one input size; to evaluate at another '
            'as published, set train_img_size to that one, and pad_patches=False'
        )
    if task == 'detector':
        yield (
            'the published detector declares strides 4, 8, 16, 32 where its maps have '
            '4, 8, 16, 16, and its neck evaluates with spikes of 0 and 1; evaluate it '
            'with a config *_published.py'
        )
