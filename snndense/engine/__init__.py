from .checkpoint_hook import CheckpointHook
from .layer_decay import LayerDecayOptimWrapperConstructor

__all__ = ['CheckpointHook', 'LayerDecayOptimWrapperConstructor']
