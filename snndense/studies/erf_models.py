"""Models and images for receptive fields, from configs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim.swa_utils import update_bn

from snndense.utils.synthetic import input_shape

from .measuring import data_batches, default_shape, get_backbone, load_model

RANDOM, DATASET = 'random', 'dataset'


@contextmanager
def _quiet() -> Iterator[None]:
    # mmengine lists every parameter that it initialises
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        yield
    finally:
        logger.setLevel(level)


def build_for_erf(
    cfg: Config, checkpoint: str | None = None, *, seed: int = 0, device: str = 'cpu'
) -> nn.Module:
    """Build the model of a config, trained or as it starts its training.

    Args:
        cfg (Config): The config.
        checkpoint (str, optional): Weights. None: those that ``init_cfg`` and the
            seed give.
        seed (int): Defaults to 0.
        device (str): Defaults to ``'cpu'``.

    Raises:
        FileNotFoundError, ValueError: If the checkpoint does not fit, or the model
            has no backbone.
    """
    torch.manual_seed(seed)
    model = load_model(cfg, checkpoint, device=device)
    backbone = get_backbone(model)
    if checkpoint is None:
        with _quiet():
            backbone.init_weights()
    return model.eval()


def is_pretrained(backbone: nn.Module) -> bool:
    """Whether a backbone starts from a file."""
    entries = getattr(backbone, 'init_cfg', None) or ()
    entries = (entries,) if isinstance(entries, dict) else entries
    return any(entry.get('type') == 'Pretrained' for entry in entries)


def calibrate_norms(backbone: nn.Module, batches: Iterable[Tensor]) -> None:
    """Take the statistics of all batch norms of an untrained network from images.

    As it is built, a batch norm in evaluation does nothing, so that signals fade
    from layer to layer and deep neurons stay silent.
    """
    was_training = backbone.training
    device = next(backbone.parameters()).device
    update_bn(batches, backbone, device)
    backbone.train(was_training)


def read_images(
    cfg: Config,
    model: nn.Module,
    source: str,
    *,
    num_images: int,
    shape: tuple[int, int] | None = None,
    seed: int = 0,
) -> Tensor:
    """Images as the network gets them, all of one size.

    Args:
        cfg (Config): Its test pipeline prepares them.
        model (nn.Module): Its data preprocessor normalises them.
        source (str): ``'random'`` for standard normal noise (with steps of its own
            where the model reads event frames), ``'dataset'`` for the config's own
            test or validation data, else a file, folder or pattern.
        num_images (int): How many; files may be fewer.
        shape (tuple[int, int], optional): Height and width. None: of noise, what the
            test pipeline makes of a picture; else, of the first one.
        seed (int): Of the noise. Defaults to 0.

    Returns:
        Tensor: ``(N, C, H, W)``, or event frames ``(N, T, C, H, W)``.

    Raises:
        FileNotFoundError: If there are no such images.
        ValueError: If there is no data set in the config.
    """
    if num_images < 1:
        raise ValueError(f'expected at least one image, but got {num_images=}')
    if source == RANDOM:
        generator = torch.Generator().manual_seed(seed)
        size = (num_images, *input_shape(model, shape or default_shape(cfg)))
        return torch.randn(size, generator=generator)
    batches = data_batches(
        cfg,
        None if source == DATASET else source,
        num_images=num_images,
        batch_size=1,
    )
    images = []
    for batch in batches:
        inputs = model.data_preprocessor(batch, False)['inputs']
        shape = shape or inputs.shape[-2:]
        images.append(_resize(inputs, shape).cpu())
    return torch.cat(images)[:num_images]


def _resize(images: Tensor, shape: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == tuple(shape):
        return images
    folded = images.flatten(0, -4)  # event frames have one axis more
    folded = interpolate(
        folded, tuple(shape), mode='bilinear', align_corners=False, antialias=True
    )
    return folded.reshape(*images.shape[:-2], *shape)
