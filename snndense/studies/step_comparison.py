"""The same weights with other time steps, other levels, and as binary spikes."""

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from mmengine.utils import ProgressBar
from torch import Tensor, nn
from torchvision.ops import box_iou

from snndense.models.time_steps import Steps, get_steps, set_steps

from .measuring import data_batches, load_model

MIN_SCORE = 0.05  # detections below are no predictions
SAME_BOX = 0.9  # intersection over union of two boxes that are called equal


@dataclass
class StepResult:
    """One execution of a model, compared with another one of the same weights.

    Attributes:
        steps (Steps): T, D and execution.
        reference (int): Index of the result that it is compared with; its own for the
            first one.
        deviation (float): Largest difference between the maps that the heads read, as a
            fraction of the largest value in the reference. Maps are averaged over time.
        equal (float): Share of predictions that are equal: images of the same class,
            pixels of the same label, boxes of the same label and place.
        metrics (dict[str, float]): Of the config's own evaluator.
    """

    steps: Steps
    reference: int
    deviation: float = 0.0
    equal: float = 1.0
    metrics: dict[str, float] = field(default_factory=dict)


class Execution:
    """One way to run the model, and what is added up about it over batches.

    Args:
        setting (dict): Arguments of :func:`~snndense.models.time_steps.set_steps`.
        reference (int): Index of the execution that it is compared with.
    """

    def __init__(self, setting: dict, reference: int) -> None:
        self.setting = setting
        self.reference = reference
        self.evaluator: Evaluator | None = None
        self.maps: list[Tensor] = []
        self.samples: list[BaseDataElement] = []
        self._difference = self._largest = 0.0
        self._equal = self._total = 0

    def run(self, model: nn.Module, batch: dict) -> None:
        """Predict a batch and hand the predictions to the evaluator."""
        set_steps(model, **self.setting)
        # detectors write predictions into the samples of the batch
        self.maps, self.samples = run_batch(model, deepcopy(batch))
        self.evaluator.process(data_samples=self.samples, data_batch=batch)

    def compare(self, other: 'Execution') -> None:
        """Add up what differs from another execution of the same batch."""
        for x, wanted in zip(self.maps, other.maps, strict=True):
            self._difference = max(self._difference, (x - wanted).abs().max().item())
            self._largest = max(self._largest, wanted.abs().max().item())
        for sample, wanted in zip(self.samples, other.samples, strict=True):
            equal, total = count_equal(sample, wanted)
            self._equal += equal
            self._total += total

    def result(self, model: nn.Module, image_ids: list) -> StepResult:
        """Evaluate the predictions of all batches."""
        for metric in self.evaluator.metrics:
            if hasattr(metric, 'img_ids'):  # COCO counts pictures that were left out
                metric.img_ids = image_ids
        return StepResult(
            steps=set_steps(model, **self.setting),
            reference=self.reference,
            deviation=self._difference / (self._largest or 1.0),
            equal=self._equal / self._total if self._total else 1.0,
            metrics=self.evaluator.evaluate(len(image_ids)),
        )


def plan_executions(
    model: nn.Module, time_steps: Sequence[int] = (), levels: Sequence[int] = ()
) -> list[Execution]:
    """Executions to compare: the model's own, then every other T and every other D.

    Each comes on integers and, where there are some, as binary steps. Integers are
    compared with the model's own execution, binary steps with the integers that they
    replace.

    Args:
        model (nn.Module): The model as its config says.
        time_steps (Sequence[int]): Other T, with its own D. Defaults to none.
        levels (Sequence[int]): Other D, with its own T. Defaults to none.

    Raises:
        ValueError: If the model cannot run with one of them.
    """
    own = get_steps(model)
    base = dict(time_steps=own.time_steps)
    if own.levels > 1:
        base['levels'] = own.levels
    settings = [base, *({**base, 'time_steps': steps} for steps in time_steps)]
    settings += [{**base, 'levels': count} for count in levels]
    executions: list[Execution] = []
    for setting in settings:
        index = len(executions)
        executions.append(Execution(setting, reference=0))
        if set_steps(model, **setting).levels > 1:
            binary = dict(setting, spike_driven=True)
            set_steps(model, **binary)
            executions.append(Execution(binary, reference=index))
    set_steps(model, **base)
    return executions


def compare_steps(
    cfg: Config,
    checkpoint: str,
    *,
    time_steps: Sequence[int] = (),
    levels: Sequence[int] = (),
    num_images: int | None = None,
    batch_size: int = 1,
    device: str = 'cpu',
) -> list[StepResult]:
    """Run the test data of a config through a model in several executions.

    Args:
        cfg (Config): The config.
        checkpoint (str): Its weights.
        time_steps, levels: See :func:`plan_executions`.
        num_images (int, optional): How many images; None for all.
        batch_size (int): Images per batch. Defaults to 1.
        device (str): Defaults to ``'cpu'``.

    Returns:
        list[StepResult]: The execution that the config says first.

    Raises:
        FileNotFoundError, ValueError: If data, checkpoint or steps do not fit.
    """
    if cfg.get('test_evaluator') is None:
        raise ValueError('the config has no test_evaluator, so there is no accuracy')
    model = load_model(cfg, checkpoint, device=device)
    executions = plan_executions(model, time_steps, levels)
    batches = data_batches(
        cfg, num_images=num_images or sys.maxsize, batch_size=batch_size
    )
    for execution in executions:
        execution.evaluator = Evaluator(deepcopy(cfg.test_evaluator))
        execution.evaluator.dataset_meta = batches.metainfo
    image_ids = []
    progress = ProgressBar(len(batches), file=sys.stderr)
    for batch in batches:
        for execution in executions:
            execution.run(model, batch)
            execution.compare(executions[execution.reference])
        image_ids += [getattr(x, 'img_id', None) for x in executions[0].samples]
        progress.update()
    print(file=sys.stderr)
    return [execution.result(model, image_ids) for execution in executions]


@torch.no_grad()
def run_batch(
    model: nn.Module, batch: dict
) -> tuple[list[Tensor], list[BaseDataElement]]:
    """Maps in front of the heads, averaged over time, and the predictions."""
    seen: list[Tensor] = []
    source = model.backbone if getattr(model, 'neck', None) is None else model.neck

    def keep(module: nn.Module, inputs: tuple, outputs: tuple | Tensor) -> None:
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        seen.extend(outputs)

    handle = source.register_forward_hook(keep)
    try:
        samples = model.test_step(batch)
    finally:
        handle.remove()
    maps = [x.unflatten(0, (-1, len(samples))).mean(0).float().cpu() for x in seen]
    return maps, samples


def count_equal(sample: BaseDataElement, other: BaseDataElement) -> tuple[int, int]:
    """Number of equal predictions of two results for an image, and of all.

    Args:
        sample (BaseDataElement): Result of a classifier, segmentor or detector.
        other (BaseDataElement): The one to compare with.
    """
    if 'pred_label' in sample:
        equal = sample.pred_label == other.pred_label
        return int(equal.sum()), equal.numel()
    if 'pred_sem_seg' in sample:
        equal = sample.pred_sem_seg.data == other.pred_sem_seg.data
        return int(equal.sum()), equal.numel()
    boxes, others = (
        x.pred_instances[x.pred_instances.scores >= MIN_SCORE] for x in (sample, other)
    )
    total = max(len(boxes), len(others))
    if min(len(boxes), len(others)) == 0:
        return 0, total
    overlap = box_iou(others.bboxes, boxes.bboxes)
    same = others.labels[:, None] == boxes.labels
    matched = (overlap * same).amax(1) >= SAME_BOX
    return int(matched.sum()), total
