"""Weights of a file are compared with a model, or a part of it, before they load."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from snndense.utils.key_report import KeyReport, compare_keys

from .published import find_published, is_published
from .reading import get_state_dict, read_checkpoint
from .recognition import Published

BACKBONE = 'backbone.'


@dataclass(frozen=True)
class Match:
    """Weights of a file for a model or a part of it.

    Attributes:
        weights (dict[str, Tensor]): Those to load, under the module's keys.
        report (KeyReport): How all keys of the file fit.
        published (Published, optional): What the file holds if it is a published or
            converted one.
    """

    weights: dict[str, Tensor]
    report: KeyReport
    published: Published | None


def open_weights(
    path: str | Path, **options
) -> tuple[dict[str, Tensor], Published | None]:
    """Weights of any checkpoint under our keys, converted if they are published ones.

    Args:
        path (str | Path): A published file, a converted one, or a checkpoint of a
            training.
        **options: Those of :func:`~snndense.checkpoints.reading.read_checkpoint`.

    Returns:
        tuple: The weights, and what they are if they are published ones.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or is a published file that is damaged.
    """
    checkpoint = read_checkpoint(path, **options)
    published = published_or_none(checkpoint, path)
    if published is None:
        return get_state_dict(checkpoint), None
    return published.state_dict, published


def published_or_none(checkpoint: dict, path: str | Path) -> Published | None:
    """What a checkpoint holds if it is a published or converted one.

    Raises:
        ValueError: If it is a published one, but damaged.
    """
    if not is_published(checkpoint):
        return None
    try:
        return find_published(checkpoint, Path(path).name)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _sized_by_classes(model: nn.Module, report: KeyReport) -> set[str]:
    """Conflicts in heads that predict classes, only in the number of outputs."""
    heads = tuple(
        f'{name}.'
        for name, module in model.named_modules()
        if name and hasattr(module, 'num_classes') and not name.endswith('rpn_head')
    )
    return {
        key
        for key, (stored, wanted) in report.conflicts.items()
        if key.startswith(heads) and stored[1:] == wanted[1:]
    }


def check_checkpoint(
    model: nn.Module, path: str | Path, *, allow_other_classes: bool = False
) -> Match:
    """Make sure that a checkpoint belongs to a model.

    mmengine loads what fits and warns about the rest in the log, so that a
    checkpoint of another model leaves random weights behind.

    Args:
        model (nn.Module): The model, on any device; it is not changed.
        path (str | Path): The checkpoint, published or of a training.
        allow_other_classes (bool): Whether layers that predict classes may have
            another shape and start anew, as when fine-tuning on other classes.
            Defaults to False.

    Returns:
        Match: How the keys fit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or weights of the model are missing
            in it or have another shape; of a published file, also if weights are
            left over.
    """
    weights, published = open_weights(path)
    report = compare_keys(model.state_dict(), weights)
    anew = _sized_by_classes(model, report) if allow_other_classes else set()
    left_over = report.unexpected if published is not None else ()
    if report.missing or set(report.conflicts) - anew or left_over:
        raise ValueError(
            f'{path} is a checkpoint of another model than this '
            f'{type(model).__name__}:\n{report}\n{_advice(report, published)}Give the '
            'config that it was trained with. To start a new training from the weights '
            "of a part, set init_cfg=dict(type='Pretrained', checkpoint=..., "
            'prefix=...) in that part'
        )
    return Match(weights, report, published)


def match_pretrained(
    module: nn.Module, path: str | Path, prefix: str | None = None, name: str = ''
) -> Match:
    """Weights that ``init_cfg=dict(type='Pretrained', ...)`` loads into a module.

    A backbone loads all of its weights or none: what classification files hold
    besides (the head, stages that ``out_indices`` does not build) stays behind, and
    anything else that differs is refused. So are differences in parts and whole
    models that load published weights, but for the number of classes. Other modules
    take what fits of a checkpoint of a training, as in mmengine.

    Args:
        module (nn.Module): The module; it is not changed.
        path (str | Path): Published, converted or trained file.
        prefix (str, optional): Prefix of the module's keys, such as ``'backbone.'``,
            in our naming. None: those of a published file that belong to the module,
            all of another one.
        name (str): Name of the module in its model, for messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or does not fit.
    """
    weights, published = open_weights(path)
    if prefix is None and published is not None:
        prefix = _find_prefix(module, published)
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    selected = {
        key.removeprefix(start): value
        for key, value in weights.items()
        if key.startswith(start)
    }
    report = _compare(module, selected)
    part = f'{name or "model"} ({type(module).__name__})'
    if not report.matched:
        raise ValueError(
            f'nothing in {path} ({prefix=}) fits {part}:\n{report}\nGive the file '
            'and the prefix of its keys that belong to this part'
        )
    if published is not None:
        rest = (key for key in weights if not key.startswith(start))
        others = dict.fromkeys(rest, f'of other parts of the {published.task}')
        report = replace(
            report,
            unexpected=(*report.unexpected, *others),
            expected={**report.expected, **others},
        )
    if refused := _refused(module, report, published):
        raise ValueError(
            f'{path} does not fit {part}, {refused[0]} for one:\n{report}\n'
            f'{_advice(report, published)}No weights are loaded'
        )
    return Match({key: selected[key] for key in report.matched}, report, published)


def _find_prefix(module: nn.Module, published: Published) -> str:
    """Place of the part of a published model that a module is; '' for all of it."""
    keys = set(module.state_dict())
    if any(key.startswith(BACKBONE) for key in keys):
        return ''

    def num_shared(place: str) -> int:
        return len(keys & set(published.part_weights(place)))

    return max(published.parts, key=num_shared)


def _compare(module: nn.Module, stored: dict[str, Tensor]) -> KeyReport:
    from snndense.models.backbones import SpikingBackbone

    if isinstance(module, SpikingBackbone):
        return module.compare_weights(stored)
    return compare_keys(module.state_dict(), stored)


def _refused(
    module: nn.Module, report: KeyReport, published: Published | None
) -> list[str]:
    from snndense.models.backbones import SpikingBackbone

    if isinstance(module, SpikingBackbone):
        return [*report.surprises]
    if published is not None:
        anew = _sized_by_classes(module, report)
        return [key for key in report.surprises if key not in anew]
    return [key for key in report.unloaded if key.startswith(BACKBONE)]


def _advice(report: KeyReport, published: Published | None) -> str:
    """What to change so that the weights fit."""
    if published is None:
        return report.advice
    settings = ', '.join(f'{k}={v!r}' for k, v in published.backbone.items())
    return f'These are the weights of a {published}: dict({settings}). {report.advice}'
