"""Measuring models: what they see, how they fire, what they cost."""

from .energy import EnergyReport, EnergyTable, LayerEnergy, get_table, measure_energy
from .energy_report import assumptions, energy_text, plot_energy, write_energy_csv
from .firing import (
    FiringReport,
    LayerFiring,
    StepFiring,
    write_firing_csv,
    write_steps_csv,
)
from .firing_meter import measure_firing
from .firing_plots import plot_firing
from .macs import LayerMacs, MacReport, count_macs, model_macs
from .st_erf import LayerERF, STERFResult, st_erf
from .st_erf_plots import plot_areas, plot_erf, plot_profiles, plot_temporal
from .tokens import TokenLayout

__all__ = [
    'EnergyReport',
    'EnergyTable',
    'FiringReport',
    'LayerERF',
    'LayerEnergy',
    'LayerFiring',
    'LayerMacs',
    'MacReport',
    'STERFResult',
    'StepFiring',
    'TokenLayout',
    'assumptions',
    'count_macs',
    'energy_text',
    'get_table',
    'measure_energy',
    'measure_firing',
    'model_macs',
    'plot_areas',
    'plot_energy',
    'plot_erf',
    'plot_firing',
    'plot_profiles',
    'plot_temporal',
    'st_erf',
    'write_energy_csv',
    'write_firing_csv',
    'write_steps_csv',
]
