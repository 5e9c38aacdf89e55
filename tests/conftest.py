from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from math import lcm
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from snndense.datasets import DigitScenesSettings, make_digit_scenes

ROOT = Path(__file__).parents[1]
HOSTS = dict(det='mmdet', seg='mmseg', cls='mmpretrain')


@pytest.fixture(autouse=True)
def own_default_scope() -> Iterator[None]:
    """Runners and tools set a scope for the whole process; no test inherits it."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(scope='session')
def digit_scenes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of digit scenes for all tasks: 16 pictures to train, 8 to validate.

    Its folders are ``coco``, ``ade`` and ``cls``; do not write into it.
    """
    root = tmp_path_factory.mktemp('data') / 'digit_scenes'
    settings = DigitScenesSettings(
        num_train=16, num_val=8, singles_per_scene=1, image_size=64, max_digits=4
    )
    make_digit_scenes(root, settings, progress=False)
    return root


@cache
def _parse(name: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / f'{name}.py')


@pytest.fixture
def load_config() -> Iterator[Callable[[str], Config]]:
    """Parse a config below ``configs/`` by its name, such as ``'seg/NAME'``."""

    def load(name: str) -> Config:
        host = HOSTS[name.partition('/')[0]]
        utils = pytest.importorskip(f'{host}.utils')
        utils.register_all_modules(init_default_scope=True)
        return deepcopy(_parse(name))

    yield load
    init_default_scope('mmengine')


@pytest.fixture
def shrink_backbone() -> Callable[[Config], tuple[int, ...]]:
    """Make the backbone of a config narrow, a block per stage; give its channels."""

    def shrink(cfg: Config) -> tuple[int, ...]:
        backbone = cfg.model.backbone
        arch = MODELS.get(backbone.type).resolve_arch(backbone.arch)
        heads = arch['num_heads']
        if isinstance(arch['embed_dims'], int):  # one width, as of a ViT
            backbone.update(embed_dims=lcm(8, heads), depths=1)
            return MODELS.build(backbone).out_channels
        if isinstance(heads, int):
            heads = (heads,) * len(arch['embed_dims'])
        factor = 1 + heads[0] % 2  # stems have half of the first width
        backbone.embed_dims = tuple(
            factor * i * n for i, n in enumerate(heads, start=1)
        )
        backbone.depths = tuple(min(depth, 1) for depth in arch['depths'])
        if 'group_size' in arch:
            backbone.group_size = 4
        return MODELS.build(backbone).out_channels

    return shrink
