"""Every registry of the scope ``snndense``, each a child of mmengine's root.

``type='snndense.MetaSDT'`` is found from any mmdet, mmseg or mmpretrain
registry, because mmengine imports ``<scope>.registry`` when it meets the scope
and a registry imports its ``locations`` the first time something is looked up.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from .checkpoints import hooks  # noqa: F401 (published files in mmengine's loading)

MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='snndense',
    locations=['snndense.models'],
)
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='snndense',
    locations=['snndense.datasets.registration'],
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='snndense',
    locations=['snndense.datasets.registration'],
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='snndense',
    locations=['snndense.engine', 'snndense.engine.event_hooks'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='snndense',
    locations=['snndense.engine'],
)
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='snndense',
    locations=['snndense.datasets.registration'],
)
