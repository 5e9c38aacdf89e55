"""The convolutional pyramid that the models of the SDT family share."""

from collections.abc import Iterator

from torch import Tensor, nn

from ..layers import SpikeConv, checkpoint_module
from .base import SpikingBackbone


class MetaSDTStage(nn.Module):
    """One step of the pyramid: ``downsample``, called by the backbone, and blocks."""

    def __init__(self, downsample: SpikeConv, blocks: list, with_cp: bool) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint_module(block, x, self.with_cp)
        return x


class MetaSDTPyramid(SpikingBackbone):
    """A backbone of :class:`MetaSDTStage`, one per tap, in ``self.stages``.

    The first downsampling has no neuron in front: it reads the image.
    """

    stages: nn.ModuleList

    def _make_downsample(
        self, index: int, *, neuron_cfg: dict, norm_cfg: dict, time_steps: int
    ) -> SpikeConv:
        channels = (self.in_channels, *self.stage_channels)
        strides = (1, *self.stage_strides)
        return SpikeConv(
            channels[index],
            channels[index + 1],
            3 if index else 7,
            stride=strides[index + 1] // strides[index],
            bias=True,
            neuron_cfg=neuron_cfg if index else None,
            norm_cfg=norm_cfg,
            time_steps=time_steps,
        )

    def forward_stages(self, inputs: Tensor) -> Iterator[Tensor]:
        x = self.encode(inputs, self.stages[0].downsample)  # (T*N, C/2, H/2, W/2)
        x = self.stages[0](x)
        yield x
        for stage in self.stages[1:]:
            x = stage(stage.downsample(x))
            yield x

    def stage_modules(self, index: int) -> list[nn.Module]:
        return [self.stages[index]]

    def block_prefixes(self) -> list[str]:
        return [
            f'stages.{i}.blocks.{j}.'
            for i, stage in enumerate(self.stages)
            for j in range(len(stage.blocks))
        ]
