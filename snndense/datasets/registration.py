"""What the registries find, where what reads them is installed.

Not imported with the package, because the host toolboxes take seconds.
"""

from importlib.util import find_spec

from . import event_classification  # noqa: F401

if find_spec('mmcv') is not None:
    from . import event_transforms  # noqa: F401
if find_spec('mmdet') is not None:
    from . import event_detection  # noqa: F401
if find_spec('mmpretrain') is not None:
    from . import tiny_imagenet  # noqa: F401
if find_spec('mmseg') is not None:
    from . import foreground_iou  # noqa: F401
