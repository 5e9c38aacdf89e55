"""Backbones always; necks and heads where their host toolbox is installed."""

from importlib.util import find_spec

from . import backbones, layers, necks  # noqa: F401

if find_spec('mmdet') is not None:
    from . import det  # noqa: F401
if find_spec('mmpretrain') is not None:
    from . import cls  # noqa: F401
if find_spec('mmseg') is not None:
    from . import seg  # noqa: F401
