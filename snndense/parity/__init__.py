"""Comparison with reference numbers recorded from published implementations."""

from importlib.util import find_spec
from pathlib import Path

from . import (  # noqa: F401 (ports)
    meta_sdt,
    neurons,
    sdt_v3_large,
    spikformer,
    spiking_resformer,
)
from . import st_erf as _st_erf
from .compare import OUTPUT_TOLERANCE, check_parity
from .fixture import FORMAT, Fixture, read_json
from .key_lists import check_key_list
from .port import Port, register_port
from .report import Report

if find_spec('mmdet') is not None:
    from . import dense_heads  # noqa: F401 (registers its ports)
if find_spec('mmseg') is not None:
    from . import seg_heads  # noqa: F401

__all__ = [
    'Fixture',
    'Port',
    'Report',
    'check_file',
    'check_parity',
    'register_port',
]


def check_file(path: str | Path, tolerance: float = OUTPUT_TOLERANCE) -> Report:
    """Compare one recorded file with this package, whatever its format.

    Args:
        path (str | Path): A ``parity-v1`` file (:func:`check_parity`), a
            ``sterf-fixture-1`` one, whose maps have a tolerance of their own, or a
            list of the keys of a published model (:func:`check_key_list`).
        tolerance (float): Absolute tolerance on outputs. Defaults to 1e-8.

    Raises:
        FileNotFoundError, ValueError: If the file is none of these or cannot be run.
    """
    data = read_json(path, FORMAT, _st_erf.FORMAT, None)
    if 'format' not in data:
        return check_key_list(path, data)
    if data['format'] == _st_erf.FORMAT:
        return _st_erf.check_st_erf(path)
    return check_parity(path, tolerance)
