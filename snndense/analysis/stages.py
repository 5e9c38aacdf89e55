"""Which part of a model a layer belongs to, for tables per stage."""

from collections.abc import Callable, Iterable

from torch import nn

from snndense.models.backbones.base import SpikingBackbone


def _spiking_stages(model: nn.Module) -> dict[str, str]:
    """Names of modules -> the stage of their spiking backbone."""
    names = {module: name for name, module in model.named_modules()}
    stages = {}
    for backbone, name in names.items():
        if isinstance(backbone, SpikingBackbone):
            for index in range(backbone.num_stages):
                label = f'{name or "backbone"} stage {index}'
                for module in backbone.stage_modules(index):
                    stages[names[module]] = label
    return stages


def stage_namer(model: nn.Module) -> Callable[[str], str]:
    """A function from the name of a module to the part of the model it is in.

    Stages of a spiking backbone are counted as in its ``out_indices``; of another
    backbone and of a RoI head the children are named, of all else the module itself.
    """
    stages = _spiking_stages(model)
    lists = {n for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}

    def stage_of(name: str) -> str:
        parts = name.split('.')
        prefixes = ['.'.join(parts[:i]) for i in range(len(parts), 0, -1)]
        for prefix in prefixes:
            if prefix in stages:
                return stages[prefix]
        if not name:
            return type(model).__name__
        depth = 2 if parts[0] in ('backbone', 'roi_head') else 1
        if '.'.join(parts[:depth]) in lists:
            depth += 1
        return '.'.join(parts[:depth])

    return stage_of


def sum_by_stage(rows: Iterable, *columns: str) -> dict[str, dict[str, float]]:
    """Add up columns of rows that have a ``stage``, in order of appearance."""
    stages: dict[str, dict[str, float]] = {}
    for row in rows:
        totals = stages.setdefault(row.stage, dict.fromkeys(columns, 0))
        for column in columns:
            totals[column] += getattr(row, column)
    return stages
