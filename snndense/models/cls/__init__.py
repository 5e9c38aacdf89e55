from .spike_linear_head import SpikeLinearClsHead

__all__ = ['SpikeLinearClsHead']
