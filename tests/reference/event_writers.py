"""Event files, written from the definitions of their formats."""

import struct
from pathlib import Path

import numpy as np

CIFAR10_CLASSES = [
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
]


def blob(seed: int, count: int, height: int, width: int, span_us: int = 10**6) -> dict:
    """Events of ascending times around a place that depends on the seed."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.2, 0.8, 2)
    place = rng.normal(centre, 0.1, (count, 2)).clip(0, 0.999) * (height, width)
    y, x = place.astype(np.int64).T
    t = np.sort(rng.integers(0, span_us, count))
    return dict(t=t, x=x, y=y, p=rng.integers(0, 2, count))


def write_aedat2(path: Path, events: dict) -> None:
    x, y, p = 127 - events['x'], 127 - events['y'], 1 - events['p']
    address = x << 8 | y << 1 | p
    pairs = np.stack([address, events['t']], 1).astype('>u4')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'#!AER-DAT2.0\r\n# synthetic\r\n' + pairs.tobytes())


def write_atis(path: Path, events: dict) -> None:
    t, p = events['t'], events['p']
    columns = [events['x'], events['y'], p << 7 | t >> 16, t >> 8 & 255, t & 255]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.stack(columns, 1).astype(np.uint8).tobytes())


def write_aedat3(path: Path, events: dict, packet: int = 64) -> None:
    address = events['x'] << 17 | events['y'] << 2 | events['p'] << 1 | 1
    pairs = np.stack([address, events['t']], 1).astype('<u4')
    content = b'#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n'
    # a packet of special events, which are to be passed over
    content += struct.pack('<HHIIIIII', 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    for start in range(0, len(pairs), packet):
        part = pairs[start : start + packet]
        count = len(part)
        content += struct.pack('<HHIIIIII', 1, 1, 8, 4, 0, count, count, count)
        content += part.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_cifar10dvs(folder: Path, count: int = 3, events: int = 60) -> None:
    for label, name in enumerate(CIFAR10_CLASSES):
        for index in range(count):
            sample = blob(100 * label + index, events, 128, 128)
            write_aedat2(folder / name / f'cifar10_{name}_{index}.aedat', sample)


def write_nmnist(folder: Path, count: int = 2, events: int = 60) -> None:
    for split in ('Train', 'Test'):
        for digit in range(10):
            for index in range(count):
                sample = blob(10 * digit + index, events, 34, 34, 300_000)
                write_atis(folder / split / str(digit) / f'{index:05d}.bin', sample)


def write_ncaltech101(folder: Path, num_classes: int = 101, count: int = 2) -> None:
    for label in range(num_classes):
        for index in range(count):
            sample = blob(10 * label + index, 30, 180, 240, 300_000)
            path = folder / 'Caltech101' / f'class_{label:03d}'
            write_atis(path / f'image_{index:04d}.bin', sample)


def write_gesture(folder: Path, events: int = 660) -> None:
    """One recording per split, all 11 gestures of 1/11 s in it, the last one twice."""
    folder = folder / 'DvsGesture'
    for seed, (split, name) in enumerate(
        (('train', 'user01_led'), ('test', 'user24_led'))
    ):
        write_aedat3(folder / f'{name}.aedat', blob(seed, events, 128, 128))
        borders = [10**6 * index // 12 for index in range(13)]
        rows = [
            f'{min(index + 1, 11)},{borders[index]},{borders[index + 1]}'
            for index in range(12)
        ]
        names = 'class,startTime_usec,endTime_usec'
        (folder / f'{name}_labels.csv').write_text('\n'.join([names, *rows]) + '\n')
        (folder / f'trials_to_{split}.txt').write_text(f'{name}.aedat\n')


def write_dat(path: Path, events: dict, height: int = 240, width: int = 304) -> None:
    header = (
        '% Data file containing Event2D events.\n% Version 2\n'
        f'% Date 2020-01-01 00:00:00\n% Height {height}\n% Width {width}\n'
    )
    word = events['x'] | events['y'] << 14 | events['p'] << 28
    pairs = np.stack([events['t'], word], 1).astype('<u4')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + bytes([0, 8]) + pairs.tobytes())


OLD_BOX = np.dtype(
    dict(
        names=['ts', 'x', 'y', 'w', 'h', 'class_id', 'confidence', 'track_id'],
        formats=['<u8', '<f4', '<f4', '<f4', '<f4', 'u1', '<f4', '<u4'],
    )
)
NEW_BOX = np.dtype(
    dict(
        names=['t', 'x', 'y', 'w', 'h', 'class_id', 'track_id', 'class_confidence'],
        formats=['<i8', '<f4', '<f4', '<f4', '<f4', '<u4', '<u4', '<f4'],
        itemsize=40,
    )
)


def write_boxes(path: Path, rows: list[tuple], dtype: np.dtype) -> None:
    """Rows of time, x, y, w, h and class."""
    boxes = np.zeros(len(rows), dtype)
    names = dtype.names[:6]
    for index, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            boxes[index][name] = value
    boxes['track_id'] = np.arange(len(rows))
    np.save(path, boxes)


def write_gen1(root: Path, clips: int = 2, events: int = 4000) -> None:
    """Clips of 2 s; boxes in both formats, of every kind that the filter knows."""
    for offset, split in enumerate(('train', 'val', 'test')):
        for index in range(clips):
            clip = root / split / f'clip_{index}'
            write_dat(
                clip.with_name(f'{clip.name}_td.dat'),
                blob(10 * offset + index, events, 240, 304, 2 * 10**6),
            )
            rows = [
                (250_000, 50, 50, 60, 60, 0),  # too early
                (1_000_000, 40, 60, 80, 50, 0),
                (1_000_000, 100, 20, 20, 40, 1),
                (1_000_000, 10, 10, 12, 12, 1),  # diagonal below 30
                (1_000_000, 10, 10, 5, 60, 1),  # side below 10
                (1_000_000, 10, 10, 290, 60, 0),  # wider than 90 %
                (1_500_000, -20, 200, 60, 80, 0),  # partly outside
            ]
            path = clip.with_name(f'{clip.name}_bbox.npy')
            write_boxes(path, rows, (OLD_BOX, NEW_BOX)[index % 2])
