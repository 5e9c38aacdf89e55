"""Detection in event frames: data set, loading and metric for mmdet."""

from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric

from snndense.registry import DATASETS, METRICS, TRANSFORMS

from .event_prophesee import (
    BOXES_SUFFIX,
    CLIP_SUFFIX,
    SENSORS,
    SPLITS,
    PropheseeClip,
    large_enough,
    window_frames,
)

CONVERTER = 'tools/dataset_converters/prophesee_to_coco.py'


@DATASETS.register_module()
class EventCocoDataset(CocoDataset):
    """COCO annotations whose images are times in clips of events.

    ``tools/dataset_converters/prophesee_to_coco.py`` writes them for Gen1 and 1 Mpx.
    Samples and predictions have the size that the annotations say, which is not the
    sensor's if ``downsample`` is above 1. Besides COCO's, samples have the keys
    ``time_us`` and ``downsample``.

    Args:
        *args: See mmdet's ``CocoDataset``.
        **kwargs: ``metainfo`` gives the classes of data sets other than Gen1.
    """

    METAINFO = dict(classes=SENSORS['gen1'].classes)

    def check_sources(self) -> None:
        """Make sure that the annotation file is there.

        Raises:
            FileNotFoundError: With the files that it is made of, and how.
        """
        if Path(self.ann_file).is_file():
            return
        root = Path(self.data_root or '.')
        folders = '\n'.join(
            f'    {root / split}/*{CLIP_SUFFIX}, each with its *{BOXES_SUFFIX}'
            for split in SPLITS
        )
        raise FileNotFoundError(
            f'the annotation file {self.ann_file} is missing. Nothing is downloaded; '
            f"expected are Prophesee's recordings\n{folders}\n"
            'Put or link them there (ln -s /path/to/it ...), or name another place '
            'with data_root= of the data sets and ann_file= of the evaluators. Then '
            'make the annotations of all splits, once:\n'
            f'    python {CONVERTER} --root {root}\n'
            '(of 1 Mpx: with --sensor 1mpx --downsample 2)'
        )

    def parse_data_info(self, raw_data_info: dict) -> dict:
        image = raw_data_info['raw_img_info']
        if 'time_us' not in image:
            raise ValueError(
                f'image {image["id"]} of {self.ann_file} has no time_us; make the '
                f'file with {CONVERTER}'
            )
        info = super().parse_data_info(raw_data_info)
        return dict(
            info, time_us=image['time_us'], downsample=image.get('downsample', 1)
        )

    @staticmethod
    def find_damage(path: str) -> str | None:
        """What is wrong with a clip, None if nothing is."""
        try:
            PropheseeClip(path).check_order()
        except FileNotFoundError:
            return 'it is missing'
        except (OSError, ValueError) as error:
            return str(error).removeprefix(f'{path} ')
        return None


@TRANSFORMS.register_module()
class LoadEventWindow(BaseTransform):
    """Count the events before a label in T frames, folded into channels.

    mmdet's transforms know arrays ``(H, W, channels)``; ``EventDetDataPreprocessor``
    takes time and polarity apart again.

    Required keys: ``img_path``, ``time_us``, ``downsample``, ``height``, ``width``.
    Added keys: ``img`` (uint8 ``(H, W, T*2)``), ``img_shape``, ``ori_shape``,
    ``scale_factor`` (1, as to the boxes of the annotations).

    Args:
        time_steps (int): T.
        window_us (int): Length of all frames together, in microseconds. Defaults to
            200000.
        max_count (int): Larger counts become this. Defaults to 10.

    Raises:
        ValueError: If the window does not divide into T frames.
    """

    def __init__(
        self, time_steps: int, window_us: int = 200_000, max_count: int = 10
    ) -> None:
        if time_steps < 1 or window_us < 1 or window_us % time_steps:
            raise ValueError(
                f'expected window_us to be a multiple of time_steps, but got '
                f'{window_us=} and {time_steps=}'
            )
        if not 1 <= max_count <= 255:
            raise ValueError(f'expected 1 <= max_count <= 255, but got {max_count=}')
        self.time_steps = time_steps
        self.window_us = window_us
        self.max_count = max_count

    def transform(self, results: dict) -> dict:
        size = (results['height'], results['width'])
        frames = window_frames(
            PropheseeClip(results['img_path']),
            results['time_us'],
            self.window_us,
            self.time_steps,
            size,
            downsample=results['downsample'],
            max_count=self.max_count,
        )
        folded = frames.reshape(-1, *size).transpose(1, 2, 0)
        results['img'] = np.ascontiguousarray(folded)
        results['img_shape'] = results['ori_shape'] = size
        results['scale_factor'] = (1.0, 1.0)
        return results


@METRICS.register_module()
class PropheseeMetric(CocoMetric):
    """COCO's metric over detections that are large enough to count.

    The annotation file holds no smaller boxes, so that a detection of a small object,
    right as it may be, would count as an error. Give the numbers it was made with,
    divided by its ``downsample``.

    Args:
        min_diagonal (float): In pixels. Defaults to 30, as for Gen1.
        min_side (float): In pixels. Defaults to 10, as for Gen1.
        **kwargs: See mmdet's ``CocoMetric``.
    """

    def __init__(
        self, min_diagonal: float = 30, min_side: float = 10, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.min_diagonal = min_diagonal
        self.min_side = min_side

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        """Keep what counts of a batch."""
        kept = []
        for sample in data_samples:
            found = sample['pred_instances']
            width, height = (found['bboxes'][:, 2:] - found['bboxes'][:, :2]).T.cpu()
            keep = large_enough(
                width.numpy(), height.numpy(), self.min_diagonal, self.min_side
            ).nonzero()[0]
            found = {key: values[keep] for key, values in found.items()}
            kept.append({**sample, 'pred_instances': found})
        super().process(data_batch, kept)
