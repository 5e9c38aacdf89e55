"""Measuring models: what they see, how they fire, what they cost."""

from .layers import TokenLayout
from .st_erf import LayerERF, STERFResult, st_erf

__all__ = ['LayerERF', 'STERFResult', 'TokenLayout', 'st_erf']
