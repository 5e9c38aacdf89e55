"""Base class of event-camera data sets for classification, as frames."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from . import event_cache as cache
from .event_files import SPLITS_BY, Events, drop_outside, integrate, load_events

SPLITS = ('train', 'test')


class EventFrameDataset(BaseDataset):
    """Base class of event-camera data sets whose samples are T frames.

    The folders are those of `spikingjelly <https://github.com/fangwei123456/
    spikingjelly>`_, so that what either has made serves both::

        data_root/download/    archives
        data_root/extract/     what is in them
        data_root/events_np/   events, .npz
        data_root/frames_number_{T}_split_by_{number|time}/    frames, .npz

    What is missing is made of the folder above it when the data set is loaded, with
    progress; an interruption leaves nothing behind. Classes are folders in
    alphabetical order and files follow in the order of their names, which fixes both
    labels and splits.

    Args:
        data_root (str): Folder of the data set.
        split (str): ``'train'`` or ``'test'``.
        time_steps (int): T, the number of frames. Defaults to 16.
        split_by (str): ``'number'``: frames of as many events, ``'time'``: frames of
            as much time. Defaults to ``'number'``.
        metainfo (dict, optional): ``classes`` selects and orders folders.
        **kwargs: See mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If data are missing, with the list of what is expected
            where.
        ValueError: For unknown splits, damaged files and wrong class folders.
    """

    NAME: str
    READER: str  # class of spikingjelly.datasets
    SENSOR: tuple[int, int]  # height, width
    NUM_CLASSES: int
    RAW_PATTERN: str  # below extract/
    HAS_SPLITS = True  # whether there are folders train/ and test/
    NUM_SAMPLES: dict[str, int]  # published, in the folder that a split is taken from
    read_file: Callable[[Path], Events]  # where a file is a sample

    def __init__(
        self,
        data_root: str,
        split: str,
        *,
        time_steps: int = 16,
        split_by: str = 'number',
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'expected split in {SPLITS}, but got {split=}')
        if split_by not in SPLITS_BY:
            raise ValueError(f'expected split_by in {SPLITS_BY}, but got {split_by=}')
        if not isinstance(time_steps, int) or time_steps < 1:
            raise ValueError(f'expected time_steps >= 1, but got {time_steps=}')
        self.split = split
        self.time_steps = time_steps
        self.split_by = split_by
        super().__init__(data_root=data_root, metainfo=metainfo, **kwargs)

    @classmethod
    def _reader(cls) -> type:
        # takes seconds to import, and is needed once
        from spikingjelly import datasets

        return getattr(datasets, cls.READER)

    @abstractmethod
    def raw_files(self, folder: Path) -> list[tuple[Path, str]]:
        """Files of the unpacked folder, and where their events go in ``events_np``.

        Raises:
            FileNotFoundError: If parts of the data set are missing.
        """

    def read_raw(self, path: Path) -> Iterator[tuple[str, Events]]:
        """Names and events of the samples in a file, one sample by default."""
        yield path.stem, self.read_file(path)

    @property
    def root(self) -> Path:
        return Path(self.data_root)

    @property
    def _frames_root(self) -> Path:
        return self.root / cache.frames_folder(self.time_steps, self.split_by)

    def check_sources(self) -> None:
        """Make sure that frames are there, or something to make them of.

        Raises:
            FileNotFoundError: With the list of what is expected where.
        """
        folders = (self._frames_root, self.root / 'events_np', self.root / 'extract')
        if any(cache.is_there(folder) for folder in folders):
            return
        cache.check_archives(self.root, self.NAME, self.RAW_PATTERN, self._reader())

    def _prepare(self) -> Path:
        """Make frames, and before them whatever they are made of, if need be."""
        self.check_sources()
        if not cache.is_there(self._frames_root):  # which may be in a read-only folder
            with cache.locked(self.root):
                if not cache.is_there(self._frames_root):  # nor made meanwhile
                    self._make_frames(self._make_events())
        self._check_complete()
        return self._frames_root

    def _check_complete(self) -> None:
        """Compare frames with events: older spikingjelly leaves parts of folders."""
        events_root, frames_root = self.root / 'events_np', self._frames_root
        if not cache.is_there(events_root):
            return
        wanted = {path.relative_to(events_root) for path in cache.samples(events_root)}
        found = {path.relative_to(frames_root) for path in cache.samples(frames_root)}
        if missing := sorted(wanted - found):
            raise ValueError(
                f'{frames_root} is not complete: {len(missing)} of {len(wanted)} '
                f'samples of {events_root} are missing, such as {missing[0]}. Remove '
                'it, and it will be made again'
            )

    def _make_events(self) -> Path:
        target = self.root / 'events_np'
        if cache.is_there(target):
            return target
        unpacked = cache.unpack(self.root, self.NAME, self.RAW_PATTERN, self._reader())
        places = dict(self.raw_files(unpacked))

        def process(path: Path, folder: Path) -> None:
            for name, events in self.read_raw(path):
                cache.save_npz(folder / places[path] / f'{name}.npz', **events)

        cache.convert(places, process, target, f'Reading {self.NAME}')
        return target

    def _make_frames(self, source: Path) -> None:
        self._reader()  # imported once, not by all threads at the same time
        outside: dict[Path, int] = {}

        def process(path: Path, folder: Path) -> None:
            events, count = drop_outside(load_events(path), *self.SENSOR)
            try:
                frames = integrate(events, self.time_steps, self.split_by, *self.SENSOR)
            except ValueError as error:
                raise ValueError(f'{path}: {error}') from None
            if count:
                outside[path] = count
            cache.save_npz(folder / path.relative_to(source), frames=frames)

        what = f'Integrating {self.NAME} into {self.time_steps} frames'
        cache.convert(cache.samples(source), process, self._frames_root, what)
        if outside:
            height, width = self.SENSOR
            print_log(
                f'{sum(outside.values())} events in {len(outside)} files lay outside '
                f'the sensor of {height} x {width} and were left out',
                'current',
            )

    def _class_folders(self, folder: Path) -> list[str]:
        found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        chosen = self.metainfo.get('classes')
        if chosen is None:
            if len(found) != self.NUM_CLASSES:
                raise ValueError(
                    f'expected the {self.NUM_CLASSES} class folders of {self.NAME} in '
                    f'{folder}, but got {len(found)}. To use others, give '
                    'metainfo=dict(classes=...)'
                )
            return found
        if absent := [name for name in chosen if name not in found]:
            raise FileNotFoundError(
                f'{folder} has no folders for the classes {", ".join(absent)}'
            )
        return list(chosen)

    def load_data_list(self) -> list[dict]:
        """Frames files and labels of the split."""
        folder = self._prepare()
        if self.HAS_SPLITS:
            folder = folder / self.split
        names = self._class_folders(folder)
        self._metainfo.setdefault('classes', tuple(names))
        samples, files_of = [], {name: cache.samples(folder / name) for name in names}
        self._compare_with_published(folder, files_of)
        for label, name in enumerate(names):
            files = self.select(files_of[name])
            samples += [dict(img_path=str(file), gt_label=label) for file in files]
        if not samples:
            raise ValueError(
                f'there is no sample of the split {self.split} in {folder}'
            )
        return samples

    def _compare_with_published(
        self, folder: Path, files_of: dict[str, list[Path]]
    ) -> None:
        expected, found = self.NUM_SAMPLES[self.split], sum(map(len, files_of.values()))
        if len(files_of) == self.NUM_CLASSES and found != expected:
            print_log(
                f'{folder} has {found} samples, but {self.NAME} has {expected}: unless '
                'you left some out, parts of the raw data are missing, and results are '
                'not comparable',
                'current',
                logging.WARNING,
            )

    def select(self, files: list[Path]) -> list[Path]:
        """Files of a class that belong to the split."""
        return files

    def get_cat_ids(self, idx: int) -> list[int]:
        """Label of a sample, in a list, as class-balanced sampling wants it."""
        return [self.get_data_info(idx)['gt_label']]
