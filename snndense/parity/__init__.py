"""Comparison with reference numbers recorded from published implementations."""

from . import meta_sdt  # noqa: F401 (registers its ports)
from .compare import Report, check_parity
from .fixture import Fixture
from .port import Port, register_port

__all__ = ['Fixture', 'Port', 'Report', 'check_parity', 'register_port']
