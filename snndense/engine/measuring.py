"""Models and inputs for measurements, from a config as training reads it."""

from typing import Optional

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from snndense.checkpoints.loading import (
    check_checkpoint,
    get_state_dict,
    read_checkpoint,
)

from .preflight import build_model

PARTS = ('model', 'backbone')


def load_model(
    cfg: Config,
    checkpoint: Optional[str] = None,
    *,
    part: str = 'model',
    device: str = 'cpu',
) -> nn.Module:
    """Build the model of a config for evaluation, and load its weights.

    Args:
        cfg (Config): The config.
        checkpoint (str, optional): Its weights; without them the model keeps those it
            was built with, and no file is fetched.
        part (str): ``'model'``, or ``'backbone'`` for its backbone alone.
            Defaults to ``'model'``.
        device (str): Defaults to ``'cpu'``.

    Raises:
        FileNotFoundError, ValueError: If the checkpoint is missing, cannot be read or
            belongs to another model, or the config has no backbone.
    """
    if part not in PARTS:
        raise ValueError(f'expected part in {PARTS}, but got {part=}')
    if cfg.get('model') is None:
        raise ValueError('the config has no model')
    model = revert_sync_batchnorm(build_model(cfg))
    if checkpoint is not None:
        check_checkpoint(model, checkpoint)
        state_dict = get_state_dict(read_checkpoint(checkpoint))
        model.load_state_dict(state_dict, strict=False)
    if part == 'backbone' and hasattr(model, 'data_preprocessor'):
        if getattr(model, 'backbone', None) is None:
            raise ValueError(f'{type(model).__name__} of the config has no backbone')
        model = model.backbone
    return model.to(device).eval()


def find_pipeline(cfg: Config) -> list[dict]:
    """The test pipeline of a config: of its test data, else of its validation data.

    Raises:
        ValueError: If the config has neither.
    """
    for phase in ('test', 'val'):
        dataset = (cfg.get(f'{phase}_dataloader') or {}).get('dataset')
        while dataset is not None and 'pipeline' not in dataset:
            inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
            dataset = inner
        if dataset is not None:
            return list(dataset['pipeline'])
    raise ValueError('the config has no test_dataloader with a pipeline')


def default_shape(cfg: Config) -> tuple[int, int]:
    """Height and width that the test pipeline of a config makes of a picture.

    Pictures keep their proportions in some pipelines; then it is the size that they
    have to fit in, in landscape format.

    Raises:
        ValueError: If the pipeline leaves the size to the pictures.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    sizes = [(preprocessor or {}).get('size')]
    for step in reversed(find_pipeline(cfg)):
        scale = step.get('scale')  # (width, height)
        sizes.append(step.get('crop_size'))
        sizes.append(scale[::-1] if isinstance(scale, (tuple, list)) else scale)
    for size in sizes:
        if isinstance(size, int):
            return size, size
        if size is not None and len(size) == 2:
            return tuple(size)
    raise ValueError(
        'the test pipeline of the config keeps the size of its pictures: give the one '
        'to count for with --shape H W'
    )
