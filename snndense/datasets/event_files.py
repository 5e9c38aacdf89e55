"""Event files: read, checked for damage, and integrated into frames.

Events are a dict of arrays ``t`` (microseconds, ascending), ``x``, ``y`` and ``p``
(0 or 1); frames are counts ``(T, 2, H, W)``, where channel 0 holds the events with
``p == 0``. Both are the conventions of spikingjelly, whose readers are used where
there are some. They pass over damage in silence, which is why every file is checked
before.
"""

from pathlib import Path

import numpy as np

Events = dict[str, np.ndarray]

KEYS = ('t', 'x', 'y', 'p')
SPLITS_BY = ('number', 'time')
AEDAT2_SIDE = 128
ATIS_EVENT_BYTES = 5
AEDAT3_END = b'#!END-HEADER\r\n'
# of a packet: type, source, event size, offset, overflow, capacity, number, valid
AEDAT3_HEADER = np.dtype('<u2,<u2,<u4,<u4,<u4,<u4,<u4,<u4')
AEDAT3_POLARITY, AEDAT3_EVENT_BYTES = 1, 8
GESTURES = 11


def _check_not_empty(path: Path, data: bytes) -> None:
    if not data:
        raise ValueError(f'{path} has no events; copy or unpack it again')


def read_aedat2(path: Path) -> Events:
    """Events of an AEDAT 2.0 file of CIFAR10-DVS (128 x 128).

    Text lines that start with ``#``, then big-endian pairs of 32-bit address and time.
    The axes are turned the way spikingjelly turns them.

    Raises:
        ValueError: If the file is no AEDAT 2.0, empty or truncated.
    """
    data = path.read_bytes()
    if not data.startswith(b'#!AER-DAT2'):
        raise ValueError(f'{path} is no AEDAT 2.0 file: it does not begin #!AER-DAT2')
    start = 0
    while data[start : start + 1] == b'#':
        end = data.find(b'\n', start) + 1
        if end == 0:
            raise ValueError(f'{path} is truncated: its header does not end')
        start = end
    body = data[start:]
    _check_not_empty(path, body)
    if len(body) % 8:
        raise ValueError(
            f'{path} is truncated: {len(body)} bytes behind its header are no multiple '
            'of 8, the size of an event'
        )
    address, time = np.frombuffer(body, '>u4').reshape(-1, 2).T.astype(np.int64)
    last = AEDAT2_SIDE - 1
    return dict(
        t=time,
        x=last - ((address >> 8) & last),
        y=last - ((address >> 1) & last),
        p=1 - (address & 1),
    )


def read_atis(path: Path) -> Events:
    """Events of a ``.bin`` file of N-MNIST or N-Caltech101, five bytes each.

    Raises:
        ValueError: If the file is empty or truncated.
    """
    from spikingjelly.datasets.utils import load_ATIS_bin

    size = path.stat().st_size
    if size == 0 or size % ATIS_EVENT_BYTES:
        what = 'empty' if size == 0 else 'truncated'
        raise ValueError(
            f'{path} is {what}: its {size} bytes are no multiple of '
            f'{ATIS_EVENT_BYTES}, the size of an event'
        )
    return load_ATIS_bin(path)


def read_aedat3(path: Path) -> Events:
    """Events of an AEDAT 3.1 recording of DVS128 Gesture.

    Raises:
        ValueError: If the file is no AEDAT 3, empty, truncated or damaged.
    """
    from spikingjelly.datasets.utils import load_aedat_v3

    _check_aedat3(path)
    events = load_aedat_v3(path)
    return {key: values.astype(np.int64) for key, values in events.items()}


def _check_aedat3(path: Path) -> None:
    """Walk over the packets of a recording without decoding them."""
    data = path.read_bytes()
    if not data.startswith(b'#!AER-DAT3'):
        raise ValueError(f'{path} is no AEDAT 3.1 file: it does not begin #!AER-DAT3')
    start = data.find(AEDAT3_END)
    if start < 0:
        raise ValueError(f'{path} is truncated: its header does not end')
    position = start + len(AEDAT3_END)
    _check_not_empty(path, data[position:])
    while position < len(data):
        body = position + AEDAT3_HEADER.itemsize
        if body <= len(data):
            header = np.frombuffer(data, AEDAT3_HEADER, 1, position)[0]
            kind, size, capacity = (int(header[key]) for key in ('f0', 'f2', 'f5'))
            if kind == AEDAT3_POLARITY and size != AEDAT3_EVENT_BYTES:
                raise ValueError(
                    f'{path} is damaged: a packet has events of {size} bytes, expected '
                    f'{AEDAT3_EVENT_BYTES}'
                )
            position = body + size * capacity
        if body > len(data) or position > len(data):
            raise ValueError(
                f'{path} is truncated: its last packet needs '
                f'{max(body, position) - len(data)} more bytes'
            )


def read_segments(path: Path) -> np.ndarray:
    """Gestures of a recording: rows of label (from 0), start and end in microseconds.

    Args:
        path (Path): ``<recording>_labels.csv``: a line of names, then class 1 to 11,
            start and end per line.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it holds anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} is missing: it says where the gestures of the recording begin and '
            'end. Unpack DvsGesture.tar.gz again'
        )
    lines = read_words(path)[1:]
    try:
        rows = np.array([line.split(',') for line in lines], np.int64)
    except (OverflowError, ValueError) as error:
        raise ValueError(f'{path} is damaged: {error}') from None
    if rows.shape[1:] != (3,) or not rows.size:
        raise ValueError(
            f'{path} is damaged: expected rows of class, start and end, but got an '
            f'array of shape {rows.shape}'
        )
    label, start, end = rows.T
    wrong = (label < 1) | (label > GESTURES) | (start < 0) | (end <= start)
    if wrong.any():
        raise ValueError(
            f'{path} is damaged: expected classes from 1 to {GESTURES}, and ends after '
            f'starts, but got {rows[wrong][0].tolist()}'
        )
    rows[:, 0] -= 1
    return rows


def read_words(path: Path) -> list[str]:
    """Words of a text file, which spaces or line ends part.

    Raises:
        ValueError: If it is no text, or empty.
    """
    try:
        words = path.read_text(encoding='utf-8').split()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is damaged, it is no text: {error}') from None
    if not words:
        raise ValueError(f'{path} is empty')
    return words


def _open_npz(path: str | Path, keys: tuple[str, ...]) -> Events:
    try:
        with np.load(path) as file:
            return {key: file[key] for key in keys}
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # numpy, zipfile and zlib let many kinds through
        raise ValueError(
            f'{path} is damaged ({error}); remove the folder of the cache that it is '
            'in, and it will be made again'
        ) from error


def load_events(path: str | Path) -> Events:
    """Events of an ``.npz`` file as spikingjelly writes it.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is damaged.
    """
    events = _open_npz(path, KEYS)
    shapes = {values.shape for values in events.values()}
    kinds = {values.dtype.kind for values in events.values()}
    if len(shapes) != 1 or events['t'].ndim != 1 or not kinds <= set('iub'):
        raise ValueError(
            f'{path} holds no events: expected whole numbers {KEYS}, as many of each'
        )
    return events


def load_frames(path: str | Path) -> np.ndarray:
    """Frames ``(T, 2, H, W)`` of an ``.npz`` file, as float32.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is damaged.
    """
    frames = _open_npz(path, ('frames',))['frames']
    if frames.ndim != 4 or frames.shape[1] != 2 or frames.dtype.kind not in 'iuf':
        raise ValueError(
            f'{path} holds no frames: expected numbers (T, 2, H, W), but got '
            f'{frames.dtype} of shape {frames.shape}'
        )
    return frames.astype(np.float32)


def drop_outside(events: Events, height: int, width: int) -> tuple[Events, int]:
    """Leave out events that no pixel of the sensor can have sent.

    Such events, if they were kept, would count for another row or for the other
    polarity.

    Returns:
        tuple: The events, and how many were left out.
    """
    inside = (events['x'] < width) & (events['y'] < height)
    inside &= (events['x'] >= 0) & (events['y'] >= 0)
    if inside.all():
        return events, 0
    return {key: events[key][inside] for key in KEYS}, int((~inside).sum())


def integrate(
    events: Events, time_steps: int, split_by: str, height: int, width: int
) -> np.ndarray:
    """Count events in T frames, by spikingjelly's rules.

    Args:
        events (dict): The events, at least one.
        time_steps (int): T.
        split_by (str): ``'number'``: every frame takes as many events, the last one
            the remainder too; ``'time'``: every frame takes as long.
        height, width (int): Of the sensor.

    Returns:
        np.ndarray: ``(T, 2, H, W)`` of the smallest unsigned type that holds it.

    Raises:
        ValueError: If there are no events, or none in one of the T spans of time.
    """
    from spikingjelly.datasets.utils import integrate_events_by_fixed_frames_number

    if not len(events['t']):
        raise ValueError('it has no events')
    try:
        frames = integrate_events_by_fixed_frames_number(
            events, split_by, time_steps, height, width
        )
    except IndexError:
        raise ValueError(
            f'one of its {time_steps} equal spans of time has no events; use '
            "split_by='number' or fewer time_steps"
        ) from None
    return frames.astype(np.min_scalar_type(int(frames.max())))
