"""Run a fixture through its port and compare, forward and backward."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from .fixture import Fixture, make_input
from .port import Port, build_port
from .report import Report

#: Absolute tolerance on outputs; necks and heads meet 1e-9 as well.
OUTPUT_TOLERANCE = 1e-8
GRADIENT_RELATIVE_TOLERANCE = 1e-6
#: Times the largest gradient of the file: biases in front of a batch norm have a
#: gradient of zero up to rounding noise.
GRADIENT_ABSOLUTE_TOLERANCE = 1e-9


@dataclass
class ParityReport(Report):
    """As :class:`Report`, of outputs and gradients.

    Attributes:
        output_deviation (float): Largest absolute deviation of an output value.
        gradient_deviation (float): Largest deviation of a gradient norm or a
            buffer, as a fraction of what is allowed.
    """

    output_deviation: float = 0.0
    gradient_deviation: float = 0.0

    def summary(self) -> str:
        return (
            f'outputs within {self.output_deviation:.1e}, '
            f'gradients at {self.gradient_deviation:.1e} of the tolerance'
        )


def _compare_outputs(
    report: ParityReport,
    recorded: list[dict],
    outputs: Sequence[Tensor],
    tolerance: float,
) -> None:
    if len(recorded) != len(outputs):
        report.failures.append(f'{len(outputs)} outputs, recorded {len(recorded)}')
        return
    for entry, output in zip(recorded, outputs, strict=True):
        name = entry['name']
        expected_shape = torch.Size(entry['shape'])
        if output.numel() != expected_shape.numel():
            shape = tuple(output.shape)
            report.failures.append(f'{name}: shape {shape}, recorded {entry["shape"]}')
            continue
        flat = output.detach().flatten()
        expected = torch.tensor(entry['value'], dtype=torch.float64)
        deviation = (flat[torch.tensor(entry['index'])] - expected).abs().max().item()
        sums = {'sum': flat.sum(), 'abs_sum': flat.abs().sum(), 'sq_sum': flat @ flat}
        for key, value in sums.items():
            # a sum gathers rounding of all its terms
            scale = max(1.0, entry['sq_sum'], entry['abs_sum'])
            deviation = max(deviation, abs(value.item() - entry[key]) / scale)
        nonzero = (flat != 0).double().mean().item()
        deviation = max(deviation, abs(nonzero - entry['nonzero']))
        report.output_deviation = max(report.output_deviation, deviation)
        if not deviation <= tolerance:
            report.failures.append(f'{name}: off by {deviation:.1e}')


def _compare_norms(
    report: ParityReport, recorded: list, found: dict[str, float | None]
) -> None:
    largest = max((value for _, value in recorded if value is not None), default=0.0)
    for key, expected in recorded:
        value = found[key]
        if expected is None or value is None:
            if expected is not None or value is not None:
                report.failures.append(f'{key}: gradient {value}, recorded {expected}')
            continue
        allowed = (
            GRADIENT_RELATIVE_TOLERANCE * abs(expected)
            + GRADIENT_ABSOLUTE_TOLERANCE * largest
        )
        difference = abs(value - expected)
        if difference:
            ratio = difference / allowed if allowed else float('inf')
            report.gradient_deviation = max(report.gradient_deviation, ratio)
            if not ratio <= 1:
                report.failures.append(f'{key}: {value:.6g}, recorded {expected:.6g}')


def _load(port: Port, fixture: Fixture, training: bool) -> list[str]:
    state = port.convert(fixture.state_dict(training))
    incompatible = port.module.load_state_dict(state, strict=False)
    problems = [f'missing key {key}' for key in incompatible.missing_keys]
    return problems + [f'unexpected key {key}' for key in incompatible.unexpected_keys]


def _run_eval(
    report: ParityReport, port: Port, fixture: Fixture, tolerance: float
) -> None:
    report.failures += _load(port, fixture, training=False)
    port.module.eval()
    inputs = fixture.inputs()
    names = [entry['name'] for entry in fixture.eval]
    if 'grad_in' in names:  # a neuron: its surrogate gradient is an output too
        inputs[0].requires_grad_(True)
        out = port.forward(inputs)[0]
        weight = make_input(out.shape, 1000, 'normal')
        (gradient,) = torch.autograd.grad((out * weight).sum(), inputs[0])
        outputs = [out, gradient]
    else:
        with torch.no_grad():
            outputs = port.forward(inputs)
    _compare_outputs(report, fixture.eval, outputs, tolerance)
    if fixture.eval_tmean and port.forward_mean:
        with torch.no_grad():
            outputs = port.forward_mean(inputs)
        _compare_outputs(report, fixture.eval_tmean, outputs, tolerance)


def _run_train(
    report: ParityReport, port: Port, fixture: Fixture, tolerance: float
) -> None:
    recorded = fixture.train
    _load(port, fixture, training=True)
    port.module.train()
    port.module.zero_grad()
    if recorded.get('frozen_batchnorm'):
        for module in port.module.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    inputs = [x.requires_grad_(True) for x in fixture.inputs()]
    outputs = port.forward(inputs)
    _compare_outputs(report, recorded['outputs'], outputs, tolerance)
    loss = 0.0
    for i, entry in enumerate(recorded['outputs']):
        noise = make_input(entry['shape'], 1000 + i, 'normal')
        loss = loss + (outputs[i].flatten() * noise.flatten()).mean()
    _compare_outputs(report, [_scalar('loss', recorded['loss'])], [loss], tolerance)
    loss.backward()

    parameters = dict(port.module.named_parameters())

    def gradient_norm(key: str) -> float | None:
        parameter = parameters.get(port.rename(key))
        if parameter is None or parameter.grad is None:
            return None
        return parameter.grad.norm().item()

    keys = [key for key, _ in recorded['grad_norm']]
    norms = {key: gradient_norm(key) for key in keys}
    _compare_norms(report, recorded['grad_norm'], norms)
    if 'input_grad_norm' in recorded:
        pairs = [(f'input {i}', v) for i, v in enumerate(recorded['input_grad_norm'])]
        # a level that a neck or head does not read has no gradient
        norms = {
            f'input {i}': None if x.grad is None else x.grad.norm().item()
            for i, x in enumerate(inputs)
        }
        _compare_norms(report, pairs, norms)
    buffers = dict(port.module.named_buffers())
    for key, expected in recorded.get('buffers_after', []):
        expected = torch.tensor(expected, dtype=torch.float64)
        value = buffers[port.rename(key)].double()
        # a vector is recorded by all its values, or by one number, their sum
        value = value if expected.dim() else value.sum()
        deviation = (value.flatten() - expected.flatten()).abs().max().item()
        report.gradient_deviation = max(
            report.gradient_deviation, deviation / OUTPUT_TOLERANCE
        )
        if not deviation <= OUTPUT_TOLERANCE:
            report.failures.append(f'{key} after training: off by {deviation:.1e}')


def _scalar(name: str, value: float) -> dict:
    return dict(
        name=name,
        shape=[],
        sum=value,
        abs_sum=abs(value),
        sq_sum=value**2,
        nonzero=float(value != 0),
        index=[0],
        value=[value],
    )


def check_parity(path: str | Path, tolerance: float = OUTPUT_TOLERANCE) -> ParityReport:
    """Compare one fixture with this package's module, in float64.

    Args:
        path (str | Path): A ``parity-v1`` file.
        tolerance (float): Absolute tolerance on outputs. Defaults to 1e-8.

    Returns:
        ParityReport: Deviations and failures.

    Raises:
        FileNotFoundError, ValueError: If the file is no fixture or its upstream
            class is not supported.
    """
    fixture = Fixture(path)
    port = build_port(fixture)
    report = ParityReport(fixture.name)
    _run_eval(report, port, fixture, tolerance)
    if fixture.train:
        _run_train(report, port, fixture, tolerance)
    return report
