"""Event files in their formats: read as they were written, damage named."""

import runpy
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from snndense.datasets import event_files
from snndense.datasets.event_prophesee import PropheseeClip, read_boxes, window_frames

WRITERS = runpy.run_path(str(Path(__file__).parents[1] / 'reference/event_writers.py'))
FORMATS = {
    'aedat2': (event_files.read_aedat2, WRITERS['write_aedat2']),
    'atis': (event_files.read_atis, WRITERS['write_atis']),
    'aedat3': (event_files.read_aedat3, WRITERS['write_aedat3']),
}
each_format = pytest.mark.parametrize('name', FORMATS)


@pytest.fixture
def events() -> dict:
    return WRITERS['blob'](0, 200, 128, 128)


@each_format
def test_events_come_back(name, events, tmp_path):
    read, write = FORMATS[name]
    path = tmp_path / 'sample'
    write(path, events)
    found = read(path)
    for key in event_files.KEYS:
        np.testing.assert_array_equal(found[key], events[key])


@each_format
@pytest.mark.parametrize('missing', [1, 3])
def test_truncated_file_is_named(name, missing, events, tmp_path):
    read, write = FORMATS[name]
    path = tmp_path / 'sample'
    write(path, events)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ValueError, match=f'{path} is truncated'):
        read(path)


@each_format
def test_empty_file_is_named(name, tmp_path):
    path = tmp_path / 'sample'
    path.touch()
    with pytest.raises(ValueError, match=str(path)):
        FORMATS[name][0](path)


def test_recording_cut_between_events_is_truncated(events, tmp_path):
    # whole events, but fewer than the packet announces
    path = tmp_path / 'sample'
    WRITERS['write_aedat3'](path, events)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match='needs 8 more bytes'):
        event_files.read_aedat3(path)


def test_aedat2_as_spikingjelly_reads_it(tmp_path):
    from spikingjelly.datasets import CIFAR10DVS

    WRITERS['write_cifar10dvs'](tmp_path / 'extract', count=1)
    (tmp_path / 'raw').mkdir()
    CIFAR10DVS.create_raw_from_extracted(tmp_path / 'extract', tmp_path / 'raw')
    for path in (tmp_path / 'extract').rglob('*.aedat'):
        ours = event_files.read_aedat2(path)
        theirs = event_files.load_events(
            tmp_path / 'raw' / path.parent.name / f'{path.stem}.npz'
        )
        for key in event_files.KEYS:
            np.testing.assert_array_equal(ours[key], theirs[key])


@pytest.mark.parametrize('size', [4, 16])
def test_events_of_another_size_are_refused(size, events, tmp_path):
    path = tmp_path / 'sample'
    WRITERS['write_aedat3'](path, events, packet=200)
    data = bytearray(path.read_bytes())
    place = data.rindex(struct.pack('<HHIII', 1, 1, 8, 4, 0))
    struct.pack_into('<I', data, place + 4, size)
    struct.pack_into('<I', data, place + 16, 200 * 8 // size)  # as long as before
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f'{path} is damaged: .* events of {size}'):
        event_files.read_aedat3(path)


@pytest.mark.parametrize(
    'text',
    [
        b'a,b,c\n1,2,x\n',
        b'a,b,c\n',
        b'a,b,c\n0,1,2\n',
        b'a,b,c\n77,1,2\n',
        b'a,b,c\n7,10,1\n',
        b'a,b,c\n7,10,1' + b'0' * 30,
        b'a,b,c\n1,2,\xff\n',
    ],
)
def test_damaged_labels_are_named(text, tmp_path):
    path = tmp_path / 'labels.csv'
    path.write_bytes(text)
    with pytest.raises(ValueError, match=f'{path} is damaged'):
        event_files.read_segments(path)


def test_frames_count_every_event(events):
    frames = event_files.integrate(events, 3, 'number', 128, 128)
    assert frames.shape == (3, 2, 128, 128) and frames.dtype == np.uint8
    assert frames.sum((1, 2, 3)).tolist() == [66, 66, 68]
    ones = int(events['p'].sum())
    assert frames.sum((0, 2, 3)).tolist() == [200 - ones, ones]
    y, x, p = (int(events[key][0]) for key in ('y', 'x', 'p'))
    assert frames[0, p, y, x] > 0


def test_frames_of_equal_time(events):
    frames = event_files.integrate(events, 4, 'time', 128, 128)
    step = (events['t'][-1] - events['t'][0]) // 4
    index = np.minimum((events['t'] - events['t'][0]) // step, 3)
    assert frames.sum((1, 2, 3)).tolist() == np.bincount(index).tolist()


def test_empty_span_of_time_says_what_to_do(events):
    events['t'] = np.sort(np.where(events['t'] < 500_000, 0, 10**6))
    with pytest.raises(ValueError, match="split_by='number'"):
        event_files.integrate(events, 4, 'time', 128, 128)


def test_events_outside_the_sensor_are_dropped(events):
    inside, count = event_files.drop_outside(events, 64, 100)
    keep = (events['x'] < 100) & (events['y'] < 64)
    assert 0 < count == (~keep).sum()
    np.testing.assert_array_equal(inside['t'], events['t'][keep])


def test_damaged_cache_is_named(tmp_path):
    path = tmp_path / 'sample.npz'
    np.savez_compressed(path, frames=np.ones((2, 2, 4, 4)))
    assert event_files.load_frames(path).dtype == np.float32
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=f'{path} is damaged'):
        event_files.load_frames(path)
    for frames in (np.ones((2, 4, 4)), np.full((2, 2, 4, 4), 'a')):
        np.savez(path, frames=frames)
        with pytest.raises(ValueError, match=f'{path} holds no frames'):
            event_files.load_frames(path)
    parts = {key: np.arange(4) for key in event_files.KEYS}
    for part in (np.arange(3), np.ones(4), np.ones((4, 1), int)):
        np.savez(path, **{**parts, 'x': part})
        with pytest.raises(ValueError, match=f'{path} holds no events'):
            event_files.load_events(path)


def damaged_copies(data: bytes, count: int) -> Iterator[bytes]:
    """A byte changed, sixteen bytes changed, or an end cut off."""
    rng = np.random.default_rng(0)
    for index in range(count):
        place, copy = int(rng.integers(len(data))), bytearray(data)
        length = (1, 16, len(data))[index % 3]
        part = copy[place : place + length]
        noise = rng.integers(0, 256, len(part) if index % 3 < 2 else 0, np.uint8)
        copy[place : place + length] = noise.tobytes()
        yield bytes(copy)


def read_window(path: Path) -> None:
    window_frames(PropheseeClip(path), 500_000, 200_000, 4, (240, 304))


@pytest.mark.filterwarnings('ignore')  # numpy evaluates damaged headers
@pytest.mark.parametrize(
    ('name', 'read'),
    [
        ('frames.npz', event_files.load_frames),
        ('events.npz', event_files.load_events),
        ('old_bbox.npy', read_boxes),
        ('new_bbox.npy', read_boxes),
        ('clip_td.dat', read_window),
        ('labels.csv', event_files.read_segments),
    ],
)
def test_whatever_the_damage_the_file_is_named(name, read, events, tmp_path):
    path = tmp_path / name
    rows = [(10, 1, 2, 3, 4, 1), (20, -5, 0, 30, 40, 0)]
    if name == 'frames.npz':
        np.savez_compressed(path, frames=np.ones((2, 2, 8, 8), np.uint8))
    elif name == 'events.npz':
        np.savez_compressed(path, **events)
    elif path.suffix == '.npy':
        WRITERS['write_boxes'](path, rows, WRITERS[f'{name[:3].upper()}_BOX'])
    elif path.suffix == '.dat':
        WRITERS['write_dat'](path, WRITERS['blob'](0, 300, 240, 304))
    else:
        path.write_text('class,startTime_usec,endTime_usec\n1,0,10\n2,10,20\n')
    refused = 0
    for data in damaged_copies(path.read_bytes(), 600):
        path.write_bytes(data)
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize('time', [100, 560_000, 4_000_000_000])
def test_clip_with_damaged_times_is_named(time, tmp_path):
    path = tmp_path / 'clip_td.dat'
    events = WRITERS['blob'](0, 3000, 240, 304)
    events['t'][int(np.searchsorted(events['t'], 400_000))] = time
    WRITERS['write_dat'](path, events)
    with pytest.raises(ValueError, match=f'{path} is damaged'):
        read_window(path)


def test_small_disorder_of_a_clip_is_no_damage(tmp_path):
    # RVT: times of the published recordings are typically not sorted everywhere
    path = tmp_path / 'clip_td.dat'
    events = WRITERS['blob'](0, 3000, 240, 304)
    events['t'] = events['t'] - np.tile([0, 4000, 0], 1000).clip(max=events['t'])
    WRITERS['write_dat'](path, events)
    frames = window_frames(
        PropheseeClip(path), 500_000, 200_000, 4, (240, 304), max_count=255
    )
    expected = ((events['t'] >= 300_000) & (events['t'] < 500_000)).sum()
    assert abs(frames.astype(int).sum() - expected) < 30


def test_clip_window_is_what_lies_in_it(tmp_path):
    events = WRITERS['blob'](1, 3000, 240, 304, 2 * 10**6)
    path = tmp_path / 'clip_td.dat'
    WRITERS['write_dat'](path, events)
    clip = PropheseeClip(path)
    assert clip.end_us == events['t'][-1]
    found = clip.window(700_000, 900_000)
    inside = (events['t'] >= 700_000) & (events['t'] < 900_000)
    for key in event_files.KEYS:
        np.testing.assert_array_equal(found[key], events[key][inside])


def test_window_frames_end_at_the_label(tmp_path):
    path = tmp_path / 'clip_td.dat'
    t = np.array([50, 100, 149, 150, 199, 200])
    events = dict(t=t, x=np.full(6, 8), y=np.full(6, 4), p=np.array([1, 0, 0, 1, 1, 1]))
    WRITERS['write_dat'](path, events)
    frames = window_frames(PropheseeClip(path), 200, 100, 2, (6, 10))
    assert frames.dtype == np.uint8 and frames.sum() == 4
    assert frames[0, 0, 4, 8] == 2 and frames[1, 1, 4, 8] == 2
    half = window_frames(
        PropheseeClip(path), 200, 100, 1, (3, 5), downsample=2, max_count=1
    )
    assert half[0, :, 2, 4].tolist() == [1, 1] and half.sum() == 2


def test_window_before_the_clip_is_empty(tmp_path):
    path = tmp_path / 'clip_td.dat'
    WRITERS['write_dat'](path, WRITERS['blob'](0, 10, 6, 10))
    assert window_frames(PropheseeClip(path), 0, 100, 2, (6, 10)).sum() == 0


@pytest.mark.parametrize('missing', [1, 8 * 10])
def test_truncated_clip_is_named(missing, tmp_path):
    path = tmp_path / 'clip_td.dat'
    WRITERS['write_dat'](path, WRITERS['blob'](0, 10, 6, 10))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ValueError, match=str(path)):
        PropheseeClip(path)


def test_boxes_of_both_formats(tmp_path):
    rows = [(10, 1, 2, 3, 4, 1), (20, -5, 0, 30, 40, 0)]
    for dtype in (WRITERS['OLD_BOX'], WRITERS['NEW_BOX']):
        WRITERS['write_boxes'](tmp_path / 'boxes.npy', rows, dtype)
        boxes = read_boxes(tmp_path / 'boxes.npy')
        fields = ('t', 'x', 'y', 'w', 'h', 'class_id')
        assert [tuple(box[list(fields)]) for box in boxes] == rows


def test_damaged_boxes_are_named(tmp_path):
    path = tmp_path / 'boxes.npy'
    np.save(path, np.zeros(3))
    with pytest.raises(ValueError, match=f'{path} holds no boxes'):
        read_boxes(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=f'{path} is damaged'):
        read_boxes(path)
