"""Does a detector's neck and do its heads fit its backbone?"""

from collections.abc import Iterator
from copy import deepcopy

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..checks import (
    check_time_steps,
    find_parts,
    get_spiking_backbone,
    handed_over_steps,
)

PROBE_SIZE = 256  # pixels; a multiple of every stride, so that size / stride is exact


def check_detector(model: nn.Module, *, allow_wrong_strides: bool = False) -> None:
    """Check a built detector before it trains or tests.

    Time steps, channels and strides are declared in several places of a config: the
    backbone, the neck, the anchors, the RoI extractors. What disagrees either fails
    deep inside the toolbox or, for strides and time steps, silently computes the
    wrong thing. The strides behind the neck are measured by running a copy of it on
    empty maps. A model whose backbone is no
    :class:`~snndense.models.backbones.SpikingBackbone` is not checked.

    Args:
        model (nn.Module): A detector, or its distributed wrapper.
        allow_wrong_strides (bool): Whether anchors and RoI extractors may declare
            other strides than the maps have, as the published detection configs do.
            Defaults to False.

    Raises:
        ValueError: Naming every part that does not fit, and what to set.
    """
    if is_model_wrapper(model):
        model = model.module
    backbone = get_spiking_backbone(model)
    if backbone is None:
        return
    check_time_steps(model)
    steps = handed_over_steps(backbone)
    problems = list(_extractor_problems(model, steps))
    if not problems:
        problems = list(_map_problems(model, steps, allow_wrong_strides))
    if problems:
        lines = '\n'.join(f'  - {problem}' for problem in problems)
        raise ValueError(f'the parts of {type(model).__name__} do not fit:\n{lines}')


def _extractor_problems(model: nn.Module, steps: int) -> Iterator[str]:
    for name, roi_head in find_parts(model, 'roi_head'):
        # a cascade extracts mask features of its own all the same
        is_standard = isinstance(roi_head, StandardRoIHead) and roi_head.with_mask
        if steps > 1 and is_standard and roi_head.share_roi_extractor:
            yield (
                f'{name} has no mask_roi_extractor; with {steps} time steps the mask '
                'branch cannot pick its RoIs from the box features. Configure one'
            )


def _map_problems(model: nn.Module, steps: int, wrong_strides: bool) -> Iterator[str]:
    channels, strides = model.backbone.out_channels, model.backbone.out_strides
    for name, neck in find_parts(model, 'neck'):
        declared = getattr(neck, 'in_channels', channels)
        source = (
            f'the backbone ({type(model.backbone).__name__}) has out_channels='
            f'{list(channels)} at out_indices={model.backbone.out_indices}; set '
            'in_channels to these'
        )
        if list(declared) != list(channels):
            yield f'{name} has in_channels={list(declared)}, but {source}'
            return
        try:
            channels, strides = _measure_neck(neck, steps, channels, strides)
        except (AssertionError, RuntimeError) as error:
            yield f'{name} fails on the maps of the backbone: {source} ({error})'
            return
    yield from _channel_problems(model, channels)
    if not wrong_strides:
        yield from _stride_problems(model, strides)


@torch.no_grad()
def _measure_neck(
    neck: nn.Module, steps: int, channels: tuple, strides: tuple
) -> tuple[tuple, tuple]:
    """Channels and strides of the maps behind the neck."""
    neck = deepcopy(neck).eval()
    reference = next(neck.parameters(), torch.empty(0))
    inputs = [
        reference.new_zeros(steps, c, PROBE_SIZE // s, PROBE_SIZE // s)
        for c, s in zip(channels, strides, strict=True)
    ]
    outputs: tuple[Tensor, ...] = neck(tuple(inputs))
    return (
        tuple(x.shape[1] for x in outputs),
        tuple(PROBE_SIZE // x.shape[-1] for x in outputs),
    )


def _channel_problems(model: nn.Module, channels: tuple) -> Iterator[str]:
    for path in ('rpn_head', 'bbox_head'):
        for name, head in find_parts(model, path):
            declared = getattr(head, 'in_channels', None)
            if isinstance(declared, int) and set(channels) != {declared}:
                yield (
                    f'{name} has in_channels={declared}, but its maps have '
                    f'{list(channels)} channels'
                )
    for path in ('roi_head.bbox_roi_extractor', 'roi_head.mask_roi_extractor'):
        for name, extractor in find_parts(model, path):
            used = channels[: extractor.num_inputs]
            if set(used) != {extractor.out_channels}:
                yield (
                    f'{name} has out_channels={extractor.out_channels}, but its maps '
                    f'have {list(used)} channels'
                )


def _stride_problems(model: nn.Module, strides: tuple) -> Iterator[str]:
    for path in ('rpn_head', 'bbox_head'):
        for name, head in find_parts(model, path):
            generator = getattr(head, 'prior_generator', None)
            if generator is None:
                continue
            declared = [s[0] if isinstance(s, tuple) else s for s in generator.strides]
            if declared != list(strides):
                yield (
                    f'the {type(generator).__name__} of {name} has strides={declared}, '
                    f'but its maps have {list(strides)}'
                )
    for path in ('roi_head.bbox_roi_extractor', 'roi_head.mask_roi_extractor'):
        for name, extractor in find_parts(model, path):
            declared = list(extractor.featmap_strides)
            if declared != list(strides[: len(declared)]):
                yield (
                    f'{name} has featmap_strides={declared}, but its maps have '
                    f'{list(strides[: len(declared)])}'
                )
