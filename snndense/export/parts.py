"""What of a model is exported: a function of one tensor with static shapes."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from snndense.models.backbones import SpikingBackbone

PARTS = ('backbone', 'neck', 'model')


class ExportedPart(nn.Module):
    """A part of a model, from a normalised image to a tuple of tensors.

    Args:
        model (nn.Module): A backbone, or a classifier, segmentor or detector of
            OpenMMLab.
        part (str): ``'backbone'``: its maps; ``'neck'``: the maps that the heads read;
            ``'model'``: logits of a classifier or segmentor. Defaults to
            ``'backbone'``.

    Raises:
        ValueError: If the model does not have the part, or is a detector as a whole,
            whose number of boxes is no static shape.
    """

    def __init__(self, model: nn.Module, part: str = 'backbone') -> None:
        super().__init__()
        if part not in PARTS:
            raise ValueError(f'expected part in {PARTS}, but got {part=}')
        if part == 'backbone':
            model = getattr(model, 'backbone', model)
        elif not hasattr(model, 'extract_feat'):
            raise ValueError(
                f'{type(model).__name__} has no neck and no heads; export '
                "part='backbone'"
            )
        if part == 'model' and any(
            hasattr(model, head) for head in ('roi_head', 'bbox_head')
        ):
            raise ValueError(
                f'{type(model).__name__} selects boxes, and their number is no static '
                "shape; export part='neck', the maps that its heads read"
            )
        self.model = model
        self.part = part
        self.output_names = self._name_outputs()

    def _name_outputs(self) -> tuple[str, ...]:
        if self.part == 'model':
            return ('logits',)
        backbone = self.backbone
        if self.part == 'backbone' and backbone is not None:
            return tuple(f'stage{index}' for index in backbone.out_indices)
        return ()  # numbered when they are known

    @property
    def backbone(self) -> SpikingBackbone | None:
        """The spiking backbone inside."""
        found = (m for m in self.model.modules() if isinstance(m, SpikingBackbone))
        return next(found, None)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        if self.part == 'backbone':
            outputs = self.model(inputs)
        elif self.part == 'neck':
            outputs = self.model.extract_feat(inputs)
        else:
            outputs = self.model(inputs, mode='tensor')
        return tuple(_tensors(outputs))

    def make_input(
        self, shape: tuple[int, int], batch_size: int = 1, event_frames: bool = False
    ) -> Tensor:
        """A random normalised image ``(N, C, H, W)``, or frames ``(N, T, C, H, W)``."""
        backbone = self.backbone
        channels, steps = 3, ()
        if backbone is not None:
            channels = backbone.in_channels
            steps = (backbone.time_steps // backbone.virtual_steps,)
        size = (batch_size, *(steps if event_frames else ()), channels, *shape)
        return torch.randn(size, generator=torch.Generator().manual_seed(0))


def _tensors(outputs: Tensor | tuple | list | dict) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
        return
    values = outputs.values() if isinstance(outputs, dict) else outputs
    for value in values:
        yield from _tensors(value)
