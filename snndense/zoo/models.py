"""Models by name: a backbone, a classifier, or an inferencer of mmdet or mmseg."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from snndense.checkpoints.loading import match_pretrained, open_weights
from snndense.checkpoints.settings import find_differences
from snndense.utils.cli import read_config

from .entries import check_task, find_entry, matches, plain, select

HOSTS = dict(cls='mmpretrain', det='mmdet', seg='mmseg')


def list_models(
    pattern: str | None = None,
    exclude_patterns: Sequence[str] | None = None,
    task: str | None = None,
) -> list[str]:
    """Names that :func:`get_model` takes for a task.

    Args:
        pattern (str, optional): Shell pattern that a name has to start with.
        exclude_patterns (Sequence[str], optional): Patterns that it must not start
            with.
        task (str, optional): ``'cls'``, ``'det'`` or ``'seg'`` lists the configs of a
            task; None lists sizes of backbones and all configs.

    Returns:
        list[str]: The names, sorted. A config whose name several tasks share has its
        task in front, as in ``'det/lsformer_digits'``.

    Raises:
        ValueError: For an unknown task.
    """
    stems = [entry.stem for entry in select(task=task)]
    names = [
        entry.stem if stems.count(entry.stem) == 1 else f'{entry.task}/{entry.stem}'
        for entry in select(task=task)
    ]
    if task is None:
        names += backbone_sizes()
    return sorted(
        name
        for name in names
        if (pattern is None or matches([name], f'{pattern}*'))
        and not any(matches([name], f'{p}*') for p in exclude_patterns or ())
    )


def get_model(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    task: str | None = None,
    device: str | torch.device | None = None,
    **kwargs,
) -> Any:
    """A model of the zoo, ready for inference.

    Args:
        name (str): Size of a backbone (``'meta_sdt_s'``), name of a config
            (``'meta_sdt_srb_s_imagenet'``), long name of the zoo, or path of a config
            file. A size takes arguments such as ``mixer='srb'``.
        checkpoint (str | Path, optional): Published, converted or trained weights.
            They have to fit completely. None: random weights.
        task (str, optional): What to return. Defaults to None.

            - None: the backbone; ``model(images)`` is a tuple of feature maps, with
              the backbone's default ``out_indices`` and ``out_mode``.
            - ``'cls'``: mmpretrain's classifier; ``model(images)`` are logits.
            - ``'det'``, ``'seg'``: mmdet's ``DetInferencer`` or mmseg's
              ``MMSegInferencer``, which take files and arrays.
        device (str | torch.device, optional): Where to put the model. Defaults to the
            CPU, for inferencers to a GPU if there is one.
        **kwargs: Arguments of the backbone, or with a task entries of the config's
            ``model`` to change.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If the toolbox of the config is not installed.
        ValueError: For an unknown name, a config of another task, or other weights.
    """
    check_task(task)
    path = None if checkpoint is None else str(checkpoint)
    if task is None:
        backbone = MODELS.build({**_backbone_config(name), **kwargs})
        if path is not None:
            load_backbone(backbone, path)
        return backbone.to(device or 'cpu').eval()
    cfg = _task_config(name, task)
    if kwargs:
        cfg.merge_from_dict(dict(model=kwargs))
    from snndense.engine.inferencers import build_classifier, build_inferencer
    from snndense.engine.preflight import check_model

    check_model(cfg, [], path, with_init_cfg=False)
    build = build_classifier if task == 'cls' else build_inferencer
    return build(cfg, path, device)


def load_backbone(backbone: nn.Module, path: str) -> None:
    """Load a backbone's weights from a file that may hold a whole model.

    Args:
        backbone (nn.Module): The backbone.
        path (str): Published, converted or trained file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the weights are those of another backbone.
    """
    weights, _ = open_weights(path)
    is_whole = any(key.startswith('backbone.') for key in weights)
    match = match_pretrained(backbone, path, 'backbone.' if is_whole else None)
    backbone.load_state_dict(match.weights)
    if match.published is not None:
        model = nn.ModuleDict(dict(backbone=backbone))
        for difference in find_differences(model, match.published):
            warnings.warn(f'{path}: {difference}', stacklevel=3)


def backbone_sizes() -> dict[str, dict]:
    """Config of every backbone and size by name, such as ``'meta_sdt_s'``.

    The name is that of the registered class, in small letters with underscores, and
    that of the size.
    """
    from snndense.models.backbones import SpikingBackbone
    from snndense.registry import MODELS as SNNDENSE_MODELS

    classes = [
        (name, module)
        for name, module in SNNDENSE_MODELS.module_dict.items()
        if isinstance(module, type) and issubclass(module, SpikingBackbone)
    ]
    return {
        f'{_snake_case(name)}_{arch}': dict(type=f'snndense.{name}', arch=arch)
        for name, module in classes
        for arch in module.arch_settings
    }


def _snake_case(name: str) -> str:
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', name).lower()


def _backbone_config(name: str) -> dict:
    """Constructor arguments of the backbone that a name stands for."""
    sizes = backbone_sizes()
    by_name = {plain(size): cfg for size, cfg in sizes.items()}
    if plain(name) in by_name:
        return by_name[plain(name)]
    is_file = name.endswith('.py') and Path(name).is_file()
    path = name if is_file else find_entry(name, others=sizes).config_path
    cfg = dict(read_config(str(path)).model.backbone)
    for key in ('out_indices', 'out_mode', 'init_cfg'):
        cfg.pop(key, None)
    return cfg


def _task_config(name: str, task: str) -> Config:
    """The config that a name stands for; it has to be one of the task."""
    is_file = name.endswith('.py') and Path(name).is_file()
    cfg = read_config(name if is_file else str(find_entry(name, task).config_path))
    if cfg.default_scope != HOSTS[task]:
        raise ValueError(
            f'expected a config of {HOSTS[task]} for {task=}, but {name} is one of '
            f'{cfg.default_scope}'
        )
    return cfg
