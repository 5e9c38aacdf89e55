"""Event files in their formats: read as they were written, damage named."""

import runpy
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


@pytest.mark.parametrize('text', ['a,b,c\n1,2,x\n', 'a,b,c\n', 'a,b,c\n0,1,2\n'])
def test_damaged_labels_are_named(text, tmp_path):
    path = tmp_path / 'labels.csv'
    path.write_text(text)
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
    np.savez(path, frames=np.ones((2, 4, 4)))
    with pytest.raises(ValueError, match=f'{path} holds no frames'):
        event_files.load_frames(path)


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
