from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from snndense.studies.measuring import data_batches, default_shape, load_model
from snndense.utils import cli

ROOT = Path(__file__).parents[2]
DIGITS = dict(
    det=('det/meta_sdt_srb_digits', 'coco/', 'coco/val'),
    seg=('seg/meta_sdt_conv_s_ade20k', 'ade/', 'ade/images/validation'),
    cls=('cls/lsformer_digits', 'cls/val', 'cls/val/*/*'),
)


def read(name: str, **options) -> Config:
    path = ROOT / f'configs/{name}.py'
    if not path.is_file():
        pytest.skip(f'{name} is not there')
    pytest.importorskip(dict(det='mmdet', seg='mmseg', cls='mmpretrain')[name[:3]])
    return cli.read_config(str(path), options)


@pytest.mark.parametrize('task', DIGITS)
def test_same_images_from_the_data_and_from_files(task, digit_scenes_root):
    name, root, images = DIGITS[task]
    cfg = read(name)
    for phase in ('val', 'test'):
        dataloader = cfg[f'{phase}_dataloader']
        dataloader.update(num_workers=0, persistent_workers=False)
        dataloader.dataset.data_root = f'{digit_scenes_root}/{root}'
    model = load_model(cfg)
    pattern = f'{digit_scenes_root}/{images}'

    def inputs(source, **kwargs):
        batches = data_batches(cfg, source, **kwargs)
        found = [model.data_preprocessor(b, False)['inputs'] for b in batches]
        assert len(found) == len(batches)
        return torch.cat(found)

    own = inputs(None, num_images=5, batch_size=2)
    assert len(own) == 6  # whole batches
    files = inputs(pattern, num_images=6, batch_size=3)
    assert torch.equal(own, files)
    if task != 'seg':  # large
        (batch,) = data_batches(cfg, pattern, num_images=1)
        assert len(model.test_step(batch)) == 1


def test_mistakes(tmp_path):
    cfg = read('det/meta_sdt_srb_digits')
    with pytest.raises(FileNotFoundError, match='there is no image'):
        data_batches(cfg, str(tmp_path))
    with pytest.raises(ValueError, match='num_images=0'):
        data_batches(cfg, num_images=0)
    cfg.test_dataloader = cfg.val_dataloader = None
    with pytest.raises(ValueError, match='neither'):
        data_batches(cfg)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='no test_dataloader'):
        data_batches(cfg, str(tmp_path))


def test_unusable_device_is_named_before_anything_is_built():
    with pytest.raises(ValueError, match='device nonsense cannot be used'):
        load_model(read('cls/lsformer_digits'), device='nonsense')


def test_events_are_no_image_files(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'a.png')
    cfg = read('det/meta_sdt_srb_s_retinanet_gen1')
    with pytest.raises(
        ValueError, match='event frames, not image files.*without --images'
    ):
        data_batches(cfg, str(tmp_path))


@pytest.mark.parametrize(
    'name, shape',
    [
        ('det/meta_sdt_srb_coco', (800, 1333)),
        ('seg/meta_sdt_srb_ade20k', (512, 512)),
        ('cls/meta_sdt_srb_imagenet', (224, 224)),
        ('det/meta_sdt_srb_digits', (128, 128)),
    ],
)
def test_default_shape(name, shape):
    assert default_shape(read(name)) == shape


def test_no_default_shape():
    with pytest.raises(ValueError, match='--shape H W'):
        default_shape(read('cls/lsformer_cifar10'))
