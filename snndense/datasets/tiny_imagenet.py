"""Tiny-ImageNet, as its archive unpacks."""

from pathlib import Path

from mmpretrain.datasets import BaseDataset

from snndense.registry import DATASETS

SPLITS = ('train', 'val')
LAYOUT = """
    {root}/wnids.txt
    {root}/words.txt
    {root}/train/n01443537/images/n01443537_0.JPEG
    {root}/val/images/val_0.JPEG
    {root}/val/val_annotations.txt"""


@DATASETS.register_module()
class TinyImageNet(BaseDataset):
    """200 classes of ImageNet, 500 training and 50 validation images each, 64 x 64.

    http://cs231n.stanford.edu/tiny-imagenet-200.zip. Classes are in the order of
    ``wnids.txt``; their names are from ``words.txt``.

    Args:
        data_root (str): Folder that the archive unpacks to. Defaults to
            ``'data/tiny-imagenet-200'``.
        split (str): ``'train'`` or ``'val'`` (the test images have no labels).
            Defaults to ``'train'``.
        **kwargs: See mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: If files of the split are missing.
        ValueError: For an unknown split, or images of unknown classes.
    """

    def __init__(
        self,
        data_root: str = 'data/tiny-imagenet-200',
        split: str = 'train',
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'expected split in {SPLITS}, but got {split=}')
        self.split = split
        root = Path(data_root)
        needed = ['wnids.txt', 'words.txt']
        if split == 'train':
            needed += ['train']
        else:
            needed += ['val/images', 'val/val_annotations.txt']
        missing = [name for name in needed if not (root / name).exists()]
        if missing:
            raise FileNotFoundError(
                f'{data_root} is no Tiny-ImageNet: {", ".join(missing)} missing. '
                'Unpack tiny-imagenet-200.zip, so that there are'
                + LAYOUT.format(root=root)
            )
        self.folders = (root / 'wnids.txt').read_text().split()
        words = dict(
            line.split('\t', 1)
            for line in (root / 'words.txt').read_text().splitlines()
        )
        classes = tuple(words.get(folder, folder) for folder in self.folders)
        is_train = split == 'train'
        super().__init__(
            ann_file='' if is_train else 'val/val_annotations.txt',
            metainfo=dict(classes=classes),
            data_root=data_root,
            data_prefix='train' if is_train else 'val/images',
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        labels = {folder: label for label, folder in enumerate(self.folders)}
        if self.split == 'train':
            images = [
                (path, path.parent.parent.name)
                for path in sorted(Path(self.img_prefix).glob('*/images/*.JPEG'))
            ]
        else:
            table = Path(self.ann_file).read_text()
            rows = (line.split('\t') for line in table.splitlines())
            images = [(Path(self.img_prefix) / row[0], row[1]) for row in rows]
        unknown = {folder for _, folder in images} - set(labels)
        if unknown or not images:
            raise ValueError(
                f'expected images of the {len(labels)} classes in wnids.txt in '
                f'{self.img_prefix}, but found {len(images)}, also of {sorted(unknown)}'
            )
        return [
            dict(img_path=str(path), gt_label=labels[folder]) for path, folder in images
        ]
