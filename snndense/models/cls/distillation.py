"""Hard distillation: a second output learns from a teacher's labels."""

import torch
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from snndense.registry import MODELS


def build_teacher(cfg: dict) -> nn.Module:
    """A frozen classifier with its weights."""
    teacher = MODELS.build(cfg)
    teacher.init_weights()
    return teacher.eval().requires_grad_(False)


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    """An ImageClassifier whose head has a second Linear layer for a teacher's labels.

    The recipe of SDT-V2 (https://arxiv.org/abs/2404.03663) and DeiT
    (https://arxiv.org/abs/2012.12877): the loss is ``(1 - alpha) * loss(logits,
    labels) + alpha * cross entropy(logits_kd, teacher's labels)``; predictions average
    both logits. The teacher is built when training starts, so that testing does not
    need it, and belongs neither to the parameters nor to the state dict.

    Args:
        teacher (dict): Config of a classifier of mmpretrain; give its weights by
            ``init_cfg`` or, for ``TimmClassifier``, ``pretrained=True``. It reads the
            images as the student's data preprocessor normalises them.
        alpha (float): Weight of the teacher's labels, 0 to 1. Defaults to 0.5.
        **kwargs: See mmpretrain's ``ImageClassifier``.

    Raises:
        ValueError: If ``alpha`` is out of range, or the head has no second layer.
    """

    def __init__(self, *, teacher: dict, alpha: float = 0.5, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 <= alpha <= 1:
            raise ValueError(f'expected 0 <= alpha <= 1, but got {alpha=}')
        if getattr(self.head, 'fc_kd', None) is None:
            raise ValueError(
                'a distilled classifier needs a head with a second layer: '
                "head=dict(type='snndense.SpikeLinearClsHead', with_kd_head=True, ...)"
            )
        self.alpha = alpha
        self.teacher_cfg = teacher
        self._teacher: tuple[nn.Module, ...] = ()  # a tuple hides it from the modules

    def init_weights(self) -> None:
        super().init_weights()
        self._teacher = (build_teacher(self.teacher_cfg),)

    @torch.no_grad()
    def teacher_labels(self, inputs: Tensor) -> Tensor:
        """Most likely classes by the teacher, ``(N,)``."""
        (teacher,) = self._teacher
        return teacher.to(inputs.device)(inputs).argmax(1)

    def loss(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None
    ) -> dict[str, Tensor]:
        logits, logits_kd = self.head.forward_pair(self.extract_feat(inputs))
        losses = self.head._get_loss(logits, data_samples)
        labels = self.teacher_labels(inputs)
        return dict(
            loss_cls=(1 - self.alpha) * losses.pop('loss'),
            loss_kd=self.alpha * nn.functional.cross_entropy(logits_kd, labels),
            **losses,
        )
