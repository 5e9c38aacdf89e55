"""Classifiers and the inferencers of the toolboxes, from a config and weights."""

from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS

from .visualizers import build_visualizer

Device = str | torch.device | None


def build_classifier(
    cfg: Config, checkpoint: str | None = None, device: Device = None
) -> BaseModel:
    """mmpretrain's classifier, in evaluation mode.

    Args:
        cfg (Config): Config of a classifier.
        checkpoint (str, optional): Its weights. None: random ones.
        device (str | torch.device, optional): Where to put it. Defaults to the CPU.
    """
    from mmpretrain import get_model

    return get_model(cfg, pretrained=checkpoint or False, device=device)


def build_inferencer(
    cfg: Config, checkpoint: str | None = None, device: Device = None
) -> Any:
    """The inferencer of the toolbox that a config is written for.

    Args:
        cfg (Config): Config of a detector, a segmentor or a classifier.
        checkpoint (str, optional): The weights. Where they do not name the classes,
            the config's test data do. None: random weights.
        device (str | torch.device, optional): Where to put the model. Defaults to a
            GPU if there is one.

    Returns:
        DetInferencer | MMSegInferencer | ImageClassificationInferencer: Of mmdet,
        mmseg or mmpretrain.
    """
    if cfg.default_scope == 'mmpretrain':
        from mmpretrain import ImageClassificationInferencer

        model = build_classifier(cfg, checkpoint, device)
        inferencer = ImageClassificationInferencer(model)
        meta = dict(classes=inferencer.classes)
        inferencer.visualizer = build_visualizer('mmpretrain', meta)
        return inferencer
    if cfg.default_scope == 'mmdet':
        from mmdet.apis import DetInferencer as inferencer_class
    else:
        from mmseg.apis import MMSegInferencer as inferencer_class
    inferencer = _naming_classes(inferencer_class)(
        cfg, checkpoint, device=device, show_progress=False
    )
    # mmseg draws with the classes of Cityscapes otherwise
    inferencer.visualizer.dataset_meta = inferencer.model.dataset_meta
    return inferencer


def _naming_classes(inferencer: type) -> type:
    """A subclass that takes the names of the classes from the config.

    mmdet and mmseg assume those of COCO and Cityscapes where weights do not name them,
    which published ones never do.
    """

    class NamingInferencer(inferencer):
        def _load_weights_to_model(
            self, model: BaseModel, checkpoint: dict | None, cfg: Config
        ) -> None:
            meta = {} if checkpoint is None else checkpoint.setdefault('meta', {})
            is_named = {'dataset_meta', 'CLASSES'} & set(meta)
            if not is_named:
                meta['dataset_meta'] = classes_of(cfg)
            super()._load_weights_to_model(model, checkpoint, cfg)
            if checkpoint is None:
                model.dataset_meta = meta['dataset_meta']

    NamingInferencer.__name__ = NamingInferencer.__qualname__ = inferencer.__name__
    return NamingInferencer


def classes_of(cfg: Config) -> dict:
    """``classes`` and ``palette`` of a config's test data, which is not read."""
    dataset = deepcopy(cfg.test_dataloader.dataset)
    dataset.lazy_init = True
    metainfo = DATASETS.build(dataset).metainfo
    return {key: metainfo[key] for key in ('classes', 'palette') if key in metainfo}
