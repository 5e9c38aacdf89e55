from .base import SpikingBackbone
from .lsformer import LSFormer
from .meta_sdt import MetaSDT

__all__ = ['LSFormer', 'MetaSDT', 'SpikingBackbone']
