"""Files as published: full-size key lists, filled with weights, in every container."""

import argparse
import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from snndense.parity.fixture import make_parameter

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / 'tests/data/manifests'
#: Key lists of whole models are complete; these leave the backbone to another list.
BACKBONE_OF = {
    'det_cascade_sdt3_19m_heads': 'sdtv3_l',
    'det_mask_rcnn_sdt3_10m_heads': 'sdtv3_m',
    'det_retina_sdt2_15m_heads': 'sdtv2_15m',
    'seg_qfpn_sterf_srb_b_heads': 'meta_sdt_srb_l_r4',
}
NAMES = sorted(
    path.stem.removeprefix('manifest_') for path in MANIFESTS.rglob('*.json')
)


def key_list(name: str) -> dict[str, list[int]]:
    """Published keys and shapes of a full-size model."""
    path = next(MANIFESTS.rglob(f'manifest_{name}.json'))
    shapes = {
        key: shape for key, shape, _ in json.loads(path.read_text())['state_dict']
    }
    if name in BACKBONE_OF:
        backbone = key_list(BACKBONE_OF[name])
        shapes |= {f'backbone.{k}': s for k, s in backbone.items() if k[:4] != 'head'}
    return shapes


def meta_weights(name: str) -> dict[str, Tensor]:
    """Weights without values, of a full-size model."""
    return {k: torch.empty(s, device='meta') for k, s in key_list(name).items()}


@cache
def constant_weights(name: str) -> Mapping[str, Tensor]:
    """Weights of a full-size model that take no space: one number per key."""

    def constant(key: str) -> Tensor:
        number = zlib.crc32(key.encode())
        is_counter = key.endswith('num_batches_tracked')
        return torch.tensor(number if is_counter else number / 2**32)

    return {key: constant(key).expand(shape) for key, shape in key_list(name).items()}


def random_weights(name: str) -> dict[str, Tensor]:
    """Weights of a full-size model, each made from its key."""
    entries = key_list(name).items()
    return {key: make_parameter(key, shape, 1.0).float() for key, shape in entries}


def _with_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f'{prefix}{key}': value for key, value in weights.items()}


CONTAINERS: dict[str, Callable[[dict], dict]] = {
    'plain': lambda weights: weights,
    'timm': lambda weights: dict(
        model=weights,
        optimizer=dict(state={}, param_groups=[]),
        epoch=199,
        scaler={},
        args=argparse.Namespace(model='any', lr=6e-4),
    ),
    'distributed': lambda weights: dict(state_dict=_with_prefix(weights, 'module.')),
    'backbone': lambda weights: dict(
        state_dict=_with_prefix(
            {k: v for k, v in weights.items() if not k.startswith(HEADS)}, 'backbone.'
        )
    ),
    'compiled and distributed': lambda weights: dict(
        model=_with_prefix(weights, 'module._orig_mod.')
    ),
    'averages alone': lambda weights: dict(
        ema_state_dict=dict(_with_prefix(weights, 'module.'), steps=torch.tensor(7))
    ),
    'half': lambda weights: {
        key: value.half() if value.is_floating_point() else value
        for key, value in weights.items()
    },
}
HEADS = ('head.', 'head_kd.', 'classifier.')


def save_published(name: str, path: Path, container: str = 'timm') -> Path:
    """Write a full-size model of one number per key, as published; its path."""
    weights = {key: value.clone() for key, value in constant_weights(name).items()}
    torch.save(CONTAINERS[container](weights), path)
    return path


class Malicious:
    """Prints when it is unpickled."""

    def __reduce__(self) -> tuple:
        return print, ('this ran',)
