"""tools/train.py: what it leaves, and what it refuses before it writes anything."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from snndense.engine.preflight import check_model

from .conftest import TASKS, use_data

TOOL = 'train.py'


@pytest.mark.parametrize('task', TASKS)
def test_trains_and_saves(trained, task):
    run = trained(task)
    assert 'Iter(train) [4/4]' in run.log
    checkpoint = torch.load(run.checkpoint, weights_only=False)
    assert checkpoint['meta']['iter'] == 4
    assert {'state_dict', 'optimizer', 'message_hub'} <= set(checkpoint)
    assert (run.work_dir / 'iter_2.pth').exists()
    dumped = Config.fromfile(run.work_dir / run.config.name)
    assert dumped.default_hooks.checkpoint.type == 'snndense.CheckpointHook'


def test_no_validate_and_work_dir_of_the_config(run_tool, tiny_configs, tmp_path):
    options = ('--no-validate', '--cfg-options', 'train_cfg.max_iters=1')
    log = run_tool(TOOL, tiny_configs['cls'], *options)
    assert 'Iter(train) [1/1]' in log
    assert 'Iter(val)' not in log
    assert (tmp_path / 'work_dirs/tiny_cls/iter_1.pth').exists()


def test_image_that_breaks_while_training(run_tool, tiny_configs, coco_copy):
    # its ends are whole, so that only decoding it tells
    for path in (coco_copy / 'train').iterdir():
        contents = path.read_bytes()
        path.write_bytes(contents[:2] + bytes(len(contents) - 4) + contents[-2:])
    log = run_tool(TOOL, tiny_configs['det'], *use_data(coco_copy), returncode=1)
    assert 'Traceback' not in log
    last = log.splitlines()[-2]
    assert last.startswith(f'error: the image {coco_copy}/train/')
    assert 'cannot be decoded' in last


@pytest.fixture
def refuse(call_tool, tmp_path):
    """Run train.py; its message, once it is sure that nothing has been written."""

    def run(*args: object) -> str:
        before = set(tmp_path.rglob('*'))
        message = call_tool(TOOL, *args)
        assert set(tmp_path.rglob('*')) == before
        assert message.startswith('error: ')
        return message

    return run


def test_missing_config(refuse):
    assert 'there is no config nowhere.py' in refuse('nowhere.py')


def test_config_of_no_toolbox(refuse, tmp_path):
    (tmp_path / 'other.py').write_text("default_scope = 'mmother'\n")
    message = refuse('other.py')
    assert "'mmother'" in message and 'mmpretrain' in message


def test_missing_coco(refuse, tiny_configs):
    data = [f'{p}_dataloader.dataset.data_root=data/coco' for p in ('train', 'val')]
    message = refuse(tiny_configs['det'], '--cfg-options', *data)
    assert 'the data root of train_dataloader.dataset data/coco is missing' in message
    for hint in ('ln -s', 'make demo', 'tools/dataset_converters/make_digit_scenes.py'):
        assert hint in message


def test_missing_digit_scenes(refuse, tiny_configs):
    root = 'train_dataloader.dataset.data_root=data/digit_scenes/coco'
    message = refuse(tiny_configs['det'], '--cfg-options', root)
    assert 'with: python tools/dataset_converters/make_digit_scenes.py' in message


@pytest.mark.parametrize(
    'option, named',
    [
        ('train_dataloader.dataset.ann_file=no.json', 'no.json'),
        ('val_dataloader.dataset.data_prefix.img=nowhere/', 'nowhere'),
        ('val_evaluator.ann_file=gone.json', 'gone.json'),
    ],
)
def test_missing_part_of_the_data(refuse, tiny_configs, option, named):
    message = refuse(tiny_configs['det'], '--cfg-options', option)
    assert f'{named} is missing' in message
    assert option.partition('=')[0] in message


def edit_annotations(root: Path, **changes) -> Path:
    """Change top-level entries of the training annotations."""
    path = root / 'annotations/instances_train.json'
    contents = json.loads(path.read_text())
    for key, change in changes.items():
        contents[key] = change(contents[key])
    path.write_text(json.dumps(contents))
    return path


def without(key: str):
    return lambda items: [{k: v for k, v in i.items() if k != key} for i in items]


@pytest.mark.parametrize(
    'changes, expected',
    [
        (dict(annotations=lambda _: []), 'has no boxes of the 10 classes'),
        (dict(annotations=without('bbox')), 'has no box: expected bbox='),
        (dict(annotations=without('segmentation')), 'has no segmentation'),
        (dict(annotations=without('area')), 'has no area'),
        (dict(images=lambda _: []), 'names no images'),
        (dict(images=lambda images: images[1:]), 'which the file does not name'),
        (
            dict(categories=lambda c: [*c[:9], dict(id=c[9]['id'], name='ten')]),
            '9 is not among its 10 categories (0, 1, 2, 3, 4, and 5 more)',
        ),
        (dict(categories=lambda c: c[::-1]), 'Write them in the order of the file'),
    ],
)
def test_annotations_that_do_not_fit(
    refuse, tiny_configs, coco_copy, changes, expected
):
    path = edit_annotations(coco_copy, **changes)
    message = refuse(tiny_configs['det'], *use_data(coco_copy))
    assert str(path) in message
    assert expected in message


def test_truncated_annotations(refuse, tiny_configs, coco_copy):
    path = coco_copy / 'annotations/instances_train.json'
    path.write_text(path.read_text()[:500])
    message = refuse(tiny_configs['det'], *use_data(coco_copy))
    assert f'{path} is truncated or no JSON' in message


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b'')


def overwrite(path: Path) -> None:
    path.write_text('<html>Not found</html>')


@pytest.mark.parametrize(
    'damage, reason',
    [
        (remove, 'it is missing'),
        (cut, 'it is truncated'),
        (empty, 'it is empty'),
        (overwrite, 'it is no image'),
    ],
)
def test_damaged_image(refuse, tiny_configs, coco_copy, damage, reason):
    image = sorted((coco_copy / 'val').iterdir())[3]
    damage(image)
    message = refuse(tiny_configs['det'], *use_data(coco_copy))
    assert f'{image}: {reason}' in message
    assert '1 of 8 images' in message


def test_missing_label_picture(refuse, tiny_configs, digit_scenes_root, tmp_path):
    root = tmp_path / 'ade'
    (root / 'annotations').mkdir(parents=True)
    (root / 'images').symlink_to(digit_scenes_root / 'ade/images')
    for split in ('training', 'validation'):
        (root / 'annotations' / split).mkdir()
    option = f'train_dataloader.dataset.data_root={root}'
    message = refuse(tiny_configs['seg'], '--cfg-options', option)
    assert f'{root}/annotations/training' in message
    assert '16 of 32 images' in message


@pytest.mark.parametrize(
    'task, key, count',
    [
        ('det', 'bbox_head', 10),
        ('seg', 'decode_head', 11),
        ('cls', 'head', 10),
    ],
)
def test_number_of_classes(refuse, tiny_configs, task, key, count):
    message = refuse(tiny_configs[task], '--cfg-options', f'model.{key}.num_classes=80')
    assert f'{key} ' in message and 'num_classes=80' in message
    assert f'Set model.{key}.num_classes={count}' in message


@pytest.mark.parametrize(
    'options, expected',
    [
        (['backbone.arch=huge'], "unknown arch 'huge' of MetaSDT; expected one of"),
        (['backbone.out_indices=(2,3,9)'], 'expected out_indices to name taps'),
        (['backbone.neuron_cfg.type=snndense.LIFF'], 'snndense.IntegerLIF'),
        (['backbone.neuron_cfg.levles=3'], 'levles'),
        (['backbone.mixxer=srb'], 'mixxer'),
        (['backbone.type=snndense.MetaSTD'], 'snndense.MetaSTD is not in the'),
        (['neck.in_channels=[16,16,16]'], 'in_channels'),
        (['bbox_head.anchor_generator.strides=[8,16,32]'], 'strides=[8, 16, 32]'),
    ],
)
def test_model_that_does_not_fit(refuse, tiny_configs, options, expected):
    neuron = 'model.backbone.neuron_cfg.type=snndense.IntegerLIF'
    options = [neuron, *(f'model.{option}' for option in options)]
    message = refuse(tiny_configs['det'], '--cfg-options', *options)
    assert expected in message


def test_traceback_on_request(tiny_configs, call_tool, monkeypatch):
    monkeypatch.setenv('SNNDENSE_DEBUG', '1')
    with pytest.raises(ValueError, match='unknown arch'):
        call_tool(TOOL, tiny_configs['det'], '--cfg-options', 'model.backbone.arch=x')


def test_bugs_keep_their_traceback(tiny_configs, call_tool, monkeypatch):
    import snndense.models

    def forgetful(self, **kwargs):
        return None + 1

    monkeypatch.setattr(snndense.models.backbones.MetaSDT, '__init__', forgetful)
    with pytest.raises(TypeError, match='NoneType'):
        call_tool(TOOL, tiny_configs['det'])


def test_flags_that_cannot_be_followed(refuse, tiny_configs):
    wanted = 'mixed precision needs one of the devices'
    assert wanted in refuse(tiny_configs['det'], '--amp')
    options = ('--cfg-options', 'optim_wrapper.type=AmpOptimWrapper')
    assert wanted in refuse(tiny_configs['det'], *options)
    unset = ('--cfg-options', 'auto_scale_lr=None')
    message = refuse(tiny_configs['det'], '--auto-scale-lr', *unset)
    assert 'auto_scale_lr=dict(base_batch_size=16)' in message


def test_weights_of_another_model(refuse, tiny_configs, trained):
    path = trained('cls').checkpoint
    message = refuse(tiny_configs['det'], '--cfg-options', f'load_from={path}')
    assert f'{path} is a checkpoint of another model than this RetinaNet' in message
    assert 'missing in the checkpoint: neck.' in message
    message = refuse(tiny_configs['det'], '--resume', path)
    assert 'another model' in message


def test_missing_checkpoint(refuse, tiny_configs):
    message = refuse(tiny_configs['det'], '--resume', 'gone.pth')
    assert 'there is no checkpoint gone.pth' in message
    pretrained = 'model.backbone.init_cfg.type=Pretrained'
    path = 'model.backbone.init_cfg.checkpoint=gone.pth'
    message = refuse(tiny_configs['det'], '--cfg-options', pretrained, path)
    assert 'there is no checkpoint gone.pth' in message


def pretrained(path: Path, prefix: str) -> dict:
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix=prefix)
    return {'model.backbone.init_cfg': init_cfg}


def test_backbone_from_another_model(trained, tiny_configs, capsys, call_tool):
    path = trained('cls').checkpoint
    cfg = Config.fromfile(tiny_configs['det'])
    cfg.merge_from_dict(pretrained(path, 'backbone.'))
    check_model(cfg, [])
    output = capsys.readouterr().out
    assert f'{path} initialises backbone (MetaSDT)' in output
    assert 'missing' not in output
    cfg.merge_from_dict(pretrained(path, 'neck.'))
    with pytest.raises(ValueError, match='fits backbone'):
        check_model(cfg, [])


def test_fine_tuning_on_other_classes(trained, tiny_configs, capsys, call_tool):
    path = str(trained('cls').checkpoint)
    cfg = Config.fromfile(tiny_configs['cls'])
    cfg.model.head.num_classes = 4
    check_model(cfg, [], path, allow_other_classes=True)
    assert 'head.fc.weight (10, 16) instead of (4, 16)' in capsys.readouterr().out
    with pytest.raises(ValueError, match='another model'):
        check_model(cfg, [], path)


def test_missing_class_folders(refuse, tiny_configs, tmp_path):
    (tmp_path / 'empty').mkdir()
    option = f'train_dataloader.dataset.data_root={tmp_path}/empty'
    message = refuse(tiny_configs['cls'], '--cfg-options', option)
    assert f'in {tmp_path}/empty' in message and 'num_classes=10' not in message
