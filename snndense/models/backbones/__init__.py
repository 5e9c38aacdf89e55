from .base import SpikingBackbone
from .lsformer import LSFormer
from .meta_sdt import MetaSDT
from .sdt_v3_large import SDTV3Large
from .spikformer import Spikformer
from .spiking_resformer import SpikingResformer

__all__ = [
    'LSFormer',
    'MetaSDT',
    'SDTV3Large',
    'Spikformer',
    'SpikingBackbone',
    'SpikingResformer',
]
