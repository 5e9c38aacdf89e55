"""Published files: what they hold, told from keys and shapes, and their conversion."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import torch
from torch import Tensor, nn

from snndense.utils.files import complete_file
from snndense.version import __version__

from .dense_heads import DETECTOR
from .key_map import KeyMap
from .loading import KeyReport, compare_keys, get_state_dict, read_checkpoint
from .meta_sdt import META_SDT, META_SDT_CLASSIFIER, recognise_meta_sdt
from .sdt_v3_large import (
    SDT_V3_LARGE,
    SDT_V3_LARGE_CLASSIFIER,
    recognise_sdt_v3_large,
)
from .seg_heads import SEGMENTOR

TASKS = ('backbone', 'classifier', 'detector', 'segmentor')


@dataclass(frozen=True)
class Family:
    """An upstream naming scheme.

    Attributes:
        recognise (callable): Backbone state dict, without prefix, -> constructor
            arguments with ``type``, or None if the keys are not of this family.
        key_maps (dict[str, KeyMap]): Key map for each task that was published.
    """

    recognise: Callable[[dict[str, Tensor]], Optional[dict]]
    key_maps: dict[str, KeyMap]


FAMILIES = (
    Family(
        recognise_meta_sdt,
        dict(
            backbone=META_SDT,
            classifier=META_SDT_CLASSIFIER,
            detector=DETECTOR,
            segmentor=SEGMENTOR,
        ),
    ),
    Family(
        recognise_sdt_v3_large,
        dict(backbone=SDT_V3_LARGE, classifier=SDT_V3_LARGE_CLASSIFIER),
    ),
)


@dataclass(frozen=True)
class Published:
    """What a published file holds.

    Attributes:
        task (str): ``'backbone'``, ``'classifier'``, ``'detector'`` or
            ``'segmentor'``.
        backbone (dict): Config of the backbone that the weights fit.
        state_dict (dict[str, Tensor]): The weights under our keys; those of the
            backbone are below ``backbone.``.
    """

    task: str
    backbone: dict
    state_dict: dict[str, Tensor]

    @property
    def backbone_weights(self) -> dict[str, Tensor]:
        start = 'backbone.'
        return {
            key.removeprefix(start): value
            for key, value in self.state_dict.items()
            if key.startswith(start)
        }


def find_weights(checkpoint: dict) -> dict[str, Tensor]:
    """Weights of a published file: its ``model`` or ``state_dict``, or the file.

    Raises:
        ValueError: If there is no tensor in it.
    """
    if isinstance(checkpoint.get('model'), dict):
        checkpoint = checkpoint['model']
    weights = {
        key: value.float() if value.is_floating_point() else value
        for key, value in get_state_dict(checkpoint).items()
    }
    if not weights:
        raise ValueError(
            f'expected weights, but the file holds only {sorted(checkpoint)[:5]}'
        )
    return weights


def find_task(state_dict: dict[str, Tensor]) -> str:
    """The task whose parts a state dict has."""
    starts = {key.split('.', 1)[0] for key in state_dict}
    if 'decode_head' in starts:
        return 'segmentor'
    if starts & {'rpn_head', 'roi_head', 'bbox_head'}:
        return 'detector'
    return 'classifier' if starts & {'head', 'classifier'} else 'backbone'


def recognise(weights: dict[str, Tensor]) -> Published:
    """Tell family, size and task of published weights, and rename them.

    Args:
        weights (dict[str, Tensor]): Weights under their published keys.

    Raises:
        ValueError: If no family has these keys.
    """
    task = find_task(weights)
    bare = {key.removeprefix('backbone.'): value for key, value in weights.items()}
    for family in FAMILIES:
        backbone = family.recognise(bare)
        if backbone is None:
            continue
        converted = family.key_maps[task].convert(weights)
        if task == 'backbone':
            converted = {
                f'backbone.{key.removeprefix("backbone.")}': value
                for key, value in converted.items()
            }
        return Published(task, backbone, converted)
    raise ValueError(
        'the keys are those of no published model that is known here; they start with '
        f'{", ".join(list(weights)[:3])}'
    )


def check_backbone(published: Published) -> KeyReport:
    """Compare the backbone's weights with the backbone they were recognised as.

    Raises:
        ValueError: If a key is missing or left over, or a shape differs.
    """
    from mmengine.registry import MODELS

    with torch.device('meta'):
        backbone: nn.Module = MODELS.build(dict(published.backbone))
    report = compare_keys(backbone.state_dict(), published.backbone_weights)
    if report.unloaded or report.unexpected:
        raise ValueError(
            f'the weights look like {published.backbone}, but do not fit it:\n{report}'
        )
    return report


def convert_checkpoint(
    source: str | Path, target: str | Path, *, allow_pickle: bool = False
) -> tuple[Published, KeyReport]:
    """Rename a published file to this package's keys and write it for mmengine.

    The target is a dict with ``state_dict`` and ``meta``, which records the
    backbone's config, the hash of the source and the version of this package. It is
    complete or absent.

    Args:
        source (str | Path): Published ``.pth`` or ``.safetensors`` file.
        target (str | Path): The ``.pth`` file to write.
        allow_pickle (bool): Whether to unpickle a file that holds more than
            weights, which runs whatever code is in it. Defaults to False.

    Returns:
        tuple: What was found, and how the backbone's keys fit.

    Raises:
        FileNotFoundError: If there is no such source.
        ValueError: If it cannot be read or recognised, or does not fit.
    """
    source, target = Path(source), Path(target)
    if target.suffix != '.pth':
        raise ValueError(f'expected a .pth file to write, but got {target}')
    if source.suffix == '.safetensors' and source.is_file():
        checkpoint = _read_safetensors(source)
    elif allow_pickle and source.is_file():
        checkpoint = torch.load(source, map_location='cpu', weights_only=False)
    else:
        checkpoint = read_checkpoint(source)
    published = recognise(find_weights(checkpoint))
    report = check_backbone(published)
    meta = dict(
        backbone=published.backbone,
        task=published.task,
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        snndense_version=__version__,
    )
    with complete_file(target) as path:
        torch.save(dict(state_dict=published.state_dict, meta=meta), path)
    return published, report


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f'{path} needs safetensors; install it with: pip install safetensors'
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
