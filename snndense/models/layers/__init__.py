from .attention import linear_attention, without_autocast
from .checkpoint import checkpoint_module
from .conv import SpikeConv, build_norm
from .drop_path import DropPath, drop_path_ramp
from .exporting import is_exporting
from .firing_rate import FiringRate
from .integer_neuron import IntegerLIF
from .neurons import IF, LIF, PLIF, BinaryNeuron, SpikingNeuron, build_neuron
from .presynaptic import fire_before
from .spike_storage import spikes_in_bytes
from .time import fold_time, mean_over_time, repeat_time, unfold_time
from .virtual_steps import gather_steps, hold, hold_unless_spikes, spread_spikes

__all__ = [
    'IF',
    'LIF',
    'PLIF',
    'BinaryNeuron',
    'DropPath',
    'FiringRate',
    'IntegerLIF',
    'SpikeConv',
    'SpikingNeuron',
    'build_neuron',
    'build_norm',
    'checkpoint_module',
    'drop_path_ramp',
    'fire_before',
    'fold_time',
    'gather_steps',
    'hold',
    'hold_unless_spikes',
    'is_exporting',
    'linear_attention',
    'mean_over_time',
    'repeat_time',
    'spikes_in_bytes',
    'spread_spikes',
    'unfold_time',
    'without_autocast',
]
