"""What published weights belong to, told from their keys and shapes alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from snndense.utils.compat import check_host
from snndense.utils.key_report import KeyReport, compare_keys

from .dense_heads import DETECTOR, detector_parts
from .key_map import KeyMap
from .meta_sdt import (
    META_SDT,
    META_SDT_CLASSIFIER,
    meta_sdt_head,
    name_meta_sdt,
    recognise_meta_sdt,
)
from .sdt_v3_large import (
    SDT_V3_LARGE,
    SDT_V3_LARGE_CLASSIFIER,
    recognise_sdt_v3_large,
    sdt_v3_large_head,
)
from .seg_heads import SEGMENTOR, segmentor_parts
from .spikformer import (
    SPIKFORMER,
    SPIKFORMER_CLASSIFIER,
    recognise_spikformer,
    spikformer_head,
)
from .spiking_resformer import (
    SPIKING_RESFORMER,
    SPIKING_RESFORMER_CLASSIFIER,
    recognise_spiking_resformer,
    spiking_resformer_head,
)

#: Task -> the toolbox whose modules its neck and heads are.
TASKS = dict(
    backbone=None, classifier='mmpretrain', detector='mmdet', segmentor='mmseg'
)


@dataclass(frozen=True)
class Naming:
    """An upstream naming scheme.

    Attributes:
        recognise (callable): Backbone weights, without prefix, -> config of the
            backbone with ``type``, or None if the keys are others.
        name (callable): Config of the backbone -> family.
        head (callable): Weights under our keys and config of the backbone -> config
            of the classification head.
        key_maps (dict[str, KeyMap]): Key map for each task that was published.
        usage (dict[str, dict]): What each task reads of the backbone, as arguments.
    """

    recognise: Callable[[dict[str, Tensor]], dict | None]
    name: Callable[[dict], str]
    head: Callable[[dict[str, Tensor], dict], dict]
    key_maps: dict[str, KeyMap]
    usage: dict[str, dict]


NAMINGS = (
    Naming(
        recognise_meta_sdt,
        name_meta_sdt,
        meta_sdt_head,
        dict(
            backbone=META_SDT,
            classifier=META_SDT_CLASSIFIER,
            detector=DETECTOR,
            segmentor=SEGMENTOR,
        ),
        dict(
            classifier=dict(out_indices=[4], out_mode='sequence'),
            detector=dict(out_indices=[1, 2, 3, 4], out_mode='sequence'),
            # SDT-V2 averages over time in front of the neck; the others have one step
            segmentor=dict(out_indices=[0, 1, 2, 4], out_mode='mean'),
        ),
    ),
    Naming(
        recognise_sdt_v3_large,
        lambda backbone: 'sdt_v3_large',
        sdt_v3_large_head,
        dict(backbone=SDT_V3_LARGE, classifier=SDT_V3_LARGE_CLASSIFIER),
        dict(classifier=dict(out_indices=[3], out_mode='sequence')),
    ),
    Naming(
        recognise_spiking_resformer,
        lambda backbone: 'spiking_resformer',
        spiking_resformer_head,
        dict(backbone=SPIKING_RESFORMER, classifier=SPIKING_RESFORMER_CLASSIFIER),
        dict(classifier=dict(out_indices=[2])),
    ),
    Naming(
        recognise_spikformer,
        lambda backbone: 'spikformer',
        spikformer_head,
        dict(backbone=SPIKFORMER, classifier=SPIKFORMER_CLASSIFIER),
        dict(classifier=dict(out_indices=[3])),
    ),
)
DEFAULT_HEADS = 8  # of sizes that were not published, where shapes do not tell
FAMILIES = (
    'sdt_v2',
    'sdt_v3',
    'sdt_v3_large',
    'meta_sdt',
    'spiking_resformer',
    'spikformer',
)


def count_parameters(weights: dict[str, Tensor]) -> int:
    """Number of parameters: all weights but buffers."""
    buffers = ('running_mean', 'running_var', 'num_batches_tracked', '_rate.value')
    return sum(
        value.numel() for key, value in weights.items() if not key.endswith(buffers)
    )


@dataclass(frozen=True)
class Published:
    """What a published file holds.

    Attributes:
        family (str): One of ``FAMILIES``.
        task (str): ``'backbone'``, ``'classifier'``, ``'detector'`` or
            ``'segmentor'``.
        parts (dict[str, dict]): Constructor arguments with ``type`` of every module
            that has weights, by its place in the model: ``'backbone'``, and
            ``'head'``, ``'neck'``, ``'decode_head'``, ``'roi_head.bbox_head'`` or
            the like. What keys and shapes do not tell (steps, levels, heads, strides
            of anchors) is as published. Values are those of JSON.
        state_dict (dict[str, Tensor]): The weights under our keys; those of the
            backbone are below ``backbone.``.
        unread (tuple[str]): Published keys that nothing reads, left out on purpose.
        notes (tuple[str]): What to know before the weights are used, a sentence each.
        origin (dict, optional): Of a converted file: ``source``, ``source_sha256`` and
            ``converter``, its published file and the version that converted it.
    """

    family: str
    task: str
    parts: dict[str, dict]
    state_dict: dict[str, Tensor]
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: dict | None = None

    @property
    def backbone(self) -> dict:
        """Config of the backbone."""
        return self.parts['backbone']

    @property
    def arch(self) -> str | dict:
        """Size of the backbone: its name, or a dict for one that was not published."""
        return self.backbone['arch']

    @property
    def backbone_weights(self) -> dict[str, Tensor]:
        """Weights of the backbone, without ``backbone.``."""
        return self.part_weights('backbone')

    @property
    def num_params(self) -> int:
        """Number of parameters: all weights but buffers."""
        return count_parameters(self.state_dict)

    def part_weights(self, place: str) -> dict[str, Tensor]:
        """Weights of one of ``parts``, without its place in front."""
        start = f'{place}.'
        return {
            key.removeprefix(start): value
            for key, value in self.state_dict.items()
            if key.startswith(start)
        }

    def __str__(self) -> str:
        arch = self.arch if isinstance(self.arch, str) else 'of an unpublished size'
        mixer = self.backbone.get('mixer')
        names = [self.family, arch, *([f'({mixer} mixer)'] if mixer else [])]
        return f'{self.task} with the backbone {" ".join(names)}'


def find_task(state_dict: dict[str, Tensor]) -> str:
    """The task whose parts a state dict has."""
    starts = {key.split('.', 1)[0] for key in state_dict}
    if 'decode_head' in starts:
        return 'segmentor'
    if starts & {'rpn_head', 'roi_head', 'bbox_head'}:
        return 'detector'
    return 'classifier' if starts & {'head', 'classifier'} else 'backbone'


def find_backbone(weights: dict[str, Tensor]) -> tuple[Naming, dict] | None:
    """Naming scheme of published weights and config of their backbone, None if none.

    Args:
        weights (dict[str, Tensor]): Weights under any keys.

    Raises:
        ValueError: If they are those of a file that is known to be damaged.
    """
    bare = {key.removeprefix('backbone.'): value for key, value in weights.items()}
    for naming in NAMINGS:
        if backbone := naming.recognise(bare):
            return naming, name_arch(backbone)
    return None


def recognise(weights: dict[str, Tensor]) -> Published:
    """Tell family, size and task of published weights, and rename them.

    Args:
        weights (dict[str, Tensor]): Weights under their published keys, as from
            :func:`~snndense.checkpoints.reading.find_weights`.

    Raises:
        ValueError: If no family has these keys.
    """
    found = find_backbone(weights)
    if found is None:
        raise ValueError(
            'the keys are those of no published model that is known here; they start '
            f'with {", ".join(list(weights)[:3])}'
        )
    naming, backbone = found
    task = find_task(weights)
    if task not in naming.key_maps:
        raise ValueError(
            f'there is no published {task} with a {backbone["type"]} backbone, but the '
            f'keys are those of one; known are {tuple(naming.key_maps)}'
        )
    key_map = naming.key_maps[task]
    converted = key_map.convert(weights)
    if task == 'backbone':
        converted = {
            f'backbone.{key.removeprefix("backbone.")}': value
            for key, value in converted.items()
        }
    backbone.update(naming.usage.get(task, {}))
    try:
        parts = _find_parts(task, naming, converted, backbone)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f'the keys are those of a {task}, but one is missing or of another shape '
            f'({error})'
        ) from None
    return Published(
        family=naming.name(backbone),
        task=task,
        parts=dict(backbone=backbone, **parts),
        state_dict=converted,
        unread=tuple(key for key in weights if key_map.rename(key) is None),
    )


def _find_parts(
    task: str, naming: Naming, weights: dict[str, Tensor], backbone: dict
) -> dict[str, dict]:
    if task == 'classifier':
        return dict(head=naming.head(weights, backbone))
    if task == 'detector':
        return detector_parts(weights, backbone)
    return segmentor_parts(weights, backbone) if task == 'segmentor' else {}


def name_arch(backbone: dict) -> dict:
    """Config of a backbone with the name of its size in place of the dict.

    Entries of the dict that are None are those of the size. The width of the MLPs may
    differ from it and becomes an argument of its own.

    Args:
        backbone (dict): Config with ``type`` and ``arch``.

    Returns:
        dict: The config, of JSON's types; unchanged if no size fits.
    """
    backbone = json.loads(json.dumps(backbone))
    arch = backbone['arch']
    known = json.loads(json.dumps(MODELS.get(backbone['type']).arch_settings))
    for name, settings in known.items():
        ratio = settings.pop('mlp_ratio')
        if all(arch[key] in (None, value) for key, value in settings.items()):
            backbone['arch'] = name
            if arch['mlp_ratio'] != ratio:
                backbone['mlp_ratio'] = arch['mlp_ratio']
            return backbone
    arch['num_heads'] = arch['num_heads'] or DEFAULT_HEADS
    return backbone


def _build_empty(cfg: dict) -> nn.Module:
    """A module without values."""
    try:
        with torch.device('meta'):
            return MODELS.build(dict(cfg))
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        raise ValueError(
            f'by their shapes the weights belong to {cfg}, which cannot be built; one '
            f'is of another shape than its neighbours ({error})'
        ) from None


def check_parts(published: Published, places: Sequence[str] | None = None) -> KeyReport:
    """Compare weights with the modules that they were recognised as.

    Args:
        published (Published): As from :func:`recognise`.
        places (Sequence[str], optional): Parts to look at, such as
            ``('backbone',)``. None: all of them, and no key may lie outside.

    Returns:
        KeyReport: How the keys fit; without surprises.

    Raises:
        ImportError: If the toolbox of the neck and the heads is not installed.
        ValueError: If a key is missing or left over, or a shape differs.
    """
    stored, host = published.state_dict, TASKS[published.task]
    if places is None:
        places = tuple(published.parts)
        if host is not None:
            check_host(host)
    else:
        starts = tuple(f'{place}.' for place in places)
        stored = {k: v for k, v in stored.items() if k.startswith(starts)}
    wanted: dict[str, Tensor] = {}
    for place in places:
        weights = _build_empty(published.parts[place]).state_dict()
        wanted.update({f'{place}.{key}': value for key, value in weights.items()})
    report = compare_keys(wanted, stored)
    if report.surprises:
        raise ValueError(
            f'the weights look like a {published}, but do not fit:\n{report}'
        )
    return report
