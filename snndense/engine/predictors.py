"""Predictions for image files, through the inferencers of the toolboxes."""

import json
from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from PIL import Image

from snndense.utils.files import complete_file

from .inferencers import build_inferencer
from .visualizers import draw_sample


class Predictor(ABC):
    """Predicts batches of image files, and writes a result.

    Subclasses wrap the inferencer of one toolbox.

    Args:
        cfg (Config): The config; its test pipeline prepares the images.
        checkpoint (str): The weights.
        device (str): Such as ``'cpu'`` or ``'cuda:0'``.
        score_thr (float): Detections with a lower score are left out.
        top_k (int): Classes to list for a classified image.

    Attributes:
        classes (tuple[str]): Names of the classes.
    """

    def __init__(
        self, cfg: Config, checkpoint: str, device: str, *, score_thr: float, top_k: int
    ) -> None:
        self.score_thr = score_thr
        self.top_k = top_k
        self.inferencer = build_inferencer(cfg, checkpoint, device)
        self.classes = tuple(self.class_names())

    def class_names(self) -> tuple[str, ...]:
        return self.inferencer.model.dataset_meta['classes']

    def predict(self, paths: list[str]) -> list[BaseDataElement]:
        """Data samples with predictions for one batch of images."""
        (batch,) = self.inferencer.preprocess(paths, batch_size=len(paths))
        return self.inferencer.forward(batch)

    def draw(self, image: np.ndarray, sample: BaseDataElement, path: Path) -> None:
        """Draw a prediction on an RGB image and write it to ``path``."""
        visualizer, options = self.inferencer.visualizer, self.draw_options()
        draw_sample(visualizer, image, sample, out_file=str(path), **options)

    def draw_options(self) -> dict:
        """How a prediction is drawn."""
        return dict(draw_gt=False)

    @abstractmethod
    def describe(self, sample: BaseDataElement, folder: Path, name: str) -> dict:
        """A prediction as values for JSON; what JSON cannot hold goes to files."""


class DetectionPredictor(Predictor):
    """Boxes, labels, scores and masks (run-length encoded), over ``DetInferencer``."""

    def predict(self, paths: list[str]) -> list[BaseDataElement]:
        ((_, batch),) = self.inferencer.preprocess(paths, batch_size=len(paths))
        samples = self.inferencer.forward(batch)
        for sample in samples:
            instances = sample.pred_instances
            sample.pred_instances = instances[instances.scores >= self.score_thr].cpu()
        return samples

    def draw_options(self) -> dict:
        return dict(draw_gt=False, pred_score_thr=self.score_thr)

    def describe(self, sample: BaseDataElement, folder: Path, name: str) -> dict:
        instances = sample.pred_instances
        labels = instances.labels.tolist()
        result = dict(
            labels=labels,
            classes=[self.classes[label] for label in labels],
            scores=instances.scores.tolist(),
            bboxes=instances.bboxes.tolist(),
        )
        if 'masks' in instances:
            from mmdet.structures.mask import encode_mask_results

            encoded = encode_mask_results(instances.masks.numpy())
            result['masks'] = [
                dict(size=mask['size'], counts=mask['counts'].decode())
                for mask in encoded
            ]
        return result


class SegmentationPredictor(Predictor):
    """A picture with the class of every pixel, over ``MMSegInferencer``."""

    def describe(self, sample: BaseDataElement, folder: Path, name: str) -> dict:
        labels = sample.pred_sem_seg.data[0].cpu().numpy()
        dtype = np.uint8 if len(self.classes) <= 256 else np.uint16
        with complete_file(folder / f'{name}.png') as path:
            Image.fromarray(labels.astype(dtype)).save(path)
        present, counts = np.unique(labels, return_counts=True)
        return dict(
            seg_map=f'{name}.png',
            pixels={
                self.classes[label]: int(count)
                for label, count in zip(present, counts, strict=True)
            },
        )


class ClassificationPredictor(Predictor):
    """The most likely classes, over ``ImageClassificationInferencer``."""

    def class_names(self) -> tuple[str, ...]:
        # the names are in the checkpoint or belong to the data set, if anywhere
        return self.inferencer.classes or ()

    def describe(self, sample: BaseDataElement, folder: Path, name: str) -> dict:
        scores, labels = sample.pred_score.topk(min(self.top_k, len(sample.pred_score)))
        result = dict(labels=labels.tolist(), scores=scores.tolist())
        if self.classes:
            result['classes'] = [self.classes[label] for label in result['labels']]
        return result


PREDICTORS: dict[str, type[Predictor]] = {
    'mmdet': DetectionPredictor,
    'mmseg': SegmentationPredictor,
    'mmpretrain': ClassificationPredictor,
}


def write_prediction(
    predictor: Predictor, sample: BaseDataElement, image: str, out_dir: Path, name: str
) -> None:
    """Write a drawn picture, ``vis/NAME.png``, and a description, ``preds/NAME.json``.

    The description comes last: where there is one, everything of that image is.
    """
    pixels = np.ascontiguousarray(cv2.imread(image)[..., ::-1])  # BGR to RGB
    with complete_file(out_dir / 'vis' / f'{name}.png') as path:
        predictor.draw(pixels, sample, path)
    folder = out_dir / 'preds'
    result = dict(image=image, height=pixels.shape[0], width=pixels.shape[1])
    folder.mkdir(parents=True, exist_ok=True)
    result.update(predictor.describe(sample, folder, name))
    with complete_file(folder / f'{name}.json') as path:
        path.write_text(json.dumps(result))
