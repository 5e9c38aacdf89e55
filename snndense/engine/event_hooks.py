"""The visualization hooks of mmdet and mmpretrain, on event frames.

Not imported with the package, because the host toolboxes take seconds.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from snndense.registry import HOOKS

from .event_drawing import event_picture

if find_spec('mmdet') is not None:
    from mmdet.engine.hooks import DetVisualizationHook

    @HOOKS.register_module()
    class EventDetVisualizationHook(DetVisualizationHook):
        """mmdet's hook; its pictures are the frames before a label.

        A picture is named by the clip and the time of the label.

        Args:
            **kwargs: See mmdet's ``DetVisualizationHook``.
        """

        def after_val_iter(
            self,
            runner,
            batch_idx: int,
            data_batch: dict,
            outputs: Sequence[BaseDataElement],
        ) -> None:
            """Draw the first sample of every so many batches."""
            step = runner.iter + batch_idx
            if self.draw and step % self.interval == 0:
                self._add(data_batch['inputs'][0], outputs[0], 'val_img', step)

        def after_test_iter(
            self,
            runner,
            batch_idx: int,
            data_batch: dict,
            outputs: Sequence[BaseDataElement],
        ) -> None:
            """Draw every sample."""
            if not self.draw:
                return
            folder = None
            if self.test_out_dir is not None:
                folder = Path(runner.work_dir) / runner.timestamp / self.test_out_dir
            inputs = data_batch['inputs']
            if isinstance(inputs[0], Sequence):  # views of test-time augmentation
                inputs = inputs[-1]  # which is not flipped, see run_config.FLIPS
            for frames, sample in zip(inputs, outputs, strict=True):
                self._test_index += 1
                self._add(frames, sample, 'test_img', self._test_index, folder)

        def _add(
            self,
            frames: Tensor,
            sample: BaseDataElement,
            name: str,
            step: int,
            folder: Path | None = None,
        ) -> None:
            own_name = f'{Path(sample.img_path).stem}_{sample.get("time_us", step)}'
            self._visualizer.add_datasample(
                own_name if self.show else name,
                event_picture(frames),
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                pred_score_thr=self.score_thr,
                out_file=None if folder is None else str(folder / f'{own_name}.png'),
                step=step,
            )


if find_spec('mmpretrain') is not None:
    from mmpretrain.engine.hooks import VisualizationHook

    @HOOKS.register_module()
    class EventVisualizationHook(VisualizationHook):
        """mmpretrain's hook; its pictures are the frames of a sample.

        A picture is named by class and sample, since other classes have samples of
        the same names.

        Args:
            **kwargs: See mmpretrain's ``VisualizationHook``.
        """

        def _draw_samples(
            self,
            batch_idx: int,
            data_batch: dict,
            data_samples: Sequence[BaseDataElement],
            step: int = 0,
        ) -> None:
            if self.enable is False:
                return
            pictures = [event_picture(frames) for frames in data_batch['inputs']]
            images = [torch.from_numpy(picture) for picture in pictures]
            images = [image.permute(2, 0, 1) for image in images]  # C H W
            named = []
            for sample in data_samples:
                sample = sample.new()
                if (path := sample.get('img_path')) is not None:
                    path = Path(path)
                    name = f'{path.parent.name}_{path.stem}'
                    sample.set_metainfo(dict(img_path=name))
                named.append(sample)
            super()._draw_samples(batch_idx, dict(inputs=images), named, step)
