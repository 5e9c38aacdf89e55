"""Which checkpoint is resumed from."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from snndense.engine.resume import find_resumable, set_resume


def save(folder: Path, name: str, time: int, **contents) -> Path:
    """A checkpoint written at a certain time."""
    folder.mkdir(exist_ok=True)
    checkpoint = dict(meta={}, state_dict={}, message_hub={}, **contents)
    torch.save(checkpoint, folder / name)
    os.utime(folder / name, (time, time))
    return folder / name


def note(folder: Path, text: str, time: int) -> None:
    """mmengine's note of the checkpoint saved last."""
    (folder / 'last_checkpoint').write_text(text)
    os.utime(folder / 'last_checkpoint', (time, time))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def found(folder: Path, **hook) -> str | None:
    cfg = Config(dict(work_dir=str(folder), default_hooks=dict(checkpoint=hook)))
    path = find_resumable(cfg)
    return path and Path(path).name


def test_nothing_to_resume(tmp_path):
    assert found(tmp_path / 'absent') is None
    (tmp_path / 'notes.txt').write_text('')
    assert found(tmp_path) is None


def test_noted_checkpoint(tmp_path):
    save(tmp_path, 'iter_2.pth', 10)
    path = save(tmp_path, 'iter_4.pth', 20)
    note(tmp_path, str(path), 20)
    assert found(tmp_path) == 'iter_4.pth'


def test_truncated_checkpoint_is_skipped_by_name(tmp_path, capsys):
    save(tmp_path, 'iter_2.pth', 10)
    path = save(tmp_path, 'iter_4.pth', 20)
    note(tmp_path, str(path), 20)
    truncate(path)
    assert found(tmp_path) == 'iter_2.pth'
    assert 'iter_4.pth cannot be read' in capsys.readouterr().out


def test_killed_before_the_note(tmp_path):
    path = save(tmp_path, 'iter_4.pth', 20)
    note(tmp_path, str(path), 20)
    save(tmp_path, 'iter_6.pth', 30)
    assert found(tmp_path) == 'iter_6.pth'


def test_killed_while_noting(tmp_path):
    save(tmp_path, 'iter_8.pth', 20)
    save(tmp_path, 'iter_10.pth', 30)
    note(tmp_path, '', 30)
    assert found(tmp_path) == 'iter_10.pth'


def test_run_that_went_back_to_an_earlier_checkpoint(tmp_path):
    save(tmp_path, 'iter_8.pth', 10)  # of the run that was given up
    path = save(tmp_path, 'iter_4.pth', 20)
    note(tmp_path, str(path), 21)
    assert found(tmp_path) == 'iter_4.pth'


def test_moved_and_copied_folder(tmp_path):
    work_dir = tmp_path / 'work'
    for step in (2, 10):
        path = save(work_dir, f'iter_{step}.pth', step)
    note(work_dir, str(path), 10)
    copy = tmp_path / 'copy'
    shutil.move(work_dir, copy)
    # copied without their times, and the earlier one last
    for time, name in enumerate(('last_checkpoint', 'iter_10.pth', 'iter_2.pth')):
        os.utime(copy / name, (100 + time, 100 + time))
    assert found(copy) == 'iter_10.pth'


def test_only_training_checkpoints_count(tmp_path):
    save(tmp_path, 'iter_2.pth', 10)
    save(tmp_path, 'best_mAP_iter_4.pth', 20)
    torch.save(dict(state_dict={}), tmp_path / 'iter_6.pth')
    assert found(tmp_path) == 'iter_2.pth'


def test_names_and_folder_of_the_config(tmp_path):
    other = tmp_path / 'other'
    save(tmp_path, 'ckpt-2.pt', 10)
    assert found(tmp_path) is None
    assert found(tmp_path, filename_tmpl='ckpt-{}.pt') == 'ckpt-2.pt'
    other.mkdir()
    save(other / tmp_path.name, 'epoch_3.pth', 10)
    assert found(tmp_path, out_dir=str(other)) == 'epoch_3.pth'


def test_unreadable_checkpoints_are_not_trained_over(tmp_path):
    truncate(save(tmp_path, 'iter_2.pth', 10))
    with pytest.raises(ValueError, match='none of the 1 checkpoints'):
        found(tmp_path)


@pytest.mark.parametrize(
    'resume, config, expected',
    [
        (None, {}, (None, None)),
        (None, dict(load_from='w.pth'), (None, 'w.pth')),
        ('some.pth', dict(load_from='w.pth'), (True, 'some.pth')),
        # without a checkpoint the training starts with the weights of the config
        ('auto', dict(load_from='w.pth'), (False, 'w.pth')),
        (None, dict(resume=True, load_from='w.pth'), (True, 'w.pth')),
        (None, dict(resume=True), (False, None)),
    ],
)
def test_set_resume(tmp_path, resume, config, expected):
    cfg = Config(dict(work_dir=str(tmp_path), **config))
    set_resume(cfg, resume)
    assert (cfg.get('resume'), cfg.get('load_from')) == expected


def test_set_resume_finds_a_checkpoint(tmp_path):
    path = save(tmp_path, 'iter_2.pth', 10)
    for config, resume in (({}, 'auto'), (dict(resume=True), None)):
        cfg = Config(dict(work_dir=str(tmp_path), **config))
        set_resume(cfg, resume)
        assert (cfg.resume, cfg.load_from) == (True, str(path))
