from .checks import check_detector
from .event_preprocessor import EventDetDataPreprocessor
from .spike_bbox_head import (
    SharedSpike2FCBBoxHead,
    SharedSpike4Conv1FCBBoxHead,
    SpikeConvFCBBoxHead,
)
from .spike_fpn import SpikeFPN
from .spike_mask_head import SpikeFCNMaskHead
from .spike_retina_head import SpikeRetinaHead
from .spike_roi_extractor import SpikeSingleRoIExtractor
from .spike_rpn_head import SpikeRPNHead

__all__ = [
    'EventDetDataPreprocessor',
    'SharedSpike2FCBBoxHead',
    'SharedSpike4Conv1FCBBoxHead',
    'SpikeConvFCBBoxHead',
    'SpikeFCNMaskHead',
    'SpikeFPN',
    'SpikeRPNHead',
    'SpikeRetinaHead',
    'SpikeSingleRoIExtractor',
    'check_detector',
]
