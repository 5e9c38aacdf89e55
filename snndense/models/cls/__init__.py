from .event_preprocessor import EventDataPreprocessor
from .spike_linear_head import SpikeLinearClsHead

__all__ = ['EventDataPreprocessor', 'SpikeLinearClsHead']
