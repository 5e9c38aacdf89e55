"""Does a detector's neck and do its heads fit its backbone?"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Optional

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..backbones import SpikingBackbone

TIMED_PARTS = (
    'rpn_head',
    'bbox_head',
    'mask_head',
    'roi_head.bbox_roi_extractor',
    'roi_head.bbox_head',
    'roi_head.mask_roi_extractor',
    'roi_head.mask_head',
)
PROBE_SIZE = 256  # pixels; a multiple of every stride, so that size / stride is exact


def check_detector(model: nn.Module, *, allow_wrong_strides: bool = False) -> None:
    """Check a built detector before it trains or tests.

    Time steps, channels and strides are declared in several places of a config: the
    backbone, the neck, the anchors, the RoI extractors. What disagrees either fails
    deep inside the toolbox or, for strides and time steps, silently computes the
    wrong thing. The strides behind the neck are measured by running a copy of it on
    empty maps. A model whose backbone is no :class:`SpikingBackbone` is not checked.

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
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, SpikingBackbone):
        return
    steps = backbone.time_steps if backbone.out_mode == 'sequence' else 1
    problems = list(_time_problems(model, steps))
    if not problems:
        problems = list(_map_problems(model, steps, allow_wrong_strides))
    if problems:
        lines = '\n'.join(f'  - {problem}' for problem in problems)
        raise ValueError(f'the parts of {type(model).__name__} do not fit:\n{lines}')


def _parts(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules at a dotted path; each stage's where a cascade has several."""
    part: Optional[nn.Module] = model
    for name in path.split('.'):
        part = getattr(part, name, None)
    if isinstance(part, nn.ModuleList):
        for stage, module in enumerate(part):
            yield f'{path}[{stage}] ({type(module).__name__})', module
    elif part is not None:
        yield f'{path} ({type(part).__name__})', part


def _time_problems(model: nn.Module, steps: int) -> Iterator[str]:
    # a stock neck has no neurons and takes any number of steps
    wrong = [
        f'{name}: {expected}'
        for path in ('neck', *TIMED_PARTS)
        for name, part in _parts(model, path)
        if (expected := getattr(part, 'time_steps', steps if path == 'neck' else 1))
        != steps
    ]
    if wrong:
        yield (
            f'the backbone hands over {steps} time step(s) (time_steps='
            f'{model.backbone.time_steps}, out_mode={model.backbone.out_mode!r}), but '
            f'other parts work on a different number ({", ".join(wrong)}). Spiking '
            "parts need the backbone's time_steps and out_mode='sequence', stock ones "
            "need out_mode='mean'"
        )
    for name, roi_head in _parts(model, 'roi_head'):
        # a cascade extracts mask features of its own all the same
        is_standard = isinstance(roi_head, StandardRoIHead) and roi_head.with_mask
        if steps > 1 and is_standard and roi_head.share_roi_extractor:
            yield (
                f'{name} has no mask_roi_extractor; with {steps} time steps the mask '
                'branch cannot pick its RoIs from the box features. Configure one'
            )


def _map_problems(model: nn.Module, steps: int, wrong_strides: bool) -> Iterator[str]:
    channels, strides = model.backbone.out_channels, model.backbone.out_strides
    for name, neck in _parts(model, 'neck'):
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
        for name, head in _parts(model, path):
            declared = getattr(head, 'in_channels', None)
            if isinstance(declared, int) and set(channels) != {declared}:
                yield (
                    f'{name} has in_channels={declared}, but its maps have '
                    f'{list(channels)} channels'
                )
    for path in ('roi_head.bbox_roi_extractor', 'roi_head.mask_roi_extractor'):
        for name, extractor in _parts(model, path):
            used = channels[: extractor.num_inputs]
            if set(used) != {extractor.out_channels}:
                yield (
                    f'{name} has out_channels={extractor.out_channels}, but its maps '
                    f'have {list(used)} channels'
                )


def _stride_problems(model: nn.Module, strides: tuple) -> Iterator[str]:
    for path in ('rpn_head', 'bbox_head'):
        for name, head in _parts(model, path):
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
        for name, extractor in _parts(model, path):
            declared = list(extractor.featmap_strides)
            if declared != list(strides[: len(declared)]):
                yield (
                    f'{name} has featmap_strides={declared}, but its maps have '
                    f'{list(strides[: len(declared)])}'
                )
