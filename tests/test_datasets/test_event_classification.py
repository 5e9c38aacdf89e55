"""Event data sets from raw files to frames; what is missing or damaged is named."""

import hashlib
import runpy
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from mmengine.registry import DATASETS

from snndense.datasets import event_cache, event_frames
from snndense.datasets.event_files import load_events, load_frames

WRITERS = runpy.run_path(str(Path(__file__).parents[1] / 'reference/event_writers.py'))
WRITE = {
    'CIFAR10DVS': WRITERS['write_cifar10dvs'],
    'NMNIST': WRITERS['write_nmnist'],
    'NCaltech101': WRITERS['write_ncaltech101'],
    'DVS128Gesture': WRITERS['write_gesture'],
}
SENSORS = dict(
    CIFAR10DVS=(128, 128),
    NMNIST=(34, 34),
    NCaltech101=(180, 240),
    DVS128Gesture=(128, 128),
)
SPLITS = ('train', 'test')
each_dataset = pytest.mark.parametrize('name', WRITE)


def build(name: str, root: Path, split: str = 'train', **kwargs):
    kwargs = dict(time_steps=4, **kwargs)
    return DATASETS.build(
        dict(type=f'snndense.{name}', data_root=str(root), split=split, **kwargs)
    )


@pytest.fixture(scope='module')
def roots(tmp_path_factory) -> dict[str, Path]:
    """Unpacked raw files of every data set; copy a folder to change it."""
    folder = tmp_path_factory.mktemp('raw')
    for name, write in WRITE.items():
        write(folder / name / 'extract')
    return {name: folder / name for name in WRITE}


@each_dataset
def test_raw_files_become_frames(name, roots):
    options = unsplit(name, 0.5)
    sizes = [len(build(name, roots[name], split, **options)) for split in SPLITS]
    assert (
        sizes
        == dict(
            CIFAR10DVS=[20, 10],
            NMNIST=[20, 20],
            NCaltech101=[101, 101],
            DVS128Gesture=[12, 12],
        )[name]
    )


def test_split_without_samples_is_refused(roots):
    # 0.9 of three files is all of them
    with pytest.raises(ValueError, match='no sample of the split test'):
        build('CIFAR10DVS', roots['CIFAR10DVS'], 'test')


@each_dataset
def test_frames_count_the_events(name, roots):
    dataset = build(name, roots[name], **unsplit(name, 0.5))
    labels = [dataset.get_cat_ids(index)[0] for index in range(len(dataset))]
    classes = dataset.metainfo['classes']
    assert set(labels) == set(range(len(classes)))
    for index in (0, len(dataset) - 1):
        info = dataset.get_data_info(index)
        path = Path(info['img_path'])
        assert path.parent.name == classes[info['gt_label']]
        frames = load_frames(path)
        assert frames.shape == (4, 2, *SENSORS[name])
        folder = roots[name] / 'frames_number_4_split_by_number'
        events = load_events(roots[name] / 'events_np' / path.relative_to(folder))
        ones = int(events['p'].sum())
        assert frames.sum((0, 2, 3)).tolist() == [len(events['p']) - ones, ones]


def unsplit(name: str, train_ratio: float) -> dict:
    has_ratio = name in ('CIFAR10DVS', 'NCaltech101')
    return dict(train_ratio=train_ratio) if has_ratio else {}


@each_dataset
def test_spikingjelly_reads_and_makes_the_same(name, roots, tmp_path):
    from spikingjelly import datasets

    dataset = build(name, roots[name], **unsplit(name, 0.5))
    splits, options = ([], {}) if unsplit(name, 0.5) else (['train'], dict(train=True))
    options.update(data_type='frame', frames_number=4, split_by='number')
    # what spikingjelly makes of the same raw files
    shutil.copytree(roots[name] / 'extract', tmp_path / 'extract')
    reader = getattr(datasets, name)
    (tmp_path / 'events_np').mkdir()
    reader.create_raw_from_extracted(tmp_path / 'extract', tmp_path / 'events_np')
    theirs = reader(str(tmp_path), **options)
    ours = reader(str(roots[name]), **options)  # reads our cache
    assert len(ours) == len(theirs) > 0
    for index in (0, len(ours) // 2, len(ours) - 1):
        np.testing.assert_array_equal(ours[index][0], theirs[index][0])
        assert ours[index][1] == theirs[index][1]
    folder = roots[name].joinpath('frames_number_4_split_by_number', *splits)
    labels = {Path(path).relative_to(folder): label for path, label in ours.samples}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = Path(info['img_path']).relative_to(folder)
        assert labels[path] == info['gt_label']


def test_front_split_goes_by_the_order_of_names(tmp_path):
    frames = np.zeros((4, 2, 128, 128), np.uint8)
    for name in WRITERS['CIFAR10_CLASSES']:
        for index in range(11):
            folder = tmp_path / 'frames_number_4_split_by_number' / name
            event_cache.save_npz(folder / f'cifar10_{name}_{index}.npz', frames=frames)
    train, test = (build('CIFAR10DVS', tmp_path, s) for s in ('train', 'test'))
    # ceil(0.9 * 11) = 10 of 0, 1, 10, 2, ..., 9
    assert (len(train), len(test)) == (100, 10)
    assert Path(test.get_data_info(0)['img_path']).stem == 'cifar10_airplane_9'


def test_tebn_split_goes_by_number(tmp_path):
    frames = np.zeros((4, 2, 128, 128), np.uint8)
    for name in WRITERS['CIFAR10_CLASSES']:
        for index in (0, 99, 100, 999):
            folder = tmp_path / 'frames_number_4_split_by_number' / name
            event_cache.save_npz(folder / f'cifar10_{name}_{index}.npz', frames=frames)
    for split, numbers in (('train', {'100', '999'}), ('test', {'0', '99'})):
        dataset = build('CIFAR10DVS', tmp_path, split, split_rule='tebn')
        paths = [dataset.get_data_info(index)['img_path'] for index in range(20)]
        assert {Path(path).stem.split('_')[-1] for path in paths} == numbers


def test_split_of_a_file(roots, tmp_path):
    root, path = roots['CIFAR10DVS'], tmp_path / 'test.txt'
    options = dict(split_rule='file', ann_file=str(path))
    path.write_text(
        'ship/cifar10_ship_2.aedat\nbird/cifar10_bird_0\nbird/cifar10_bird_1.npz\n'
    )
    dataset = build('CIFAR10DVS', root, 'test', **options)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    found = [(Path(info['img_path']).stem, info['gt_label']) for info in infos]
    assert found == [
        ('cifar10_bird_0', 2),
        ('cifar10_bird_1', 2),
        ('cifar10_ship_2', 8),
    ]
    path.write_text('ship/cifar10_ship_7')
    with pytest.raises(FileNotFoundError, match=f'{path} names the sample ship/'):
        build('CIFAR10DVS', root, 'test', **options)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f'{path}, .* is missing'):
        build('CIFAR10DVS', root, 'test', **options)


def test_cached_frames_need_neither_raw_files_nor_spikingjelly(
    roots, tmp_path, monkeypatch
):
    build('NMNIST', roots['NMNIST'])
    cached = 'frames_number_4_split_by_number'
    shutil.copytree(roots['NMNIST'] / cached, tmp_path / cached)
    monkeypatch.setitem(sys.modules, 'spikingjelly.datasets', None)
    monkeypatch.delattr(sys.modules['spikingjelly'], 'datasets', raising=False)
    assert len(build('NMNIST', tmp_path)) == 20


def test_complete_cache_is_only_read(roots, tmp_path, monkeypatch):
    # as root, a folder without write permission takes files; so the lock is watched
    def refuse(path):
        raise PermissionError(f'no permission for {path}')

    build('NMNIST', roots['NMNIST'])
    for part in ('events_np', 'frames_number_4_split_by_number'):
        shutil.copytree(roots['NMNIST'] / part, tmp_path / part)
    monkeypatch.setattr(event_cache, 'FileLock', refuse)
    assert len(build('NMNIST', tmp_path)) == 20
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(PermissionError):  # frames that have to be made
        build('NMNIST', tmp_path, split_by='time')


def test_frames_made_meanwhile_are_taken(roots, tmp_path, monkeypatch):
    build('NMNIST', roots['NMNIST'])
    for part in ('events_np', 'frames_number_4_split_by_number'):
        shutil.copytree(roots['NMNIST'] / part, tmp_path / part)
    frames = tmp_path / 'frames_number_4_split_by_number'
    frames.rename(tmp_path / 'later')

    @contextmanager
    def wait(root: Path):
        (root / 'later').rename(frames)  # by the process that had the lock
        yield

    monkeypatch.setattr(event_cache, 'locked', wait)
    monkeypatch.setattr(event_cache, 'convert', None)
    assert len(build('NMNIST', tmp_path)) == 20


@each_dataset
def test_missing_data_lists_what_is_expected_where(name, tmp_path):
    from spikingjelly import datasets

    with pytest.raises(FileNotFoundError) as raised:
        build(name, tmp_path / 'nowhere')
    message = str(raised.value)
    archive = event_cache.archives(getattr(datasets, name))
    assert archive
    for part in (str(tmp_path / 'nowhere/download'), *archive[0], 'extract'):
        assert part in message
    assert not (tmp_path / 'nowhere').exists()


def pack(root: Path, monkeypatch) -> Path:
    """N-MNIST in its archives, with sums that fit."""
    from spikingjelly.datasets import NMNIST

    WRITERS['write_nmnist'](root / 'raw', count=1)
    (root / 'download').mkdir()
    resources = []
    for split in ('Train', 'Test'):
        path = root / 'download' / f'{split}.zip'
        with ZipFile(path, 'w') as archive:
            for file in sorted((root / 'raw' / split).rglob('*.bin')):
                archive.write(file, file.relative_to(root / 'raw'))
        sum_ = hashlib.md5(path.read_bytes()).hexdigest()
        resources.append((path.name, 'https://example.org', sum_))
    monkeypatch.setattr(NMNIST, 'resource_url_md5', lambda: resources)
    return root


def test_archives_are_unpacked(tmp_path, monkeypatch):
    root = pack(tmp_path, monkeypatch)
    assert len(build('NMNIST', root)) == 10
    assert (root / 'extract/Train/3/00000.bin').is_file()


def test_damaged_archive_is_named(tmp_path, monkeypatch):
    root = pack(tmp_path, monkeypatch)
    archive = root / 'download/Test.zip'
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f'{archive}: .*expected'):
        build('NMNIST', root)
    assert not (root / 'extract').exists()


def test_missing_archive_is_named(tmp_path, monkeypatch):
    root = pack(tmp_path, monkeypatch)
    (root / 'download/Test.zip').unlink()
    with pytest.raises(
        FileNotFoundError, match=r'^Missing: Test\.zip\. N-MNIST is not'
    ):
        build('NMNIST', root)
    (root / 'download/Train.zip').unlink()
    with pytest.raises(FileNotFoundError, match='^N-MNIST is not'):
        build('NMNIST', root)


@each_dataset
def test_damaged_raw_files_are_named_and_nothing_is_written(name, roots, tmp_path):
    shutil.copytree(roots[name] / 'extract', tmp_path / 'extract')
    suffix = dict(CIFAR10DVS='aedat', DVS128Gesture='aedat').get(name, 'bin')
    victim = sorted(tmp_path.rglob(f'*.{suffix}'))[1]
    victim.write_bytes(victim.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f'{victim} is truncated'):
        build(name, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.preparing.lock', 'extract']


def test_recording_without_its_gestures_is_named(tmp_path):
    # whole packets are missing at the end
    WRITE['DVS128Gesture'](tmp_path / 'extract', events=64)
    path = tmp_path / 'extract/DvsGesture/user01_led.aedat'
    WRITERS['write_aedat3'](path, WRITERS['blob'](0, 64, 128, 128, 300_000))
    with pytest.raises(ValueError, match=f'{path} has no events from'):
        build('DVS128Gesture', tmp_path)


@pytest.mark.parametrize('text', [b'\xff\xfe\x00', b''])
def test_damaged_list_of_recordings_is_named(text, roots, tmp_path):
    shutil.copytree(roots['DVS128Gesture'] / 'extract', tmp_path / 'extract')
    path = tmp_path / 'extract/DvsGesture/trials_to_test.txt'
    path.write_bytes(text)
    with pytest.raises(ValueError, match=str(path)):
        build('DVS128Gesture', tmp_path)


def test_damaged_events_are_named(roots, tmp_path):
    build('NMNIST', roots['NMNIST'])
    shutil.copytree(roots['NMNIST'] / 'events_np', tmp_path / 'events_np')
    victim = next((tmp_path / 'events_np/train/3').iterdir())
    data = bytearray(victim.read_bytes())
    data[len(data) // 4] ^= 255  # in the compressed times
    victim.write_bytes(data)
    with pytest.raises(ValueError, match=f'{victim} is damaged'):
        build('NMNIST', tmp_path)


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (ValueError('bad'), (ValueError, '{path}: bad')),
        (KeyError('bad'), (RuntimeError, "{path}: KeyError: 'bad'")),
        (OSError('the disk is full'), (OSError, '^the disk is full')),
    ],
)
def test_file_at_which_a_conversion_fails_is_named(error, expected, tmp_path):
    def fail(path: Path, folder: Path) -> None:
        raise error

    kind, message = expected
    path = tmp_path / 'sample'
    with pytest.raises(kind, match=message.format(path=path)):
        event_cache.convert([path], fail, tmp_path / 'new', 'Converting')
    assert not list(tmp_path.iterdir())


def test_other_numbers_of_samples_than_published(roots, tmp_path, monkeypatch):
    build('DVS128Gesture', roots['DVS128Gesture'])
    folder = 'frames_number_4_split_by_number/train'
    shutil.copytree(roots['DVS128Gesture'] / folder, tmp_path / folder)
    sample = next((tmp_path / folder / '3').iterdir())
    messages = []
    monkeypatch.setattr(
        event_frames, 'print_log', lambda *args: messages.append(args[0])
    )
    build('DVS128Gesture', tmp_path)
    assert 'has 12 samples, but DVS128 Gesture has 1176' in messages.pop()
    for index in range(1176 - 12):
        sample.with_stem(f'more_{index}').hardlink_to(sample)
    assert len(build('DVS128Gesture', tmp_path)) == 1176
    assert not messages


@pytest.mark.parametrize(
    ('name', 'part'),
    [
        ('CIFAR10DVS', 'extract/frog'),
        ('NMNIST', 'extract/Test/7'),
        ('DVS128Gesture', 'extract/DvsGesture/user24_led.aedat'),
        ('DVS128Gesture', 'extract/DvsGesture/trials_to_test.txt'),
    ],
)
def test_missing_part_is_named(name, part, roots, tmp_path):
    shutil.copytree(roots[name] / 'extract', tmp_path / 'extract')
    path = tmp_path / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=path.name):
        build(name, tmp_path)


def test_other_number_of_classes_must_be_meant(tmp_path):
    WRITE['NCaltech101'](tmp_path / 'extract', num_classes=3)
    with pytest.raises(ValueError, match='101 class folders'):
        build('NCaltech101', tmp_path)
    classes = ('class_002', 'class_000')
    dataset = build('NCaltech101', tmp_path, metainfo=dict(classes=classes))
    assert dataset.metainfo['classes'] == classes
    info = dataset.get_data_info(0)
    assert info['gt_label'] == 0 and 'class_002' in info['img_path']


class Interrupted(BaseException):
    pass


def test_interrupted_integration_leaves_nothing(roots, tmp_path, monkeypatch):
    shutil.copytree(roots['NMNIST'] / 'extract', tmp_path / 'extract')
    integrate, calls = event_frames.integrate, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 15:
            raise Interrupted
        return integrate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(event_frames, 'integrate', interrupt)
        with pytest.raises(Interrupted):
            build('NMNIST', tmp_path)
    assert not list(tmp_path.glob('*frames*'))
    assert len(build('NMNIST', tmp_path)) == 20  # and it goes on from the events


def test_unfinished_folder_of_spikingjelly_is_refused(roots, tmp_path):
    shutil.copytree(roots['NMNIST'] / 'extract', tmp_path / 'extract')
    (tmp_path / 'events_np/train/0').mkdir(parents=True)
    (tmp_path / 'events_np.building').touch()
    with pytest.raises(ValueError, match='did not finish'):
        build('NMNIST', tmp_path)


def test_incomplete_frames_are_refused(roots, tmp_path):
    build('NMNIST', roots['NMNIST'])
    for folder in ('events_np', 'frames_number_4_split_by_number'):
        shutil.copytree(roots['NMNIST'] / folder, tmp_path / folder)
    next(tmp_path.glob('frames_*/test/3/*.npz')).unlink()
    with pytest.raises(
        ValueError, match=r'1 of 40 samples .* are missing, such as tes'
    ):
        build('NMNIST', tmp_path)


def test_events_outside_the_sensor_do_not_reach_frames(tmp_path):
    WRITE['NCaltech101'](tmp_path / 'extract', num_classes=2)
    path = tmp_path / 'extract/Caltech101/class_000/image_0000.bin'
    events = WRITERS['blob'](0, 30, 180, 240, 300_000)
    events['y'][5] = 240  # a marker of some recordings
    WRITERS['write_atis'](path, events)
    classes = ('class_000', 'class_001')
    dataset = build('NCaltech101', tmp_path, metainfo=dict(classes=classes))
    assert load_frames(dataset.get_data_info(0)['img_path']).sum() == 29


@pytest.mark.parametrize(
    'option',
    [
        dict(split='val'),
        dict(split_by='space'),
        dict(split_rule='random'),
        dict(split_rule='file'),
        dict(ann_file='test.txt'),
        dict(train_ratio=1.0),
    ],
)
def test_unknown_options_are_refused(option, tmp_path):
    cfg = dict(type='snndense.CIFAR10DVS', data_root=str(tmp_path), split='train')
    with pytest.raises(ValueError, match=next(iter(option))):
        DATASETS.build({**cfg, **option})
