"""Checkpoints are compared with a model before they load."""

from pathlib import Path

from torch import nn

from .reading import get_state_dict, read_checkpoint
from .report import KeyReport, compare_keys


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
) -> KeyReport:
    """Make sure that a checkpoint belongs to a model.

    mmengine loads what fits and warns about the rest in the log, so that a
    checkpoint of another model leaves random weights behind.

    Args:
        model (nn.Module): The model, on any device; it is not changed.
        path (str | Path): The checkpoint.
        allow_other_classes (bool): Whether layers that predict classes may have
            another shape and start anew, as when fine-tuning on other classes.
            Defaults to False.

    Returns:
        KeyReport: How the keys fit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or weights of the model are missing
            in it or have another shape.
    """
    report = compare_keys(model.state_dict(), get_state_dict(read_checkpoint(path)))
    anew = _sized_by_classes(model, report) if allow_other_classes else set()
    if report.missing or set(report.conflicts) - anew:
        raise ValueError(
            f'{path} is a checkpoint of another model than this '
            f'{type(model).__name__}:\n{report}\nGive the config that it was trained '
            'with. To start a new training from the weights of a part, set '
            "init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...) in that part"
        )
    return report
