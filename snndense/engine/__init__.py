from .checkpoint_hook import CheckpointHook
from .firing_hook import FiringRateHook
from .layer_decay import LayerDecayOptimWrapperConstructor

__all__ = ['CheckpointHook', 'FiringRateHook', 'LayerDecayOptimWrapperConstructor']
