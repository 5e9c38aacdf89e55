"""Measuring models: what they see, how they fire, what they cost."""

from .layers import TokenLayout
from .macs import LayerMacs, MacReport, count_macs, model_macs
from .st_erf import LayerERF, STERFResult, st_erf
from .st_erf_plots import plot_areas, plot_erf, plot_profiles, plot_temporal

__all__ = [
    'LayerERF',
    'LayerMacs',
    'MacReport',
    'STERFResult',
    'TokenLayout',
    'count_macs',
    'model_macs',
    'plot_areas',
    'plot_erf',
    'plot_profiles',
    'plot_temporal',
    'st_erf',
]
