"""The help of every tool, print_config and browse_dataset."""

import os
import subprocess
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config

from .conftest import ROOT, TASKS, run_command

PYTHON_TOOLS = (
    'train.py',
    'test.py',
    'predict.py',
    'misc/print_config.py',
    'misc/browse_dataset.py',
)
BROWSE = 'misc/browse_dataset.py'
PRINT = 'misc/print_config.py'


@pytest.mark.parametrize('tool', PYTHON_TOOLS)
def test_help(call_tool, capsys, tool):
    assert call_tool(tool, '--help') == 0
    text = capsys.readouterr().out
    assert '--cfg-options' in text
    assert 'config file path' in text


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_openmmlab_flags(call_tool, capsys, tool):
    """Scripts written for the toolboxes' own tools go on working."""
    flags = {
        '--work-dir',
        '--cfg-options',
        '--launcher',
        '--local_rank',
        '--local-rank',
        '--amp',
        '--no-pin-memory',
    }
    if tool == 'train':
        flags |= {'--resume', '--auto-scale-lr', '--no-validate'}
        flags |= {'--no-persistent-workers'}
    else:
        flags |= {'--out', '--out-item', '--show', '--show-dir', '--wait-time', '--tta'}
        flags |= {'--interval'}
    assert call_tool(f'{tool}.py', '--help') == 0
    text = capsys.readouterr().out
    assert [flag for flag in sorted(flags) if flag not in text] == []


@pytest.mark.parametrize('launcher', ['dist', 'slurm'])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_scripts_tell_their_usage(tmp_path, launcher, tool):
    script = ROOT / f'tools/{launcher}_{tool}.sh'
    assert 'usage:' in run_command('bash', script, cwd=tmp_path, returncode=2)


@pytest.mark.parametrize(
    'tool, arguments',
    [
        ('train', ['p1', 'job', 'config.py', 'work dir', '--amp']),
        ('test', ['p1', 'job', 'config.py', 'a.pth', '--tta']),
    ],
)
def test_slurm_scripts_call_srun(tmp_path, tool, arguments):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\n')
    srun.chmod(0o755)
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    script = ROOT / f'tools/slurm_{tool}.sh'
    output = subprocess.run(
        ['bash', str(script), *arguments],
        env=dict(os.environ, PATH=path, GPUS='2', SRUN_ARGS='--quotes none'),
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    called = [line[1:-1] for line in output.splitlines()]
    assert called[:2] == ['-p', 'p1']
    assert {'--job-name=job', '--ntasks=2', '--ntasks-per-node=2'} <= set(called)
    assert {'--gres=gpu:2', '--quotes', 'none', '--launcher=slurm'} <= set(called)
    assert called[-1] == arguments[-1]
    value = '--work-dir=work dir' if tool == 'train' else 'a.pth'
    assert value in called
    assert str(ROOT / f'tools/{tool}.py') in map(os.path.realpath, called)


def test_print_config(call_tool, tiny_configs, tmp_path, capsys):
    options = ('--cfg-options', 'model.bbox_head.num_classes=7', '--graph')
    options = (*options, '--save-path', 'sub/whole.py')
    assert call_tool(PRINT, tiny_configs['det'], *options) is None
    text = capsys.readouterr().out
    assert "type='RetinaNet'" in text
    assert '(backbone): MetaSDT(' in text
    whole = Config.fromfile(tmp_path / 'sub/whole.py')
    assert whole.model.bbox_head.num_classes == 7
    assert whole.default_scope == 'mmdet'


def test_print_config_refuses_other_formats(call_tool, tiny_configs):
    message = call_tool(PRINT, tiny_configs['det'], '--save-path', 'whole.txt')
    assert message.startswith('error: expected --save-path to end with')


def browse(call_tool, config: Path, *options: object) -> None:
    options = ('--not-show', '--output-dir', 'drawn', *options)
    assert call_tool(BROWSE, config, *options) is None


@pytest.mark.parametrize('task', TASKS)
def test_browse(call_tool, tiny_configs, tmp_path, task):
    browse(call_tool, tiny_configs[task], '--show-number', 3)
    paths = sorted((tmp_path / 'drawn').iterdir())
    assert len(paths) == 3
    size = 64 if task == 'cls' else 128
    least = 115 if task == 'seg' else size  # resized by 0.9 or more, then cropped
    for path in paths:
        height, width, _ = cv2.imread(str(path)).shape
        assert least <= height <= size and least <= width <= size


@pytest.mark.parametrize(
    'mode, width', [('original', 64), ('transformed', 128), ('concat', 128 + 128)]
)
def test_browse_modes(call_tool, tiny_configs, tmp_path, mode, width):
    browse(call_tool, tiny_configs['det'], '-n', 1, '-m', mode)
    (path,) = (tmp_path / 'drawn').iterdir()
    assert cv2.imread(str(path)).shape[1] == width


def test_browse_every_step(call_tool, tiny_configs, tmp_path):
    browse(call_tool, tiny_configs['seg'], '-n', 1, '-m', 'pipeline', '-p', 'val')
    (path,) = (tmp_path / 'drawn').iterdir()
    picture = cv2.imread(str(path))
    assert picture.shape[1] >= 3 * 128  # as loaded, resized, with labels


def test_browse_draws_boxes_where_they_are(call_tool, tiny_configs, tmp_path):
    """A test pipeline resizes before it loads boxes: both fit all the same."""
    browse(call_tool, tiny_configs['det'], '-n', 1, '-m', 'original', '-p', 'val')
    (path,) = (tmp_path / 'drawn').iterdir()
    original = cv2.imread(str(path)).astype(float)
    path.unlink()
    browse(call_tool, tiny_configs['det'], '-n', 1, '-p', 'val')
    transformed = cv2.resize(cv2.imread(str(path)), (64, 64)).astype(float)
    assert abs(original - transformed).mean() < 25


def test_browse_names_pictures_apart(
    call_tool, tiny_configs, digit_scenes_root, tmp_path
):
    for image in (digit_scenes_root / 'cls/val').glob('*/*.jpg'):
        same = tmp_path / 'val' / image.parent.name / 'same.jpg'
        same.parent.mkdir(parents=True, exist_ok=True)
        same.write_bytes(image.read_bytes())
    option = f'val_dataloader.dataset.data_root={tmp_path}/val'
    browse(call_tool, tiny_configs['cls'], '-p', 'val', '--cfg-options', option)
    assert len(list((tmp_path / 'drawn').iterdir())) == 10


def test_browse_refuses(call_tool, tiny_configs, tmp_path):
    config = tiny_configs['det']
    assert '--output-dir' in call_tool(BROWSE, config, '--not-show')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/a.png').touch()
    message = call_tool(BROWSE, config, '-o', 'full', '--not-show')
    assert 'full is already there and not empty' in message
    option = 'train_dataloader.dataset.data_root=data/coco'
    message = call_tool(
        BROWSE, config, '-o', 'new', '--not-show', '--cfg-options', option
    )
    assert 'data/coco is missing' in message
