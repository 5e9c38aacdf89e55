"""Comparison with reference numbers recorded from published implementations."""

from importlib.util import find_spec

from . import meta_sdt, neurons, spikformer, spiking_resformer  # noqa: F401 (ports)
from .compare import Report, check_parity
from .fixture import Fixture
from .port import Port, register_port

if find_spec('mmdet') is not None:
    from . import dense_heads  # noqa: F401 (registers its ports)
if find_spec('mmseg') is not None:
    from . import seg_heads  # noqa: F401

__all__ = ['Fixture', 'Port', 'Report', 'check_parity', 'register_port']
