"""Parameters and multiply-accumulates (MACs) of a model, layer by layer."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from snndense.utils.synthetic import synthetic_batch

from .counter import OperatorCounter
from .evaluation import evaluation, preprocess, reset_states
from .stages import stage_namer, sum_by_stage


@dataclass(frozen=True)
class LayerMacs:
    """Multiply-accumulates of one operator of one layer.

    Attributes:
        name (str): Name of the layer in the model.
        operator (str): ``'conv'``, ``'linear'``, ``'matmul'``, or what a layer that
            counts for itself calls it.
        stage (str): Part of the model that it is in.
        macs (int): Multiply-accumulates of one time step, of all images together.
    """

    name: str
    operator: str
    stage: str
    macs: int


@dataclass(frozen=True)
class MacReport:
    """What a model costs in dense arithmetic.

    Attributes:
        params (int): Parameters.
        macs (int): Multiply-accumulates of one time step: what the same network without
            spikes computes.
        time_steps (int): T of the model.
        input_shape (tuple[int]): Shape of the input.
        layers (tuple[LayerMacs]): In order of execution.
        uncounted (dict[str, int]): Operators that no rule covers, and their calls.
    """

    params: int
    macs: int
    time_steps: int
    input_shape: tuple[int, ...]
    layers: tuple[LayerMacs, ...]
    uncounted: dict[str, int]

    def stages(self) -> dict[str, int]:
        """Multiply-accumulates per part of the model."""
        return {k: v['macs'] for k, v in sum_by_stage(self.layers, 'macs').items()}

    def as_dict(self) -> dict:
        """For JSON."""
        return {**asdict(self), 'stages': self.stages()}


def num_params(model: nn.Module) -> int:
    """Number of parameters, those shared between layers once."""
    return sum(p.numel() for p in model.parameters())


def count_macs(
    model: nn.Module, run: Callable[[], object], inputs: Tensor | None = None
) -> MacReport:
    """Count the multiply-accumulates of what ``run`` executes.

    Only shapes count, so ``run`` may work on fake tensors.

    Args:
        model (nn.Module): The model that ``run`` calls.
        run (Callable): Runs it, or parts of it, in evaluation mode.
        inputs (Tensor, optional): What the backbone gets. Event frames ``(N, T, C, H,
            W)`` have to be named; of images the shape is noted.
    """
    counter = OperatorCounter(model)
    with torch.no_grad(), counter.counting():
        if inputs is not None:
            counter.set_input(inputs)
        run()
    stage_of = stage_namer(model)
    layers = tuple(
        LayerMacs(name, operator, stage_of(name), tally.step_macs)
        for (name, operator), tally in counter.book.tallies.items()
        if tally.macs
    )
    return MacReport(
        params=num_params(model),
        macs=sum(layer.macs for layer in layers),
        time_steps=counter.watch.time_steps,
        input_shape=() if inputs is None else tuple(inputs.shape),
        layers=layers,
        uncounted={k: v for k, v in counter.uncounted.items() if v},
    )


def model_macs(
    model: nn.Module, shape: tuple[int, int], *, scope: str | None = None
) -> MacReport:
    """Count the multiply-accumulates of one image and one time step.

    Args:
        model (nn.Module): A backbone, or with ``scope`` a detector, segmentor or
            classifier. Its mode is left as it is found.
        shape (tuple[int, int]): Height and width of the image; a data preprocessor pads
            it as in use.
        scope (str, optional): Toolbox of a whole model: ``'mmdet'``, ``'mmseg'`` or
            ``'mmpretrain'``.

    Raises:
        ValueError: For an unknown scope, or a shape that is not two positive numbers.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f'expected a height and a width >= 1, but got {shape=}')
    if scope is not None:
        batch = synthetic_batch(model, scope, shape, batch_size=1)
        batch = model.data_preprocessor(batch, False)
        return image_macs(model, batch['inputs'], batch['data_samples'])
    reference = next(model.parameters(), torch.empty(0))
    axes = (1, getattr(model, 'in_channels', 3), *shape)
    return image_macs(model, reference.new_empty(axes))


def image_macs(
    model: nn.Module, inputs: Tensor, data_samples: list | None = None
) -> MacReport:
    """Count the multiply-accumulates of the first of some inputs, of one time step.

    Where the model allows it, no value is computed. Detectors with a RoI head need
    values, and run with as many proposals as their ``test_cfg`` keeps; their mask head
    gets the first 100, as in mmdet's own tool (``mode='tensor'``).

    Args:
        model (nn.Module): A backbone or, with ``data_samples``, a whole model.
        inputs (Tensor): Images ``(N, C, H, W)`` or event frames ``(N, T, C, H, W)``, as
            they come from the data preprocessor.
        data_samples (list, optional): Of a whole model.
    """
    inputs = inputs[:1]
    args, kwargs = (inputs,), {}
    if data_samples is not None:
        args, kwargs = (inputs, data_samples[:1]), dict(mode='tensor')
    with evaluation(model):
        return _count_without_values(model, args, kwargs)


def batch_macs(
    model: nn.Module,
    batches: Iterable,
    *,
    on_batch: Callable[[], None] = lambda: None,
) -> list[MacReport]:
    """Count the multiply-accumulates of every image of some batches, one time step.

    Args:
        model (nn.Module): A whole model with a data preprocessor, or a backbone.
        batches (Iterable): See :func:`~snndense.analysis.measure_firing`.
        on_batch (Callable): Called after every batch.

    Returns:
        list[MacReport]: One per image; those of the same size are the same.
    """
    by_shape: dict[tuple, MacReport] = {}
    reports = []
    for batch in batches:
        inputs, samples = preprocess(model, batch)
        shape = inputs.shape[1:]
        if shape not in by_shape:
            by_shape[shape] = image_macs(model, inputs, samples)
        reports += [by_shape[shape]] * len(inputs)
        on_batch()
    return reports


def _count_without_values(model: nn.Module, args: tuple, kwargs: dict) -> MacReport:
    reset_states(model)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            inputs = mode.from_tensor(args[0])
            return count_macs(model, lambda: model(inputs, *args[1:], **kwargs), inputs)
    except Exception as error:  # whatever it is: the values were needed
        print_log(
            f'counting on numbers, since shapes do not do: {error}',
            'current',
            logging.DEBUG,
        )
    reset_states(model)  # of what has no values
    return count_macs(model, lambda: model(*args, **kwargs), args[0])
