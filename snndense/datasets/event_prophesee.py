"""Prophesee's automotive recordings: clips of events, boxes, COCO annotations.

A clip is ``<name>_td.dat`` with its boxes in ``<name>_bbox.npy``, as in Gen1
(https://arxiv.org/abs/2001.08499) and 1 Mpx (https://arxiv.org/abs/2009.13436).
"""

import json
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..utils.files import complete_file
from .event_files import Events

CLIP_SUFFIX, BOXES_SUFFIX = '_td.dat', '_bbox.npy'
EVENT = np.dtype([('t', '<u4'), ('w', '<i4')])
# older recordings name two fields otherwise
RENAMED = {'ts': 't', 'confidence': 'class_confidence'}
BOX_FIELDS = ('t', 'x', 'y', 'w', 'h', 'class_id', 'track_id')
SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Sensor:
    """What is known of a data set, and which of its boxes count.

    The filter is the one of `RVT <https://arxiv.org/abs/2212.05598>`_, which later
    work compares with; Prophesee's own script has the smallest sides of the two
    sensors the other way round.
    """

    height: int
    width: int
    classes: tuple[str, ...]  # by class_id; what is beyond is left out
    min_diagonal: int
    min_side: int
    interval_us: int  # labels that lie between such intervals are left out
    in_whole_labels: bool  # whether the interval becomes a multiple of the labels'

    @property
    def max_width(self) -> int:
        """Wider boxes are errors of the automatic labelling."""
        return 9 * self.width // 10


SENSORS = {
    'gen1': Sensor(240, 304, ('car', 'pedestrian'), 30, 10, 250_000, False),
    # labels of 30 or 60 Hz: every third or sixth
    '1mpx': Sensor(
        720, 1280, ('pedestrian', 'two-wheeler', 'car'), 60, 20, 100_000, True
    ),
}
FIRST_US = 100_000  # intervals count from the first label at or after it
SKIP_US = 500_000  # without a history, nothing can be found
LABEL_JITTER_US = 2_000
# recordings are not in order everywhere; by more than this they are damaged
EVENT_JITTER_US = 10_000
PROBES = 64  # of the times of a clip, where not all are read


class PropheseeClip:
    """A ``.dat`` file, read where it is looked at and never as a whole.

    Args:
        path (str | Path): The file: lines that begin with ``%``, two bytes that give
            type and size of an event, events of 8 bytes in the order of time.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it has other events, none, or is truncated.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open(self.path, 'rb') as file:
            start, size = 0, EVENT.itemsize
            while (line := file.readline()).startswith(b'% '):
                start += len(line)
            if start:  # bare events, without type and size, have no such lines either
                file.seek(start)
                kind_and_size = file.read(2)
                start += 2
                size = kind_and_size[1] if len(kind_and_size) == 2 else 0
            length = file.seek(0, 2) - start
        if size != EVENT.itemsize:
            raise ValueError(
                f'{path} has events of {size} bytes, expected {EVENT.itemsize}: it is '
                'damaged, or no recording of changes'
            )
        if length <= 0 or length % EVENT.itemsize:
            what = 'has no events' if length <= 0 else 'is truncated'
            raise ValueError(
                f'{path} {what}: {max(length, 0)} bytes behind its header are no '
                f'multiple of {EVENT.itemsize}, the size of an event'
            )
        self._events = np.memmap(self.path, EVENT, 'r', start)

    @property
    def end_us(self) -> int:
        """Time of the last event."""
        return int(self._events[-1]['t'])

    def check_order(self) -> None:
        """Look at some times, from the first to the last, whether they ascend.

        Raises:
            ValueError: If they do not.
        """
        last = len(self._events) - 1
        places = np.linspace(0, last, min(PROBES, last + 1)).astype(np.int64)
        self._check_ascending(self._events['t'][places].astype(np.int64))

    def _check_ascending(self, times: np.ndarray) -> None:
        back = np.diff(times).min(initial=0)
        if back < -EVENT_JITTER_US:
            raise ValueError(
                f'{self.path} is damaged: its times go back by {-back} us; copy it '
                'again'
            )

    def window(self, start_us: int, end_us: int) -> Events:
        """Events with ``start_us <= t < end_us``.

        Raises:
            ValueError: If their times are damaged.
        """
        start_us = max(start_us, 0)
        times = self._events['t']
        first, last = (bisect_left(times, t) for t in (start_us, max(end_us, 0)))
        part = self._events[first:last]
        times = part['t'].astype(np.int64)
        self._check_ascending(times)
        for time in (times.min(initial=start_us), times.max(initial=start_us)):
            if not start_us - EVENT_JITTER_US <= time < end_us + EVENT_JITTER_US:
                raise ValueError(
                    f'{self.path} is damaged: it has an event of {time} us among those '
                    f'from {start_us} to {end_us} us; copy it again'
                )
        word = part['w'].astype(np.int64)
        return dict(
            t=times.clip(start_us, end_us - 1),
            x=word & 0x3FFF,
            y=(word >> 14) & 0x3FFF,
            p=(word >> 28) & 1,
        )


def window_frames(
    clip: PropheseeClip,
    end_us: int,
    window_us: int,
    time_steps: int,
    size: tuple[int, int],
    *,
    downsample: int = 1,
    max_count: int = 10,
) -> np.ndarray:
    """Count events in T frames of equal length that end at a time.

    Args:
        clip (PropheseeClip): The clip.
        end_us (int): End of the last frame, microseconds.
        window_us (int): Length of all frames together; a multiple of ``time_steps``.
        time_steps (int): T.
        size (tuple[int]): Height and width of the frames.
        downsample (int): Pixels of the sensor per pixel, in either direction.
        max_count (int): Larger counts become this.

    Returns:
        np.ndarray: uint8 ``(T, 2, H, W)``; channel 0 holds the events with ``p == 0``.
    """
    height, width = size
    events = clip.window(end_us - window_us, end_us)
    x, y = events['x'] // downsample, events['y'] // downsample
    inside = (x < width) & (y < height)
    step = (events['t'] - (end_us - window_us)) // (window_us // time_steps)
    place = ((step * 2 + events['p']) * height + y) * width + x
    counts = np.bincount(place[inside], minlength=time_steps * 2 * height * width)
    counts = np.minimum(counts, max_count).astype(np.uint8)
    return counts.reshape(time_steps, 2, height, width)


def read_boxes(path: str | Path) -> np.ndarray:
    """Boxes of a clip, with the field names of newer files whichever it is.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is damaged or lacks fields.
    """
    try:
        boxes = np.load(path)
    except OSError:
        raise
    except Exception as error:  # numpy's parser lets many kinds through
        raise ValueError(f'{path} is damaged: {error}') from None
    if not isinstance(boxes, np.ndarray) or boxes.ndim != 1:
        raise ValueError(f'{path} holds no boxes: it is no array of one axis')
    names = [RENAMED.get(name, name) for name in boxes.dtype.names or ()]
    if absent := [name for name in BOX_FIELDS if name not in names]:
        raise ValueError(
            f'{path} holds no boxes: it has no field {", ".join(absent)} among '
            f'{boxes.dtype.names or boxes.dtype}'
        )
    boxes.dtype.names = tuple(names)
    return boxes


def large_enough(
    width: np.ndarray, height: np.ndarray, min_diagonal: float, min_side: float
) -> np.ndarray:
    """Which boxes count: for labels and detections alike."""
    long = np.hypot(width, height) >= min_diagonal
    return long & (width >= min_side) & (height >= min_side)


def _select_boxes(boxes: np.ndarray, sensor: Sensor, is_train: bool) -> np.ndarray:
    """Boxes that count, cropped to the sensor; ascending times."""
    boxes = boxes[np.argsort(boxes['t'], kind='stable')]
    boxes = boxes[boxes['class_id'] < len(sensor.classes)].copy()
    for start, size, end in (
        ('x', 'w', sensor.width - 1),  # to the last pixel's beginning, as in RVT
        ('y', 'h', sensor.height - 1),
    ):
        stop = np.clip(boxes[start] + boxes[size], 0, end)
        boxes[start] = np.clip(boxes[start], 0, end)
        boxes[size] = stop - boxes[start]
    keep = large_enough(boxes['w'], boxes['h'], sensor.min_diagonal, sensor.min_side)
    if is_train:
        keep &= boxes['w'] <= sensor.max_width
    return boxes[keep]


def _thin(times: np.ndarray, sensor: Sensor) -> list[int]:
    """Times that are multiples of an interval apart, from the first half second on.

    As in RVT: an interval counts from the label kept last.
    """
    times = np.unique(times).astype(np.int64)
    times = times[times >= FIRST_US]
    interval = sensor.interval_us
    if sensor.in_whole_labels and len(times) > 1:
        apart = float(np.median(np.diff(times)))
        interval = int(max(1, round(interval / apart)) * apart)
    kept: list[int] = []
    for time in times.tolist():
        since = time - kept[-1] if kept else interval
        count = round(since / interval)
        if count and abs(since - count * interval) <= LABEL_JITTER_US:
            kept.append(time)
    return [time for time in kept if time >= SKIP_US]


def _find_clips(folder: Path) -> list[Path]:
    clips = sorted(folder.glob(f'*{CLIP_SUFFIX}')) if folder.is_dir() else []
    if not clips:
        raise FileNotFoundError(
            f'there are no *{CLIP_SUFFIX} files in {folder}; expected the clips of the '
            f'split there, each with its *{BOXES_SUFFIX}'
        )
    absent = [clip.name for clip in clips if not _boxes_of(clip).is_file()]
    if absent:
        raise FileNotFoundError(
            f'{len(absent)} of {len(clips)} clips in {folder} have no *{BOXES_SUFFIX} '
            f'beside them, such as {absent[0]}'
        )
    return clips


def _boxes_of(clip: Path) -> Path:
    return clip.with_name(clip.name.removesuffix(CLIP_SUFFIX) + BOXES_SUFFIX)


def prophesee_to_coco(
    root: str | Path,
    split: str,
    sensor: str = 'gen1',
    *,
    downsample: int = 1,
    progress: bool = True,
) -> Path:
    """Write the boxes of a split as a COCO annotation file.

    An image is a time with labels in a clip: ``file_name`` is the clip, ``time_us``
    the time, ``downsample`` the pixels of the sensor per pixel. Boxes are cropped to
    the sensor, and left out if they are too small, in the first half second, or, for
    training, wider than 90 % of the sensor; times without boxes are left out, and so
    are times between those that are 250 ms apart (1 Mpx: about 100 ms).

    Args:
        root (str | Path): Folder of the folders ``train``, ``val`` and ``test``.
        split (str): One of these.
        sensor (str): ``'gen1'`` or ``'1mpx'``. Defaults to ``'gen1'``.
        downsample (int): Pixels of the sensor per pixel. Defaults to 1.
        progress (bool): Whether to show progress. Defaults to True.

    Returns:
        Path: ``root/annotations/instances_{split}.json``; complete or absent.

    Raises:
        FileNotFoundError: If clips or their boxes are missing.
        ValueError: For damaged files, unknown sensors or splits, and splits without
            boxes.
    """
    if sensor not in SENSORS or split not in SPLITS:
        raise ValueError(
            f'expected sensor in {tuple(SENSORS)} and split in {SPLITS}, but got '
            f'{sensor=} and {split=}'
        )
    if downsample < 1:
        raise ValueError(f'expected downsample >= 1, but got {downsample=}')
    info, root = SENSORS[sensor], Path(root)
    coco = dict(
        info=dict(description=f'{sensor} {split}', downsample=downsample),
        images=[],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(info.classes, 1)],
    )
    clips = _find_clips(root / split)
    for clip in tqdm(clips, f'{sensor} {split}', disable=None if progress else True):
        _add_clip(coco, clip, f'{split}/{clip.name}', info, downsample)
    if not coco['annotations']:
        raise ValueError(f'no clip in {root / split} has a box that counts')
    path = root / 'annotations' / f'instances_{split}.json'
    with complete_file(path) as temporary:
        temporary.write_text(json.dumps(coco, separators=(',', ':')))
    return path


def _add_clip(
    coco: dict, clip: Path, name: str, sensor: Sensor, downsample: int
) -> None:
    is_train = name.startswith('train/')
    boxes = _select_boxes(read_boxes(_boxes_of(clip)), sensor, is_train)
    events = PropheseeClip(clip)
    events.check_order()
    end_us = events.end_us
    # cut off at the end of an event, it looks whole; labels give it away
    if len(boxes) and boxes['t'][-1] > end_us + SKIP_US:
        raise ValueError(
            f'{clip} is truncated: it ends at {end_us} us, but has labels until '
            f'{boxes["t"][-1]} us'
        )
    for time in _thin(boxes['t'], sensor):
        image = dict(
            id=len(coco['images']) + 1,
            file_name=name,
            height=sensor.height // downsample,
            width=sensor.width // downsample,
            time_us=time,
            downsample=downsample,
        )
        coco['images'].append(image)
        for box in boxes[boxes['t'] == time]:
            place = [float(box[key]) / downsample for key in ('x', 'y', 'w', 'h')]
            coco['annotations'].append(
                dict(
                    id=len(coco['annotations']) + 1,
                    image_id=image['id'],
                    category_id=int(box['class_id']) + 1,
                    bbox=place,
                    area=place[2] * place[3],
                    iscrowd=0,
                    track_id=int(box['track_id']),
                )
            )
