"""What a config sets other than the published weights were trained with."""

from collections.abc import Iterator

import torch
from mmengine.registry import MODELS
from torch import nn

from .dense_heads import STRIDES
from .recognition import Published

#: Attributes of neurons, attentions and heads that weights depend on, and the argument
#: that sets them.
ATTRIBUTES = dict(
    levels='neuron_cfg levels',
    norm='neuron_cfg norm',
    rounding='neuron_cfg rounding',
    v_threshold='neuron_cfg v_threshold',
    time_steps='time_steps',
    scale='attn_factor or the flavour',
    num_heads='num_heads',
    share_last_neuron='share_last_neuron',
)
SETTING_TYPES = (bool, int, float, str)
EXTRACTORS = ('roi_head.bbox_roi_extractor', 'roi_head.mask_roi_extractor')


def find_differences(model: nn.Module, published: Published) -> list[str]:
    """Settings of a model that differ from those of the weights it loads.

    Weights fit a model with other neurons, steps or strides as well, and give other
    numbers with it.

    Args:
        model (nn.Module): The built model.
        published (Published): What it loads.

    Returns:
        list[str]: A line for each difference.
    """
    lines: list[str] = []
    for place, cfg in published.parts.items():
        part = _get(model, place)
        if part is not None:
            with torch.device('meta'):
                reference = MODELS.build(dict(cfg))
            lines += _compare(part, reference, place)
    if published.task == 'detector':
        lines += _compare_extractors(model)
    return lines


def _get(model: nn.Module, place: str) -> nn.Module | None:
    try:
        return model.get_submodule(place)
    except AttributeError:
        return None


def _compare(part: nn.Module, reference: nn.Module, place: str) -> Iterator[str]:
    found: dict[tuple, int] = {}
    modules = dict(part.named_modules())
    for name, published in reference.named_modules():
        ours = modules.get(name)
        for attribute in ATTRIBUTES:
            values = (getattr(m, attribute, None) for m in (ours, published))
            ours_value, value = values
            if ours is None or not isinstance(value, SETTING_TYPES):
                continue  # 'norm' is a layer elsewhere, 'scale' a method
            if ours_value != value:
                key = (attribute, ours_value, value)
                found[key] = found.get(key, 0) + 1
    for (attribute, ours_value, value), count in found.items():
        yield (
            f'{place}: {attribute}={ours_value} in {count} modules, published with '
            f'{attribute}={value} ({ATTRIBUTES[attribute]})'
        )
    strides = [_anchor_strides(m) for m in (part, reference)]
    if strides[0] != strides[1]:
        yield (
            f'{place}: anchors of strides {strides[0]}, published with {strides[1]} '
            '(a config *_published.py has them)'
        )


def _anchor_strides(head: nn.Module) -> list[int] | None:
    generator = getattr(head, 'prior_generator', None)
    if generator is None:
        return None
    return [s[0] if isinstance(s, tuple) else s for s in generator.strides]


def _compare_extractors(model: nn.Module) -> Iterator[str]:
    for place in EXTRACTORS:
        part = _get(model, place)
        for extractor in part if isinstance(part, nn.ModuleList) else [part]:
            if extractor is None:
                continue
            strides = list(extractor.featmap_strides)
            published = list(STRIDES[: len(strides)])
            if strides != published:
                yield (
                    f'{place}: featmap_strides={strides}, published with {published}'
                )
                break
