"""Do the parts of a model work on the time steps that its backbone hands over?"""

from collections.abc import Iterator

from mmengine.model import is_model_wrapper
from torch import nn

from .backbones import SpikingBackbone

NECK = 'neck'
#: Where detectors, segmentors and classifiers have parts behind the neck.
TIMED_PARTS = (
    'rpn_head',
    'bbox_head',
    'mask_head',
    'roi_head.bbox_roi_extractor',
    'roi_head.bbox_head',
    'roi_head.mask_roi_extractor',
    'roi_head.mask_head',
    'decode_head',
    'auxiliary_head',
    'head',
)


def get_spiking_backbone(model: nn.Module) -> SpikingBackbone | None:
    """The backbone of a whole model if it is ours."""
    backbone = getattr(model, 'backbone', None)
    return backbone if isinstance(backbone, SpikingBackbone) else None


def find_parts(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules at a dotted path; each stage's where a cascade has several."""
    part: nn.Module | None = model
    for name in path.split('.'):
        part = getattr(part, name, None)
    if isinstance(part, nn.ModuleList):
        for stage, module in enumerate(part):
            yield f'{path}[{stage}] ({type(module).__name__})', module
    elif part is not None:
        yield f'{path} ({type(part).__name__})', part


def handed_over_steps(backbone: SpikingBackbone) -> int:
    """Time steps in the first axis of what a backbone returns."""
    return backbone.time_steps if backbone.out_mode == 'sequence' else 1


def check_time_steps(model: nn.Module) -> None:
    """Check that neck and heads have the time steps that the backbone hands over.

    Otherwise a stock classification head compares the logits of one step with the
    labels and drops the rest, and a segmentor predicts a map for every step. A model
    whose backbone is no :class:`SpikingBackbone` is not checked.

    Args:
        model (nn.Module): A detector, segmentor or classifier, or its distributed
            wrapper.

    Raises:
        ValueError: Naming every part that does not fit, and what to set.
    """
    if is_model_wrapper(model):
        model = model.module
    backbone = get_spiking_backbone(model)
    if backbone is None:
        return
    steps = handed_over_steps(backbone)
    # a stock neck has no neurons and takes any number of steps
    wrong = [
        f'{name}: {found}'
        for path in (NECK, *TIMED_PARTS)
        for name, part in find_parts(model, path)
        if (found := getattr(part, 'time_steps', steps if path == NECK else 1)) != steps
    ]
    if wrong:
        raise ValueError(
            f'the parts of {type(model).__name__} do not fit: the backbone hands over '
            f'{steps} time step(s) (time_steps={backbone.time_steps}, out_mode='
            f'{backbone.out_mode!r}), but other parts work on a different number '
            f"({', '.join(wrong)}). Spiking parts need the backbone's time_steps and "
            "out_mode='sequence', stock ones need out_mode='mean'"
        )
