from .spike_fpn_head import SpikeFPNHead
from .spike_seg_fpn import SpikeSegFPN

__all__ = ['SpikeFPNHead', 'SpikeSegFPN']
