from .base import SpikingBackbone
from .lsformer import LSFormer
from .meta_sdt import MetaSDT
from .spikformer import Spikformer
from .spiking_resformer import SpikingResformer

__all__ = ['LSFormer', 'MetaSDT', 'Spikformer', 'SpikingBackbone', 'SpikingResformer']
