"""Digit scenes always; event data where what reads them is installed."""

from importlib.util import find_spec

from . import event_classification  # noqa: F401
from .digit_scenes import DigitScenesSettings, make_digit_scenes

if find_spec('mmcv') is not None:
    from . import event_transforms  # noqa: F401
if find_spec('mmdet') is not None:
    from . import event_detection  # noqa: F401

__all__ = ['DigitScenesSettings', 'make_digit_scenes']
