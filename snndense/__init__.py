"""snndense: spiking vision transformers for dense prediction over OpenMMLab.

Importing the package needs torch, mmengine and spikingjelly only. It makes
``mmengine`` know where ``snndense::`` and ``mmseg::`` configs live, so that a
config may say ``_base_ = ['snndense::...']``. The models register themselves
when ``mmengine`` first meets a ``type='snndense.…'``; nothing has to be
listed in ``custom_imports``.
"""

from .utils.compat import check_requirements, register_packages
from .version import __version__

check_requirements()
register_packages()

__all__ = ['__version__', 'get_model', 'list_models']


def __getattr__(name: str) -> object:
    """Import the functions over the model zoo when they are first used."""
    if name in ('get_model', 'list_models'):
        from .zoo import models

        return getattr(models, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
