from .distillation import DistilledClassifier
from .event_preprocessor import EventDataPreprocessor
from .spike_linear_head import SpikeLinearClsHead

__all__ = ['DistilledClassifier', 'EventDataPreprocessor', 'SpikeLinearClsHead']
