"""Are the contents of a COCO annotation file what a config expects?"""

import json
from collections.abc import Iterator
from pathlib import Path

from mmengine.dataset import BaseDataset

from snndense.utils.tables import listed


def check_coco(dataset: BaseDataset) -> list[str]:
    """Check the annotation file of a COCO-style data set.

    mmdet matches categories by name, silently drops the ones that it does not find,
    and numbers the labels in the order of the file: with other names, or another
    order, a model learns the wrong classes without an error.

    Args:
        dataset (BaseDataset): An mmdet ``CocoDataset`` built with ``lazy_init=True``.

    Returns:
        list[str]: Paths of the images that the file names, each once.

    Raises:
        ValueError: If the file is no COCO annotation, has other categories than the
            config, or no usable boxes.
    """
    path = dataset.ann_file
    contents = _load_json(path)
    has_boxes = 'annotations' in contents or not dataset.test_mode
    needed = ['images', 'categories', *(['annotations'] if has_boxes else [])]
    if absent := [key for key in needed if key not in contents]:
        raise ValueError(
            f'{path} is no COCO annotation file: it has no {" and no ".join(absent)}'
        )
    if not contents['images']:
        raise ValueError(f'{path} names no images')
    check_categories(path, contents['categories'], dataset.metainfo.get('classes'))
    if has_boxes:
        _check_boxes(dataset, contents)
    folder = Path(dataset.data_prefix.get('img', ''))
    names = dict.fromkeys(image['file_name'] for image in contents['images'])
    return [str(folder / name) for name in names]


def check_categories(path: str, categories: list[dict], classes: tuple) -> None:
    """Compare the categories of a file with the classes of a config.

    Args:
        path (str): The annotation file, for messages.
        categories (list[dict]): Its categories.
        classes (tuple[str]): ``metainfo['classes']`` of the data set.

    Raises:
        ValueError: If classes are missing in the file or in another order there.
    """
    if isinstance(classes, str) or not classes:
        raise ValueError(
            "expected metainfo['classes'] of the data set to be a tuple of names, such "
            f"as ('person',) with its comma, but got {classes!r}"
        )
    named = [category['name'] for category in categories]
    absent = [name for name in classes if name not in named]
    if absent:
        raise ValueError(
            f'the categories of {path} are not the classes of the config: '
            f'{listed(absent)} {"is" if len(absent) == 1 else "are"} not among its '
            f'{len(named)} categories ({listed(named)}). Set metainfo=dict(classes='
            '...) in the data sets and num_classes in the heads'
        )
    in_file = [name for name in named if name in classes]
    if in_file != list(classes):
        raise ValueError(
            f'labels are numbered in the order of {path}, where the categories are '
            f'({listed(in_file)}), but the classes of the config are '
            f'({listed(classes)}). Write them in the order of the file'
        )


def _load_json(path: str) -> dict:
    try:
        with open(path, encoding='utf-8') as file:
            contents = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f'the annotation file {path} is truncated or no JSON: {error}'
        ) from error
    if not isinstance(contents, dict):
        raise ValueError(f'expected {path} to hold a JSON object, but got a list')
    return contents


def _check_boxes(dataset: BaseDataset, contents: dict) -> None:
    path = dataset.ann_file
    wanted = {
        category['id']
        for category in contents['categories']
        if category['name'] in dataset.metainfo['classes']
    }
    used = [a for a in contents['annotations'] if a.get('category_id') in wanted]
    if not used:
        raise ValueError(
            f'{path} has no boxes of the {len(wanted)} classes of the config: it '
            f'holds {len(contents["annotations"])} annotations in all'
        )
    files = {image['id']: image['file_name'] for image in contents['images']}
    problem = next(_problems(used, files, _loads_masks(dataset)), None)
    if problem is not None:
        raise ValueError(f'{path}: {problem}')


def _problems(annotations: list, files: dict, with_masks: bool) -> Iterator[str]:
    for annotation in annotations:
        where = f'annotation {annotation.get("id")}'
        image_id = annotation.get('image_id')
        if image_id not in files:
            yield f'{where} is about image {image_id}, which the file does not name'
            continue
        where += f' (of {files[image_id]})'
        box = annotation.get('bbox')
        if not isinstance(box, list) or len(box) != 4:
            yield f'{where} has no box: expected bbox=[x, y, width, height], got {box}'
        elif 'area' not in annotation:
            yield f'{where} has no area'
        elif with_masks and not annotation.get('segmentation') and _is_used(annotation):
            yield (
                f'{where} has no segmentation, but the pipeline loads masks; take a '
                'config without a mask head, or with_mask=False'
            )


def _is_used(annotation: dict) -> bool:
    """Whether mmdet keeps an annotation: it drops those without an extent."""
    return min(annotation['bbox'][2:]) >= 1 and annotation['area'] > 0


def _loads_masks(dataset: BaseDataset) -> bool:
    return any(getattr(t, 'with_mask', False) for t in dataset.pipeline.transforms)
