"""ONNX files of backbones and whole models, compared with torch when written."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from snndense.utils.files import complete_file

from .parts import ExportedPart

OPSET = 20
TOLERANCE = 1e-4
#: Times the deviation that rounding alone causes: float32 against float64 in torch.
ROUNDING_FACTOR = 4.0


@dataclass(frozen=True)
class OutputCheck:
    """How an output of an ONNX file compares with that of torch.

    A membrane that float32 puts on the other side of a threshold flips a spike, and the
    flip spreads. How much rounding alone changes is therefore measured too, as float32
    against float64 in torch.

    Attributes:
        name (str): Name of the output.
        shape (tuple[int]): Its shape.
        largest (float): Largest deviation of onnxruntime from torch.
        mean (float): Mean deviation.
        rounding (float): Mean deviation of float32 from float64 in torch.
        magnitude (float): Mean magnitude of the output.
        tolerance (float): Mean deviation that is allowed beyond rounding, as a fraction
            of the magnitude.
    """

    name: str
    shape: tuple[int, ...]
    largest: float
    mean: float
    rounding: float
    magnitude: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        allowed = self.tolerance * self.magnitude + ROUNDING_FACTOR * self.rounding
        return self.mean <= allowed


def export_onnx(
    part: ExportedPart,
    example: Tensor,
    path: str | Path,
    *,
    opset: int = OPSET,
    tolerance: float = TOLERANCE,
    check: bool = True,
    metadata: dict | None = None,
) -> list[OutputCheck]:
    """Write an ONNX file with static shapes, time steps unrolled.

    Args:
        part (ExportedPart): What to export, in evaluation.
        example (Tensor): An input of the shape to export.
        path (str | Path): The file. It appears when it is complete and has passed the
            check.
        opset (int): Version of the ONNX operators. Defaults to 20.
        tolerance (float): See :class:`OutputCheck`. Defaults to 1e-4.
        check (bool): Whether to run the file with onnxruntime and compare.
            Defaults to True.
        metadata (dict, optional): What to store in the file.

    Returns:
        list[OutputCheck]: One per output; empty without a check.

    Raises:
        ImportError: If onnx, onnxscript or, for the check, onnxruntime is missing.
        ValueError: If the file computes something else.
    """
    packages = (
        ('onnx', 'onnxscript', 'onnxruntime') if check else ('onnx', 'onnxscript')
    )
    require(*packages)
    part = part.eval()
    with torch.no_grad():
        expected = part(example)
    names = part.output_names or tuple(f'map{i}' for i in range(len(expected)))
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            part,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=['image'],
            output_names=list(names),
        )
    for key, value in (metadata or {}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        program.model.metadata_props[key] = text
    with complete_file(path) as temporary:
        program.save(str(temporary))
        checks = []
        if check:
            checks = check_onnx(temporary, part, example, names, tolerance=tolerance)
            _raise_unless_passed(checks)
    return checks


def check_onnx(
    path: str | Path,
    part: nn.Module,
    example: Tensor,
    names: tuple[str, ...],
    *,
    tolerance: float = TOLERANCE,
) -> list[OutputCheck]:
    """Compare an ONNX file, run by onnxruntime, with torch.

    Args:
        path (str | Path): The file.
        part (nn.Module): What it was exported from, in evaluation.
        example (Tensor): An input.
        names (tuple[str]): Names of the outputs.
        tolerance (float): See :class:`OutputCheck`. Defaults to 1e-4.

    Raises:
        ImportError: If onnxruntime is missing.
    """
    require('onnxruntime')
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        str(path), options, providers=['CPUExecutionProvider']
    )
    found = session.run(None, {'image': example.numpy()})
    with torch.no_grad():
        single = part(example)
        double = deepcopy(part).double()(example.double())
    return [
        OutputCheck(
            name=name,
            shape=tuple(wanted.shape),
            largest=(torch.from_numpy(y) - wanted).abs().max().item(),
            mean=(torch.from_numpy(y) - wanted).abs().mean().item(),
            rounding=(wanted - exact).abs().mean().item(),
            magnitude=wanted.abs().mean().item(),
            tolerance=tolerance,
        )
        for name, y, wanted, exact in zip(names, found, single, double, strict=True)
    ]


def require(*packages: str) -> None:
    """Raise ImportError, with the command to install them, for missing packages."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ImportError(
            f'this needs {", ".join(missing)}; install it with: '
            f'pip install {" ".join(missing)}'
        )


def _raise_unless_passed(checks: list[OutputCheck]) -> None:
    failed = [check for check in checks if not check.passed]
    if failed:
        lines = '\n'.join(
            f'  - {check.name}: {check.mean:.1e} in the mean, {check.largest:.1e} at '
            f'most, of {check.magnitude:.1e}; rounding explains {check.rounding:.1e}'
            for check in failed
        )
        raise ValueError(
            f'onnxruntime and torch disagree, and nothing was written:\n{lines}'
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which tells about every step and folded constant."""
    loggers = [logging.getLogger(name) for name in ('onnxscript', 'onnx_ir', 'torch')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
