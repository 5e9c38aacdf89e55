"""Is the data of a config there, readable, and about the classes it says?"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from PIL import Image, UnidentifiedImageError

from snndense.utils.tables import bullets

from .coco_checks import check_coco

READERS = 16  # threads: reading the ends of many files waits for the disk, mostly
ANNOUNCED = 5000  # images from which on the check says that it runs
ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}  # of JPEG and PNG files
TAIL = 4096
DIGIT_SCENES = 'python tools/dataset_converters/make_digit_scenes.py'


def inner_datasets(dataloader: dict) -> Iterator[dict]:
    """Configs of the data sets behind a data loader's config.

    Wrappers such as ``RepeatDataset`` and ``ConcatDataset`` are looked through.
    """
    waiting = [dataloader['dataset']]
    while waiting:
        dataset = waiting.pop(0)
        inner = dataset.get('datasets') or [dataset.get('dataset')]
        if inner == [None]:
            yield dataset
        else:
            waiting = [*inner, *waiting]


def build_datasets(dataloader: dict) -> list[BaseDataset]:
    """Data sets behind a data loader's config, without loading their annotations."""
    datasets = []
    for cfg in inner_datasets(dataloader):
        dataset = DATASETS.build({**deepcopy(cfg), 'lazy_init': True})
        if isinstance(dataset, BaseDataset):
            datasets.append(dataset)
    return datasets


def is_remote(path: str) -> bool:
    return '://' in path


def missing_data_message(path: Path, what: str, option: str) -> str:
    """Where to put data that is missing, and what needs no download."""
    elsewhere = f'name another place with --cfg-options {option}=PATH'
    if 'digit_scenes' in path.parts:
        return (
            f'{what} {path} is missing. Make the set with: {DIGIT_SCENES}, or '
            f'{elsewhere}'
        )
    return (
        f'{what} {path} is missing. Put or link the data set there (ln -s '
        f'/path/to/it {path}), or {elsewhere}. To see everything at work without a '
        f'download, run `make demo`, or `{DIGIT_SCENES}` and one of the configs with '
        '"digits" in their names'
    )


def check_paths(dataset: BaseDataset, phase: str) -> None:
    """Make sure that the folders and the annotation file of a data set exist.

    Data sets that have a method ``check_sources`` say themselves what they need.

    Args:
        dataset (BaseDataset): Built with ``lazy_init=True``.
        phase (str): ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        FileNotFoundError: Naming the first that is missing, and where to put it.
    """
    if hasattr(dataset, 'check_sources'):
        dataset.check_sources()
        return
    key = f'{phase}_dataloader.dataset'
    wanted = [('the data root', dataset.data_root, 'data_root')]
    wanted.append(('the annotation file', dataset.ann_file, 'ann_file'))
    wanted += [
        ('the folder', prefix, f'data_prefix.{name}')
        for name, prefix in (dataset.data_prefix or {}).items()
    ]
    for what, path, option in wanted:
        if not isinstance(path, str) or not path or is_remote(path):
            continue
        if not Path(path).exists():
            what = f'{what} of {key}'
            raise FileNotFoundError(
                missing_data_message(Path(path), what, f'{key}.{option}')
            )


def check_evaluator_paths(evaluator: dict | list | None, phase: str) -> None:
    """Make sure that annotation files which metrics read themselves exist."""
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator or {}]
    for metric in metrics:
        path = metric.get('ann_file') if isinstance(metric, dict) else None
        if path and not is_remote(path) and not Path(path).is_file():
            key = f'{phase}_evaluator.ann_file'
            raise FileNotFoundError(
                missing_data_message(Path(path), f'the annotation file of {key}', key)
            )


def check_contents(dataset: BaseDataset) -> None:
    """Make sure that annotations and images of a data set can be used.

    COCO-style and mmseg-style data sets are checked, and that there is a folder for
    every class; of other data sets only :func:`check_paths` is known. Remote files
    are not read.

    Args:
        dataset (BaseDataset): Built with ``lazy_init=True``.

    Raises:
        FileNotFoundError: For images or label pictures that are missing.
        ValueError: For annotations without boxes, categories that are not those of
            the config, and files that cannot be decoded.
    """
    if is_remote(dataset.data_root or '') or getattr(dataset, 'backend_args', None):
        return
    if hasattr(dataset, 'COCOAPI'):
        find = getattr(dataset, 'find_damage', find_damage)
        check_images(check_coco(dataset), dataset.ann_file, find)
    elif 'seg_map_path' in (dataset.data_prefix or {}):
        samples = dataset.load_data_list()
        folder = dataset.data_prefix['img_path']
        if not samples:
            raise ValueError(f'there is no image *{dataset.img_suffix} in {folder}')
        paths = [s[key] for key in ('img_path', 'seg_map_path') for s in samples]
        check_images(paths, folder)
    elif class_folders(dataset) is not None:
        folders, classes = class_folders(dataset), dataset.metainfo.get('classes')
        if not folders or len(folders) != len(classes or folders):
            count = len(classes) if classes else 'a number of'
            raise ValueError(
                f'expected {count} folders of images in {dataset.img_prefix}, one per '
                f'class, but there are {len(folders)}'
            )


def class_folders(dataset: BaseDataset) -> list[str] | None:
    """Folders that name the classes of an mmpretrain data set, None for other ones."""
    prefix = getattr(dataset, 'img_prefix', None)
    with_label = getattr(dataset, 'with_label', True)
    if not prefix or not with_label or dataset.ann_file or is_remote(prefix):
        return None
    return [entry.name for entry in Path(prefix).iterdir() if entry.is_dir()]


def find_damage(path: str, *, thorough: bool = False) -> str | None:
    """What is wrong with an image file, None if nothing is.

    Sound JPEG and PNG files are told by their first and last bytes; what looks wrong
    is decoded before it is called so.

    Args:
        path (str): The file.
        thorough (bool): Whether to decode it in any case. Defaults to False.
    """
    try:
        with open(path, 'rb') as file:
            head = file.read(2)
            file.seek(max(0, file.seek(0, 2) - TAIL))
            is_whole = head in ENDS and ENDS[head] in file.read()
        if not head:
            return 'it is empty'
        if is_whole and not thorough:
            return None
        Image.open(path).close()
        if head not in ENDS and not thorough:
            return None
        # from memory as mmcv does it: cv2.imread lets truncated files pass
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        return 'it is truncated or damaged' if pixels is None else None
    except FileNotFoundError:
        return 'it is missing'
    except UnidentifiedImageError:
        return 'it is no image'
    except OSError as error:
        return str(error)


def check_images(
    paths: list[str],
    source: str,
    find: Callable[[str], str | None] = find_damage,
) -> None:
    """Make sure that image files exist and are whole.

    Args:
        paths (list[str]): The files.
        source (str): What names them, for the message.
        find (Callable): Says what is wrong with a file.
            Defaults to :func:`find_damage`.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged.
    """
    if len(paths) > ANNOUNCED:
        print(f'Checking the {len(paths)} images of {source} ...', flush=True)
    with ThreadPoolExecutor(READERS) as pool:
        damages = pool.map(find, paths)
        bad = {
            path: damage for path, damage in zip(paths, damages, strict=True) if damage
        }
    if not bad:
        return
    named = bullets([f'{path}: {damage}' for path, damage in bad.items()])
    error = FileNotFoundError if 'it is missing' in bad.values() else ValueError
    raise error(
        f'{len(bad)} of {len(paths)} images of {source} cannot be read:\n{named}'
        '\nCopy them again, or take them out of the annotations'
    )
