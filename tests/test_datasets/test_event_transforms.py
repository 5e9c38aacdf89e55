"""Transforms and data preprocessors of event frames."""

import numpy as np
import pytest
import torch

pytest.importorskip('mmcv')
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope

TIME_STEPS = 3
AUGMENTATIONS = {
    'EventRandomFlip': dict(prob=1.0),
    'EventRandomRoll': {},
    'EventRandomRotate': {},
    'EventRandomShear': {},
    'EventRandomTranslate': {},
    'EventRandomCutout': dict(area_range=(0.1, 0.2)),
}
each_augmentation = pytest.mark.parametrize('name', AUGMENTATIONS)


@pytest.fixture(autouse=True)
def restore_scope():
    np.random.seed(0)
    yield
    init_default_scope('mmengine')


def sample(height: int = 24, width: int = 30) -> dict:
    """Counts of 0 to 5 that are the same at every step."""
    frame = np.random.randint(0, 6, (1, 2, height, width)).astype(np.float32)
    return dict(img=frame.repeat(TIME_STEPS, 0), img_shape=(height, width))


def apply(name: str, results: dict, **kwargs) -> np.ndarray:
    before = results['img'].copy()
    transform = TRANSFORMS.build(dict(type=f'snndense.{name}', **kwargs))
    out = transform(dict(results))
    np.testing.assert_array_equal(results['img'], before)  # the cache stays as it is
    assert out['img'].dtype == np.float32
    assert out['img_shape'] == out['img'].shape[-2:]
    return out['img']


@each_augmentation
def test_augmentations_treat_steps_alike_and_keep_counts(name):
    results = sample()
    changed = [apply(name, results, **AUGMENTATIONS[name]) for _ in range(4)]
    assert any((img != results['img']).any() for img in changed)
    for img in changed:
        assert img.shape == results['img'].shape
        assert (img == img[:1]).all()
        assert set(np.unique(img)) <= set(range(6))


def test_flip_twice_is_nothing():
    results = sample()
    flipped = apply('EventRandomFlip', results, prob=1.0)
    np.testing.assert_array_equal(flipped, results['img'][..., ::-1])
    again = apply('EventRandomFlip', dict(results, img=flipped), prob=1.0)
    np.testing.assert_array_equal(again, results['img'])
    never = apply('EventRandomFlip', results, prob=0.0)
    np.testing.assert_array_equal(never, results['img'])


def test_roll_stays_within_a_third_and_loses_nothing():
    img = np.zeros((TIME_STEPS, 2, 24, 30), np.float32)
    img[..., 0, 0] = 1
    places = set()
    for _ in range(60):
        rolled = apply('EventRandomRoll', dict(img=img))
        assert rolled.sum() == img.sum()
        places.add(tuple(np.argwhere(rolled[0, 0])[0].tolist()))
    rows, columns = ({p[axis] for p in places} for axis in (0, 1))
    assert rows <= {*range(9), *range(16, 24)} and len(rows) > 8
    assert columns <= {*range(11), *range(20, 30)} and len(columns) > 8


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_translation_moves_in_its_direction(direction):
    img = np.zeros((TIME_STEPS, 2, 24, 30), np.float32)
    img[..., 12, 15] = 1
    places = set()
    for _ in range(60):
        out = apply('EventRandomTranslate', dict(img=img), direction=direction)
        places.add(tuple(np.argwhere(out[0, 0])[0].tolist()))
    moved = {p[direction == 'horizontal'] for p in places}
    still = {p[direction == 'vertical'] for p in places}
    centre = 15 if direction == 'horizontal' else 12
    assert moved == set(range(centre - 5, centre + 6)) and len(still) == 1


@pytest.mark.parametrize('inside', [True, False])
def test_cutout_empties_the_area_it_says(inside):
    img = np.ones((TIME_STEPS, 2, 30, 30), np.float32)
    areas = [
        (
            apply(
                'EventRandomCutout', dict(img=img), area_range=(0.1, 0.2), inside=inside
            )
            == 0
        )[0, 0].mean()
        for _ in range(40)
    ]
    assert max(areas) < 0.22
    assert (min(areas) > 0.08) == inside  # the border cuts off the others


def test_resizing_by_sums_keeps_every_event():
    results = sample(24, 30)
    out = apply('EventResize', results, scale=(15, 8), mode='sum')
    assert out.shape == (TIME_STEPS, 2, 8, 15)
    assert out.sum() == results['img'].sum()
    assert out[1, 1, 2, 3] == results['img'][1, 1, 6:9, 6:8].sum()
    with pytest.raises(ValueError, match='no multiple of 7 x 15'):
        apply('EventResize', results, scale=(15, 7), mode='sum')


@pytest.mark.parametrize('mode', ['bilinear', 'nearest'])
def test_resizing(mode):
    results = sample(24, 30)
    out = apply('EventResize', results, scale=10, mode=mode)
    assert out.shape == (TIME_STEPS, 2, 10, 10)
    is_whole = (out == out.round()).all()
    assert is_whole == (mode == 'nearest')


def test_sum_of_polarities_is_appended():
    results = sample()
    out = apply('AppendPolaritySum', results)
    np.testing.assert_array_equal(out[:, :2], results['img'])
    np.testing.assert_array_equal(out[:, 2], results['img'].sum(1))


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='snndense.EventResize', scale=8, mode='cubic'),
        dict(type='snndense.EventRandomFlip', prob=2),
        dict(type='snndense.EventRandomRoll', max_ratio=-1),
        dict(type='snndense.EventRandomTranslate', direction='up'),
        dict(type='snndense.EventRandomCutout', area_range=(0.5, 0.1)),
    ],
)
def test_wrong_options_are_refused(cfg):
    with pytest.raises(ValueError, match='expected'):
        TRANSFORMS.build(cfg)


def classify(frames: list, training: bool = True, **kwargs) -> dict:
    mmpretrain = pytest.importorskip('mmpretrain')
    mmpretrain.utils.register_all_modules(init_default_scope=True)
    samples = [
        mmpretrain.structures.DataSample().set_gt_label(index)
        for index in range(len(frames))
    ]
    preprocessor = MODELS.build(dict(type='snndense.EventDataPreprocessor', **kwargs))
    return preprocessor(dict(inputs=frames, data_samples=samples), training)


def test_batches_keep_time_and_channels():
    frames = [torch.rand(4, 2, 9, 12), torch.rand(4, 2, 10, 11)]
    batch = classify(frames, pad_size_divisor=8)['inputs']
    assert batch.shape == (2, 4, 2, 16, 16)
    for index, sample_ in enumerate(frames):
        height, width = sample_.shape[-2:]
        assert torch.equal(batch[index, ..., :height, :width], sample_)
        assert batch[index].sum() == pytest.approx(sample_.sum().item(), rel=1e-5)
    stacked = torch.rand(2, 4, 2, 8, 8)  # by default_collate
    assert torch.equal(classify(stacked)['inputs'], stacked)


def test_batches_of_three_steps_keep_their_order():
    # three first entries are no colours
    frames = [torch.rand(3, 2, 8, 8)]
    assert torch.equal(classify(frames)['inputs'][0], frames[0])


@pytest.mark.parametrize('shapes', [[(4, 2, 8, 8), (3, 2, 8, 8)], [(2, 8, 8)]])
def test_samples_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match='of the same T and C'):
        classify([torch.rand(shape) for shape in shapes])


@pytest.mark.parametrize('augment', ['Mixup', 'CutMix', 'ResizeMix'])
def test_host_batch_augmentations_treat_steps_alike(augment):
    torch.manual_seed(0)
    frames = [torch.full((4, 2, 16, 20), float(value)) for value in (0, 1, 2)]
    batch = classify(
        frames,
        num_classes=3,
        batch_augments=dict(augments=dict(type=augment, alpha=1.0)),
    )
    inputs = batch['inputs']
    assert inputs.shape == (3, 4, 2, 16, 20)
    assert torch.equal(inputs, inputs[:, :1, :1].expand_as(inputs))
    values = inputs[:, 0, 0].mean((1, 2))
    scores = torch.stack([s.gt_score for s in batch['data_samples']])
    # labels are mixed as the pixels are
    expected = scores @ torch.tensor([0.0, 1.0, 2.0])
    torch.testing.assert_close(values, expected, atol=0.02, rtol=0)
    assert (scores.max(1).values < 1).any()


def detect(shapes: list[tuple], **kwargs) -> dict:
    mmdet = pytest.importorskip('mmdet')
    mmdet.utils.register_all_modules(init_default_scope=True)
    from mmdet.testing import demo_mm_inputs

    data = demo_mm_inputs(len(shapes), shapes, num_classes=2)
    preprocessor = MODELS.build(
        dict(type='snndense.EventDetDataPreprocessor', pad_size_divisor=32, **kwargs)
    )
    return dict(preprocessor(data, True), raw=data['inputs'])


def test_detection_batches_and_their_shapes():
    shapes = [(8, 40, 60), (8, 64, 70)]
    batch = detect(shapes, time_steps=4)
    assert batch['inputs'].shape == (2, 4, 2, 64, 96)
    for (_, height, width), frames, raw, sample_ in zip(
        shapes, batch['inputs'], batch['raw'], batch['data_samples'], strict=True
    ):
        assert sample_.batch_input_shape == (64, 96)
        assert sample_.pad_shape == (-(-height // 32) * 32, -(-width // 32) * 32)
        assert sample_.img_shape[:2] == (height, width)
        expected = raw.float().view(4, 2, height, width)
        assert torch.equal(frames[..., :height, :width], expected)


def test_time_steps_must_fit_the_channels():
    with pytest.raises(ValueError, match='time_steps'):
        detect([(8, 40, 60)], time_steps=3)
