"""Reference numbers recorded from published implementations (``parity-v1``).

A fixture names an upstream class, its constructor arguments, the shapes of its
state dict and its input, and what it returned in float64. Weights and input are
rebuilt from the rules below, so a fixture holds no weights.
"""

import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FORMAT = 'parity-v1'


def make_input(shape: Sequence[int], seed: int, kind: str) -> Tensor:
    """Rebuild an input tensor of ``kind`` normal, binary or uniform, in float64."""
    if kind not in ('normal', 'binary', 'uniform'):
        raise ValueError(f'unknown input kind {kind!r}')
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(shape)
    if kind == 'uniform':  # recorded as the second draw of the generator
        return torch.from_numpy(rng.random(shape))
    return torch.from_numpy(
        (normal > 0.8).astype(float) if kind == 'binary' else normal
    )


def make_parameter(key: str, shape: Sequence[int], gain: float) -> Tensor:
    """Rebuild one state-dict entry from its upstream key."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    a = np.asarray(rng.standard_normal(tuple(shape)))
    last = key.rsplit('.', 1)[-1]
    if last == 'num_batches_tracked':
        return torch.tensor(0)
    if last == 'running_var':
        a = 0.5 * np.abs(a) + 0.5
    elif last == 'running_mean':
        a = 0.1 * a
    elif len(shape) >= 2:
        a = a * gain / math.sqrt(math.prod(shape[1:]))
    elif last == 'weight':
        a = 1 + 0.1 * a
    else:
        a = 0.1 * a
    return torch.from_numpy(np.array(a))


def read_json(path: str | Path, *formats: str | None) -> dict:
    """Read a fixture of one of the formats; None stands for a file that names none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no fixture at {path}')
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    if not isinstance(data, dict) or data.get('format') not in formats:
        expected = tuple(name for name in formats if name is not None)
        raise ValueError(f'{path} is no fixture: expected format {expected}')
    return data


class Fixture:
    """One ``parity-v1`` file.

    Args:
        path (str | Path): The JSON file.

    Attributes:
        name (str): File name, for messages only.
        source (dict): Upstream ``repo``, ``path``, ``cls`` and ``kwargs``.
        eval, eval_tmean (list[dict]): Recorded outputs in evaluation.
        train (dict, optional): Recorded training step.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ``parity-v1`` file.
    """

    def __init__(self, path: str | Path) -> None:
        data = read_json(path, FORMAT)
        self.data = data
        self.name = Path(path).stem
        self.source = data['source']
        self.kwargs = data['source'].get('kwargs', {})
        self.variant = data.get('variant', {})
        self.eval = data['eval']
        self.eval_tmean = data.get('eval_tmean')
        self.train = data.get('train')

    @property
    def upstream_class(self) -> str:
        """Name of the upstream class, without the file in front of it."""
        return self.source['cls'].rsplit(':', 1)[-1]

    @property
    def upstream_path(self) -> str:
        """File of the upstream class, relative to its repository."""
        return self.source.get('path') or self.source['cls'].rsplit(':', 1)[0]

    @property
    def input_shapes(self) -> list[list[int]]:
        spec = self.data['input']
        return spec['shapes'] if 'shapes' in spec else [spec['shape']]

    @property
    def rois(self) -> Tensor | None:
        """Proposals ``(n, 5)``: image index, x1, y1, x2, y2 in pixels."""
        rois = self.data['input'].get('rois')
        return None if rois is None else torch.tensor(rois, dtype=torch.float64)

    def inputs(self) -> list[Tensor]:
        """Rebuild the inputs."""
        spec = self.data['input']
        tensors = []
        for index, shape in enumerate(self.input_shapes):
            x = make_input(shape, spec['seed'] + index, spec['kind'])
            if 'round' in spec:
                p, q, c = spec['round']
                x = (p * x).round() / q + c
            tensors.append(x * spec.get('scale', 1.0))
        return tensors

    def state_dict(self, training: bool = False) -> dict[str, Tensor]:
        """Rebuild the weights under their upstream keys."""
        gain = self.data['gain']
        state = {
            key: make_parameter(key, shape, gain)
            for key, shape, _ in self.data['state_dict']
        }
        for key, factor in self.data.get('multiply', {}).items():
            state[key] = state[key] * factor
        overrides = self.data.get('overrides', {})
        if training:
            overrides = self.data.get('overrides_train', overrides)
        for key, values in overrides.items():
            entry = torch.tensor(values, dtype=torch.float64)
            state[key] = entry.reshape(state[key].shape)
        return state
