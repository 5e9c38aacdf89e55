"""Everything that can be found wrong with a run before it writes anything."""

from collections.abc import Iterable
from copy import deepcopy

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from snndense.checkpoints.hooks import describe
from snndense.checkpoints.loading import Match, check_checkpoint, match_pretrained
from snndense.checkpoints.reading import WEB
from snndense.checkpoints.settings import find_differences
from snndense.models.checks import check_time_steps

from .data_checks import (
    build_datasets,
    check_contents,
    check_evaluator_paths,
    check_paths,
    class_folders,
    is_remote,
)

# heads that tell objects from background, or stuff apart
OTHER_CLASSES = ('rpn_head', 'semantic_head', 'panoptic_fusion_head')


def build_model(cfg: Config) -> BaseModel:
    """Build the model of a config as ``Runner`` does, without initialising it."""
    init_default_scope(cfg.default_scope)
    model_cfg = deepcopy(cfg.model)  # detectors write into their config
    if cfg.get('data_preprocessor') is not None:
        model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
    return MODELS.build(model_cfg)


def check_run(
    cfg: Config,
    phases: Iterable[str],
    checkpoint: str | None = None,
    *,
    allow_other_classes: bool = False,
) -> None:
    """Check data, model and checkpoint of a config.

    The data sets are built without annotations and the model without weights, cheap
    checks come first, and nothing is written.

    Args:
        cfg (Config): The config, with the options of the command line.
        phases (Iterable[str]): Of ``'train'``, ``'val'`` and ``'test'``; those that
            the config does not have are left out.
        checkpoint (str, optional): What the model will load.
        allow_other_classes (bool): See
            :func:`~snndense.checkpoints.loading.check_checkpoint`.

    Raises:
        FileNotFoundError, TypeError, ValueError: Naming what is wrong and where.
    """
    init_default_scope(cfg.default_scope)
    phases = tuple(phases)
    datasets: list[BaseDataset] = []
    for phase in phases:
        dataloader = cfg.get(f'{phase}_dataloader')
        if dataloader is None:
            continue
        for dataset in build_datasets(dataloader):
            check_paths(dataset, phase)
            datasets.append(dataset)
        check_evaluator_paths(cfg.get(f'{phase}_evaluator'), phase)
    check_model(
        cfg,
        datasets,
        checkpoint,
        allow_other_classes,
        with_init_cfg='train' in phases,
    )
    checked = set()
    for dataset in datasets:
        source = (dataset.ann_file, str(dataset.data_prefix), dataset.test_mode)
        if source not in checked:  # val and test are often the same
            check_contents(dataset)
            checked.add(source)


def check_model(
    cfg: Config,
    datasets: list[BaseDataset],
    checkpoint: str | None = None,
    allow_other_classes: bool = False,
    with_init_cfg: bool = True,
) -> None:
    """Check that the parts of a model, its data and its checkpoint fit.

    Args:
        cfg (Config): The config.
        datasets (list[BaseDataset]): Data sets whose classes the heads predict.
        checkpoint (str, optional): What the model will load.
        allow_other_classes (bool): As in :func:`check_run`.
        with_init_cfg (bool): Whether the model first loads what its parts name in
            ``init_cfg``, as in a training. Defaults to True.

    Raises:
        FileNotFoundError, TypeError, ValueError: Naming what is wrong and where.
    """
    model = build_model(cfg)
    check_time_steps(model)
    if cfg.default_scope == 'mmdet':
        from snndense.models.det import check_detector

        allow_wrong_strides = cfg.get('allow_wrong_strides', False)
        check_detector(model, allow_wrong_strides=allow_wrong_strides)
    for dataset in datasets:
        check_num_classes(model, dataset)
    if with_init_cfg:
        check_pretrained_parts(model)
    if checkpoint is not None:
        match = check_checkpoint(
            model, checkpoint, allow_other_classes=allow_other_classes
        )
        describe_published(model, checkpoint, match)
        print(f'{checkpoint} fits {type(model).__name__}:\n{match.report}', flush=True)


def describe_published(model: nn.Module, checkpoint: str, match: Match) -> None:
    """Print what a published file holds, and which settings of a model differ."""
    if match.published is None:
        return
    print(describe(checkpoint, match.published))
    for difference in find_differences(model, match.published):
        print(f'warning: {difference}', flush=True)


def _count_classes(dataset: BaseDataset) -> int | None:
    classes = dataset.metainfo.get('classes') or class_folders(dataset)
    return len(classes) if classes else None


def check_num_classes(model: nn.Module, dataset: BaseDataset) -> None:
    """Compare ``num_classes`` of the heads with the classes of a data set.

    Raises:
        ValueError: If a head predicts another number of classes.
    """
    expected = _count_classes(dataset)
    if expected is None:
        return
    for name, module in model.named_modules():
        if 'head' not in name or name.endswith(OTHER_CLASSES):
            continue
        num_classes = getattr(module, 'num_classes', None)
        if num_classes is not None and num_classes != expected:
            raise ValueError(
                f'{name} ({type(module).__name__}) has {num_classes=}, but '
                f'{type(dataset).__name__} {dataset.ann_file or dataset.data_root} '
                f'has {expected} classes. Set model.{name}.num_classes={expected}, or '
                "metainfo['classes'] of the data set"
            )


def check_pretrained_parts(model: nn.Module) -> None:
    """Check the files of ``init_cfg=dict(type='Pretrained', ...)`` in a model.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file cannot be read or does not fit, see
            :func:`~snndense.checkpoints.loading.match_pretrained`.
    """
    for name, module in model.named_modules():
        init_cfgs = getattr(module, 'init_cfg', None) or []
        for init_cfg in [init_cfgs] if isinstance(init_cfgs, dict) else init_cfgs:
            if init_cfg.get('type') != 'Pretrained':
                continue
            path, prefix = init_cfg['checkpoint'], init_cfg.get('prefix')
            if is_remote(path) and not path.startswith(WEB):
                continue
            match = match_pretrained(module, path, prefix, name)
            if match.published is not None:
                print(describe(path, match.published))
            part = f'{name or "model"} ({type(module).__name__})'
            print(f'{path} initialises {part}:\n{match.report}', flush=True)
