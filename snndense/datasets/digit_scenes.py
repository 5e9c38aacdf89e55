"""Digit scenes: a small data set for detection, segmentation, classification."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ..utils.files import complete_folder, unfinished_path
from .digit_rendering import Instance, Scene, SceneComposer

VERSION = 1  # of the pictures: raise it when the same settings give other bytes
TASKS = ('det', 'seg', 'cls')
SPLITS = ('train', 'val')
CLASSES = tuple('0123456789')
NUM_TRAIN_SAMPLES = 1347  # of the 1797 samples; the other 450 are for val
SETTINGS_FILE = 'digit_scenes.json'
SCENE_HEIGHTS = (0.18, 0.5)  # of the image size
SINGLE_HEIGHTS = (0.5, 0.9)
MIN_IMAGE_SIZE = 32


@dataclass(frozen=True)
class DigitScenesSettings:
    """What determines every byte of a set.

    Args:
        num_train (int): Training scenes. Defaults to 1200.
        num_val (int): Validation scenes. Defaults to 200.
        image_size (int): Height and width. Defaults to 128.
        max_digits (int): Digits per scene are 1 to this. Defaults to 6.
        seed (int): Seed of the composition. Defaults to 0.
        tasks (tuple[str]): Among ``'det'`` (``coco/``), ``'seg'`` (``ade/``) and
            ``'cls'`` (``cls/``). Defaults to all.
        singles_per_scene (int): Pictures of a single digit, for classification, per
            scene: they say less than a scene does, and a network learns 1200 of them
            by heart. Defaults to 8.

    Raises:
        ValueError: For an unknown task or a number out of range.
    """

    num_train: int = 1200
    num_val: int = 200
    image_size: int = 128
    max_digits: int = 6
    seed: int = 0
    tasks: tuple[str, ...] = TASKS
    singles_per_scene: int = 8

    def __post_init__(self) -> None:
        lowest = dict(
            num_train=1,
            num_val=1,
            image_size=MIN_IMAGE_SIZE,
            max_digits=1,
            seed=0,
            singles_per_scene=1,
        )
        for name, least in lowest.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f'expected {name} >= {least}, but got {value!r}')
        if not self.tasks or not set(self.tasks) <= set(TASKS):
            raise ValueError(f'expected tasks among {TASKS}, but got {self.tasks}')

    def to_json(self) -> dict:
        return dict(
            version=VERSION,
            **{**asdict(self), 'tasks': [t for t in TASKS if t in self.tasks]},
        )


def make_digit_scenes(
    out: str | Path = 'data/digit_scenes',
    settings: DigitScenesSettings = DigitScenesSettings(),
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> bool:
    """Write a set of digit scenes, or find that it is already there.

    The scenes are composed of the handwritten digits bundled with scikit-learn
    (https://archive.ics.uci.edu/dataset/80); the first 1347 samples appear in
    training pictures only, the other 450 in validation pictures only. Layout::

        out/coco/{train,val}/000000000001.jpg
        out/coco/annotations/instances_{train,val}.json
        out/ade/images/{training,validation}/scene_00000001.jpg
        out/ade/annotations/{training,validation}/scene_00000001.png
        out/cls/{train,val}/{0..9}/000001.jpg

    Detection and segmentation show the same scenes. Masks and boxes cover the
    visible pixels. Category ids are digit + 1, and so are the values of the label
    PNGs, where 0 is background: read them with ``reduce_zero_label=False`` for
    eleven classes, or with ``reduce_zero_label=True`` for ADE20K's convention of
    ten classes and ignored background. Classification pictures show one digit each,
    in turn; there is at least one per class.

    The set is written into a temporary folder beside ``out`` and renamed at the
    end, so ``out`` is complete or absent.

    Args:
        out (str | Path): Folder of the set. Defaults to ``'data/digit_scenes'``.
        settings (DigitScenesSettings): What to compose.
        overwrite (bool): Whether to replace a set that was made with other
            settings. Defaults to False.
        progress (bool): Whether to show progress bars. Defaults to True.

    Returns:
        bool: Whether the set was made now (False: it was there).

    Raises:
        ImportError: If scikit-learn is missing.
        FileExistsError: If ``out`` holds something else.
    """
    out = Path(out)
    wanted = settings.to_json()
    if not overwrite and _is_there(out, wanted):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.parent / f'.{out.name}.lock'):
        if _is_there(out, wanted, overwrite):  # another process may have made it
            return False
        if out.exists():  # to be replaced: gone at once, so that no half of it stays
            shutil.rmtree(unfinished_path(out), ignore_errors=True)
            out.rename(unfinished_path(out))
        with complete_folder(out) as folder:
            _write_set(folder, settings, progress)
            (folder / SETTINGS_FILE).write_text(json.dumps(wanted, indent=1))
    return True


def _is_there(out: Path, wanted: dict, overwrite: bool = False) -> bool:
    """Whether ``out`` holds the wanted set; raise if it holds something else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / SETTINGS_FILE).read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{out} exists and is not a set of digit scenes (no readable '
            f'{SETTINGS_FILE}); choose another --out or remove it yourself'
        ) from None
    tasks = set(wanted['tasks']) <= set(found.get('tasks', ()))
    apart = {'tasks'} if 'cls' in wanted['tasks'] else {'tasks', 'singles_per_scene'}
    different = [k for k in wanted if k not in apart and found.get(k) != wanted[k]]
    if tasks and not different:
        return True
    if overwrite:
        return False
    different += [] if tasks else ['tasks']
    listed = ', '.join(
        f'--{k.replace("_", "-")} {found.get(k)} (wanted {wanted[k]})'
        for k in different
    )
    raise FileExistsError(
        f'{out} was made with other settings: {listed}; choose another --out, the '
        'settings it was made with, or --overwrite'
    )


def load_samples(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Handwritten samples of a split.

    Returns:
        tuple: Their indices in ``load_digits()``, all images ``(1797, 8, 8)`` and
        all digits ``(1797,)``.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'the digit scenes are composed of the handwritten digits bundled with '
            'scikit-learn; run: pip install scikit-learn'
        ) from error
    digits = load_digits()
    indices = np.arange(len(digits.target))
    in_train = indices < NUM_TRAIN_SAMPLES
    indices = indices[in_train if split == 'train' else ~in_train]
    return indices, digits.images, digits.target


def _write_set(folder: Path, settings: DigitScenesSettings, progress: bool) -> None:
    for split in SPLITS:
        count = getattr(settings, f'num_{split}')
        if 'det' in settings.tasks or 'seg' in settings.tasks:
            scenes = _scenes(settings, split, count)
            scenes = _tracked(scenes, count, f'{split} scenes', progress)
            _write_scenes(folder, settings, split, scenes)
        if 'cls' in settings.tasks:
            count = max(settings.singles_per_scene * count, len(CLASSES))
            scenes = _single_digits(settings, split, count)
            scenes = _tracked(scenes, count, f'{split} digits', progress)
            for index, scene in enumerate(scenes, start=1):
                name = f'{CLASSES[scene.instances[0].label]}/{index:06d}.jpg'
                _write(folder / 'cls' / split / name, _encode(scene.image, '.jpg'))


def _tracked(scenes: Iterator, count: int, what: str, progress: bool) -> Iterator:
    if not progress:
        return scenes
    print(f'composing {count} {what}', flush=True)
    return tqdm(scenes, total=count, leave=False, disable=None)  # bar on terminals


def _rng(settings: DigitScenesSettings, *key: int) -> np.random.Generator:
    # one stream per picture, so that more pictures leave the first ones as they are
    return np.random.default_rng([settings.seed, *key])


def _scenes(settings: DigitScenesSettings, split: str, count: int) -> Iterator[Scene]:
    indices, images, targets = load_samples(split)
    composer = SceneComposer(images, targets, settings.image_size, SCENE_HEIGHTS)
    for index in range(count):
        rng = _rng(settings, 0, SPLITS.index(split), index)
        num_digits = rng.integers(1, settings.max_digits + 1)
        yield composer.compose(rng, rng.choice(indices, num_digits))


def _single_digits(
    settings: DigitScenesSettings, split: str, count: int
) -> Iterator[Scene]:
    indices, images, targets = load_samples(split)
    composer = SceneComposer(images, targets, settings.image_size, SINGLE_HEIGHTS)
    for index in range(count):
        rng = _rng(settings, 1, SPLITS.index(split), index)
        choices = indices[targets[indices] == index % len(CLASSES)]
        yield composer.compose(rng, rng.choice(choices, 1))


def _write_scenes(
    folder: Path, settings: DigitScenesSettings, split: str, scenes: Iterator[Scene]
) -> None:
    ade_split = dict(train='training', val='validation')[split]
    coco = CocoWriter(settings.image_size)
    for index, scene in enumerate(scenes, start=1):
        jpeg = _encode(scene.image, '.jpg')
        if 'det' in settings.tasks:
            name = f'{index:012d}.jpg'
            coco.add(index, name, scene.instances)
            _write(folder / 'coco' / split / name, jpeg)
        if 'seg' in settings.tasks:
            images, labels = (
                folder / 'ade' / kind / ade_split for kind in ('images', 'annotations')
            )
            _write(images / f'scene_{index:08d}.jpg', jpeg)
            png = _encode(scene.label_map(), '.png')
            _write(labels / f'scene_{index:08d}.png', png)
    if 'det' in settings.tasks:
        text = json.dumps(coco.to_json(), separators=(',', ':'))
        _write(folder / f'coco/annotations/instances_{split}.json', text.encode())


class CocoWriter:
    """Collect instances in COCO's JSON format, masks as run lengths.

    Run lengths instead of polygons, because a covered digit may fall apart and a
    zero has a hole.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, image_id: int, file_name: str, instances: list[Instance]) -> None:
        size = self.image_size
        self.images.append(
            dict(id=image_id, file_name=file_name, height=size, width=size, license=1)
        )
        for instance in instances:
            rows = np.flatnonzero(instance.mask.any(1))
            columns = np.flatnonzero(instance.mask.any(0))
            y, x = int(rows[0]), int(columns[0])
            bbox = [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
            self.annotations.append(
                dict(
                    id=len(self.annotations) + 1,
                    image_id=image_id,
                    category_id=instance.label + 1,
                    bbox=bbox,
                    area=int(instance.mask.sum()),
                    segmentation=dict(
                        size=[size, size], counts=run_lengths(instance.mask)
                    ),
                    iscrowd=0,
                    digit_sample=instance.sample,
                )
            )

    def to_json(self) -> dict:
        return dict(
            info=dict(
                description='Digit scenes, composed by snndense of the handwritten '
                'digits bundled with scikit-learn',
                url='https://archive.ics.uci.edu/dataset/80',
                version=str(VERSION),
                contributor='E. Alpaydin, C. Kaynak (digits)',
            ),
            licenses=[
                dict(
                    id=1,
                    name='Creative Commons Attribution 4.0 International (CC BY 4.0)',
                    url='https://creativecommons.org/licenses/by/4.0/',
                )
            ],
            images=self.images,
            annotations=self.annotations,
            categories=[
                dict(id=digit + 1, name=name, supercategory='digit')
                for digit, name in enumerate(CLASSES)
            ],
        )


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: column by column, zeros first."""
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


def _encode(image: np.ndarray, suffix: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == '.jpg' else []
    return cv2.imencode(suffix, image, options)[1].tobytes()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
