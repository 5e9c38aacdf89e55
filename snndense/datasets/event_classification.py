"""Event-camera data sets for classification: CIFAR10-DVS and its kin."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

from snndense.registry import DATASETS

from .event_files import (
    KEYS,
    Events,
    read_aedat2,
    read_aedat3,
    read_atis,
    read_segments,
    read_words,
)
from .event_frames import EventFrameDataset

SPLIT_RULES = ('front', 'tebn', 'file')
TEBN_TEST_SAMPLES = 100


class _UnsplitDataset(EventFrameDataset):
    """Event-frame data set without published split.

    Args:
        split_rule (str): ``'front'``: the first ``ceil(train_ratio * n)`` files of a
            class, in the order of their names, are for training; ``'tebn'``: the
            files numbered 100 and up are; ``'file'``: ``ann_file`` names the samples
            of the split. Defaults to ``'front'``.
        train_ratio (float): See ``split_rule``. Defaults to 0.9.
        ann_file (str): Text file of ``split_rule='file'``, a line per sample such as
            ``airplane/cifar10_airplane_7``, with or without a suffix.
        **kwargs: See :class:`EventFrameDataset`.
    """

    HAS_SPLITS = False

    def __init__(
        self,
        data_root: str,
        split: str,
        *,
        split_rule: str = 'front',
        train_ratio: float = 0.9,
        ann_file: str = '',
        **kwargs,
    ) -> None:
        if split_rule not in SPLIT_RULES:
            raise ValueError(
                f'expected split_rule in {SPLIT_RULES}, but got {split_rule=}'
            )
        if not 0 < train_ratio < 1:
            raise ValueError(f'expected 0 < train_ratio < 1, but got {train_ratio=}')
        if (split_rule == 'file') != bool(ann_file):
            raise ValueError(
                "split_rule='file' and ann_file, which names the samples, need each "
                f'other, but got {split_rule=} and {ann_file=}'
            )
        self.split_rule = split_rule
        self.train_ratio = train_ratio
        super().__init__(data_root, split, ann_file=ann_file, **kwargs)

    def check_sources(self) -> None:
        super().check_sources()
        if self.ann_file and not Path(self.ann_file).is_file():
            raise FileNotFoundError(
                f'{self.ann_file}, which is to name the samples of the split '
                f'{self.split}, is missing'
            )

    def _prepare(self) -> Path:
        folder = super()._prepare()
        self._listed = self._read_list(folder) if self.ann_file else set()
        return folder

    def _read_list(self, folder: Path) -> set[Path]:
        """Files of the samples that ``ann_file`` names."""
        suffixes = (Path(self.RAW_PATTERN).suffix, '.npz')
        listed = set()
        for line in read_words(Path(self.ann_file)):
            name = next((s for s in suffixes if line.endswith(s)), '')
            path = folder / f'{line.removesuffix(name)}.npz'
            if not path.is_file():
                raise FileNotFoundError(
                    f'{self.ann_file} names the sample {line}, but there is no {path}'
                )
            listed.add(path)
        return listed

    def select(self, files: list[Path]) -> list[Path]:
        if self.split_rule == 'file':
            return [file for file in files if file in self._listed]
        if self.split_rule == 'tebn':
            is_test = [_file_number(file) < TEBN_TEST_SAMPLES for file in files]
        else:
            border = ceil(len(files) * self.train_ratio)
            is_test = [index >= border for index in range(len(files))]
        wanted = self.split == 'test'
        return [f for f, test in zip(files, is_test, strict=True) if test == wanted]


def _file_number(path: Path) -> int:
    number = path.stem.rpartition('_')[2]
    if not number.isdecimal():
        raise ValueError(
            f"split_rule='tebn' goes by the number at the end of a file name, but "
            f'{path} has none'
        )
    return int(number)


def _files_by_class(
    folder: Path, suffix: str, classes: tuple[str, ...] | None = None
) -> list[tuple[Path, str]]:
    """Files in class folders, and the names of those."""
    names = classes or sorted(e.name for e in folder.glob('*') if e.is_dir())
    found = {name: sorted((folder / name).glob(f'*{suffix}')) for name in names}
    empty = [name for name, files in found.items() if not files]
    if empty or not found:
        places = ', '.join(str(folder / name) for name in empty) or str(folder)
        raise FileNotFoundError(
            f'there are no *{suffix} files in {places}; unpack the archives again'
        )
    return [(file, name) for name, files in found.items() for file in files]


@DATASETS.register_module()
class CIFAR10DVS(_UnsplitDataset):
    """CIFAR10-DVS, 10 classes of 1000 recordings, 128 x 128.

    `CIFAR10-DVS: An Event-Stream Dataset for Object Classification
    <https://doi.org/10.3389/fnins.2017.00309>`_. The default split is the one of
    Spikformer and SpikingResformer.

    Args:
        data_root, split, time_steps, split_by: See :class:`EventFrameDataset`.
        split_rule (str): ``'front'``, ``'tebn'`` (files 0 to 99 of a class are for
            testing, `<https://openreview.net/forum?id=fLIgyyQiJqz>`_) or ``'file'``
            (``ann_file`` lists the samples, ``airplane/cifar10_airplane_7`` and so
            on). Defaults to ``'front'``.
        train_ratio (float): Of ``split_rule='front'``. Defaults to 0.9.
        ann_file (str): Of ``split_rule='file'``.
        **kwargs: See mmengine's ``BaseDataset``.
    """

    NAME = 'CIFAR10-DVS'
    NUM_SAMPLES = dict(train=10_000, test=10_000)  # of either split together
    READER = 'CIFAR10DVS'
    SENSOR = (128, 128)
    NUM_CLASSES = 10
    RAW_PATTERN = '<class>/*.aedat'
    METAINFO = dict(
        classes=(
            'airplane',
            'automobile',
            'bird',
            'cat',
            'deer',
            'dog',
            'frog',
            'horse',
            'ship',
            'truck',
        )
    )
    read_file = staticmethod(read_aedat2)

    def raw_files(self, folder: Path) -> list[tuple[Path, str]]:
        return _files_by_class(folder, '.aedat', self.METAINFO['classes'])


@DATASETS.register_module()
class NCaltech101(_UnsplitDataset):
    """N-Caltech101, 101 classes, 180 x 240.

    `Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades
    <https://doi.org/10.3389/fnins.2015.00437>`_. There is no published split, and
    papers differ: compare numbers with care. ``BACKGROUND_Google`` is one of the
    classes unless ``metainfo`` leaves it out.

    Args:
        data_root, split, time_steps, split_by: See :class:`EventFrameDataset`.
        split_rule (str): ``'front'`` or ``'file'`` (``ann_file`` lists the samples,
            ``airplanes/image_0007`` and so on). Defaults to ``'front'``.
        train_ratio (float): Of ``split_rule='front'``: the first files of a class, in
            the order of their names, are for training. Defaults to 0.9.
        ann_file (str): Of ``split_rule='file'``.
        **kwargs: See mmengine's ``BaseDataset``.
    """

    NAME = 'N-Caltech101'
    NUM_SAMPLES = dict(train=8709, test=8709)  # of either split together
    READER = 'NCaltech101'
    SENSOR = (180, 240)
    NUM_CLASSES = 101
    RAW_PATTERN = 'Caltech101/<class>/*.bin'
    read_file = staticmethod(read_atis)

    def raw_files(self, folder: Path) -> list[tuple[Path, str]]:
        return _files_by_class(folder / 'Caltech101', '.bin')


@DATASETS.register_module()
class NMNIST(EventFrameDataset):
    """N-MNIST, 10 digits, 60000 recordings to train and 10000 to test, 34 x 34.

    `Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades
    <https://doi.org/10.3389/fnins.2015.00437>`_.

    Args:
        data_root, split, time_steps, split_by: See
            :class:`~snndense.datasets.event_frames.EventFrameDataset`.
        **kwargs: See mmengine's ``BaseDataset``.
    """

    NAME = 'N-MNIST'
    NUM_SAMPLES = dict(train=60_000, test=10_000)
    READER = 'NMNIST'
    SENSOR = (34, 34)
    NUM_CLASSES = 10
    RAW_PATTERN = '{Train,Test}/<digit>/*.bin'
    METAINFO = dict(classes=tuple('0123456789'))
    read_file = staticmethod(read_atis)

    def raw_files(self, folder: Path) -> list[tuple[Path, str]]:
        digits = self.METAINFO['classes']
        return [
            (file, f'{split.lower()}/{digit}')
            for split in ('Train', 'Test')
            for file, digit in _files_by_class(folder / split, '.bin', digits)
        ]


@DATASETS.register_module()
class DVS128Gesture(EventFrameDataset):
    """DVS128 Gesture, 11 gestures of 29 people, 128 x 128.

    `A Low Power, Fully Event-Based Gesture Recognition System
    <https://openaccess.thecvf.com/content_cvpr_2017/html/Amir_A_Low_Power_CVPR_2017_paper.html>`_.
    A sample is what a recording holds from the start of a gesture to its end: 1176 to
    train, 288 to test.

    Classes are named by the number of the gesture from 0, as spikingjelly names them,
    and labels follow in the alphabetical order of these names ('0', '1', '10', '2',
    ...), so that checkpoints of either fit the other.

    Args:
        data_root, split, time_steps, split_by: See
            :class:`~snndense.datasets.event_frames.EventFrameDataset`.
        **kwargs: See mmengine's ``BaseDataset``.
    """

    NAME = 'DVS128 Gesture'
    NUM_SAMPLES = dict(train=1176, test=288)
    READER = 'DVS128Gesture'
    SENSOR = (128, 128)
    NUM_CLASSES = 11
    RAW_PATTERN = 'DvsGesture/{*.aedat,*_labels.csv,trials_to_*.txt}'
    METAINFO = dict(classes=tuple(sorted(str(index) for index in range(11))))

    def raw_files(self, folder: Path) -> list[tuple[Path, str]]:
        folder = folder / 'DvsGesture'
        found = []
        for split in ('train', 'test'):
            trials = folder / f'trials_to_{split}.txt'
            if not trials.is_file():
                raise FileNotFoundError(
                    f'{trials} is missing: it names the recordings of the split. '
                    'Unpack DvsGesture.tar.gz again'
                )
            names = read_words(trials)
            if absent := [name for name in names if not (folder / name).is_file()]:
                raise FileNotFoundError(
                    f'{folder} has no {", ".join(absent)}, which {trials.name} names; '
                    'unpack DvsGesture.tar.gz again'
                )
            found += [(folder / name, split) for name in names]
        return found

    def read_raw(self, path: Path) -> Iterator[tuple[str, Events]]:
        events = read_aedat3(path)
        numbers: dict[int, int] = {}
        labels = path.with_name(f'{path.stem}_labels.csv')
        for label, start, end in read_segments(labels).tolist():
            inside = (events['t'] >= start) & (events['t'] < end)
            if not inside.any():
                raise ValueError(
                    f'{path} has no events from {start} to {end} us, where '
                    f'{labels.name} has a gesture: it is truncated, or the labels are '
                    'of another recording'
                )
            number = numbers.setdefault(label, 0)
            numbers[label] += 1
            name = f'{label}/{path.stem}_{number}'
            yield name, {key: events[key][inside] for key in KEYS}
