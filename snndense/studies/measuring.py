"""Models and inputs for measurements, from a config as training reads it."""

from collections.abc import Iterator
from copy import deepcopy
from glob import escape, glob
from itertools import islice
from math import ceil
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn

from snndense.checkpoints.loading import check_checkpoint
from snndense.engine.data_checks import build_datasets, check_paths, inner_datasets
from snndense.engine.preflight import build_model, describe_published
from snndense.engine.run_config import set_dataloaders
from snndense.models.event_frames import check_reads_pictures

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
PHASES = ('test', 'val')


def load_model(
    cfg: Config, checkpoint: str | None = None, *, device: str = 'cpu'
) -> nn.Module:
    """Build the model of a config for evaluation, and load its weights.

    Args:
        cfg (Config): The config.
        checkpoint (str, optional): Its weights; without them the model keeps those it
            was built with, and no file is fetched.
        device (str): Defaults to ``'cpu'``.

    Raises:
        FileNotFoundError, ValueError: If the checkpoint is missing, cannot be read or
            belongs to another model, the config has no model, or the device cannot be
            used.
    """
    if cfg.get('model') is None:
        raise ValueError('the config has no model')
    check_device(device)
    model = revert_sync_batchnorm(build_model(cfg))
    if checkpoint is not None:
        match = check_checkpoint(model, checkpoint)
        describe_published(model, checkpoint, match)
        model.load_state_dict(match.weights, strict=False)
    return model.to(device).eval()


def get_backbone(model: nn.Module) -> nn.Module:
    """The backbone of a whole model.

    Raises:
        ValueError: If it has none.
    """
    if getattr(model, 'backbone', None) is None:
        raise ValueError(f'{type(model).__name__} of the config has no backbone')
    return model.backbone


def find_pipeline(cfg: Config) -> list[dict]:
    """The test pipeline of a config: of its test data, else of its validation data.

    Raises:
        ValueError: If the config has neither.
    """
    for phase in PHASES:
        dataloader = cfg.get(f'{phase}_dataloader')
        for dataset in inner_datasets(dataloader) if dataloader else ():
            if 'pipeline' in dataset:
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


def find_images(inputs: str) -> list[str]:
    """The image files that an argument names: a file, a folder or a pattern.

    Raises:
        FileNotFoundError: If there is none.
    """
    if Path(inputs).is_file():
        return [inputs]
    found = glob(f'{escape(inputs)}/*') if Path(inputs).is_dir() else glob(inputs)
    images = sorted(path for path in found if Path(path).suffix.lower() in SUFFIXES)
    if not images:
        raise FileNotFoundError(
            f'there is no image {inputs}: expected a file, a folder with files of '
            f'{SUFFIXES}, or a pattern in quotation marks'
        )
    return images


class Batches:
    """Batches as a data loader yields them, of a limited number of samples.

    Args:
        source (Iterable[dict]): Yields batches; sized or not.
        num_batches (int): How many of them.
    """

    def __init__(self, source, num_batches: int) -> None:
        self._source = source
        self._num_batches = num_batches

    def __len__(self) -> int:
        return self._num_batches

    @property
    def metainfo(self) -> dict:
        """What the data set tells about itself; nothing for image files."""
        return getattr(getattr(self._source, 'dataset', None), 'metainfo', {})

    def __iter__(self) -> Iterator[dict]:
        return islice(iter(self._source), self._num_batches)


def data_batches(
    cfg: Config,
    images: str | None = None,
    *,
    num_images: int = 100,
    batch_size: int = 1,
) -> Batches:
    """Images as the model of a config gets them in a test.

    Args:
        cfg (Config): Its test pipeline prepares the images.
        images (str, optional): An image, a folder or a pattern; None: the test data of
            the config, or its validation data where it has no test data.
        num_images (int): How many, from the first one on, rounded up to whole batches.
            Defaults to 100.
        batch_size (int): Images per batch. Defaults to 1.

    Returns:
        Batches: Sized and iterable; yields dicts of ``inputs`` and ``data_samples`` for
        ``model.test_step`` or ``model.data_preprocessor``.

    Raises:
        FileNotFoundError: If there are no images.
        ValueError: If a number is below 1, the config has no data, or images are named
            for a model that reads event frames.
    """
    if num_images < 1 or batch_size < 1:
        raise ValueError(
            'expected at least one image and one image per batch, but got '
            f'{num_images=}, {batch_size=}'
        )
    init_default_scope(cfg.default_scope)
    if images is not None:
        check_reads_pictures(cfg)
        paths = find_images(images)[:num_images]
        loader = _FileBatches(cfg, paths, batch_size)
        return Batches(loader, ceil(len(paths) / batch_size))
    phase = next((p for p in PHASES if cfg.get(f'{p}_dataloader')), None)
    if phase is None:
        raise ValueError(
            'the config has neither a test_dataloader nor a val_dataloader; name a '
            'folder of images'
        )
    cfg = deepcopy(cfg)
    set_dataloaders(cfg, pin_memory=False)
    dataloader = cfg[f'{phase}_dataloader']
    for dataset in build_datasets(dataloader):
        check_paths(dataset, phase)
    dataloader.pop('batch_sampler', None)
    dataloader.update(batch_size=batch_size, drop_last=False)
    loader = Runner.build_dataloader(dataloader)
    return Batches(loader, min(ceil(num_images / batch_size), len(loader)))


class _FileBatches:
    """Image files through the test pipeline of a config, without annotations."""

    def __init__(self, cfg: Config, paths: list[str], batch_size: int) -> None:
        steps = [
            deepcopy(step)
            for step in find_pipeline(cfg)
            if not step['type'].endswith('Annotations')
        ]
        if steps and steps[0].get('type', '').rpartition('.')[2] != 'LoadImageFromFile':
            raise ValueError(
                f'the test pipeline of the config begins with {steps[0].get("type")!r} '
                'and reads no image files; measure on the data of the config instead'
            )
        self._pipeline = Compose(steps)
        self._paths = paths
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[dict]:
        for start in range(0, len(self._paths), self._batch_size):
            paths = self._paths[start : start + self._batch_size]
            samples = [
                self._pipeline(dict(img_path=path, img_id=start + i))
                for i, path in enumerate(paths)
            ]
            yield pseudo_collate(samples)


class BackboneBatches:
    """Images as the backbone of a model gets them: through its data preprocessor.

    Args:
        model (nn.Module): The whole model.
        batches (Batches): As a data loader yields them.
    """

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        self._preprocessor = model.data_preprocessor
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self._batches:
            yield self._preprocessor(batch, False)['inputs']


def prepare(
    cfg: Config,
    checkpoint: str | None = None,
    images: str | None = None,
    *,
    part: str = 'model',
    num_images: int = 100,
    batch_size: int = 1,
    device: str | None = None,
) -> tuple[nn.Module, Batches | BackboneBatches]:
    """A model and the batches to measure it on, see :func:`load_model`.

    Args:
        cfg (Config): The config.
        checkpoint (str, optional): Weights.
        images, num_images, batch_size: See :func:`data_batches`.
        part (str): ``'model'``, or ``'backbone'`` for its backbone alone.
        device (str, optional): None: the GPU if there is one.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_model` and :func:`data_batches`,
            or if the device cannot be used.
    """
    batches = data_batches(cfg, images, num_images=num_images, batch_size=batch_size)
    model = load_model(cfg, checkpoint, device=device or get_device())
    if not hasattr(model, 'data_preprocessor'):
        raise ValueError(
            f'the config has a bare {type(model).__name__} that reads no image files; '
            'give the config of a whole model, with --part backbone for the backbone'
        )
    if part == 'model':
        return model, batches
    return get_backbone(model), BackboneBatches(model, batches)


def check_device(name: str) -> None:
    """Make sure that torch can use a device.

    Raises:
        ValueError: If it cannot.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'--device {name} cannot be used: {reason}') from error
