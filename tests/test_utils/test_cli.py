"""What the command lines share: arguments and short errors."""

import argparse
import errno

import pytest
from mmengine.registry import MODELS

from snndense.utils import cli
from snndense.utils.files import check_new_folder


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(formatter_class=argparse.RawTextHelpFormatter)


def test_settings_are_overridden_alike(parser):
    cli.add_cfg_options(parser, 'in every variant', 'train_cfg.max_epochs=1')
    text = parser.format_help()
    assert 'settings in every variant, such as train_cfg.max_epochs=1' in text
    assert parser.parse_args([]).cfg_options is None
    written = ['--cfg-options', 'a.b=2', 'c=[(1,2)]']
    assert parser.parse_args(written).cfg_options == {'a.b': 2, 'c': [(1, 2)]}


@pytest.mark.parametrize(
    'default, told', [(None, '(default: the GPU if there is one)'), ('cpu', 'cpu)')]
)
def test_device(parser, default, told):
    cli.add_device(parser, default)
    assert told in parser.format_help()
    assert parser.parse_args([]).device == default


def test_shape(parser):
    cli.add_shape(parser, '32 64', default=(32, 64))
    assert '(default: 32 64)' in parser.format_help()
    assert parser.parse_args([]).shape == (32, 64)
    assert parser.parse_args(['--shape', '5', '7']).shape == [5, 7]


def test_mistakes_are_answered_in_short(tmp_path):
    (tmp_path / 'results').write_text('of another run')
    with pytest.raises(SystemExit, match='error: .*not empty'), cli.short_errors():
        check_new_folder(tmp_path)


@pytest.mark.parametrize('number', (errno.EACCES, errno.ENOSPC))
def test_what_the_system_refuses_is_no_bug(number):
    with pytest.raises(SystemExit, match='error: .*out.json'), cli.short_errors():
        raise OSError(number, 'refused', 'out.json')


def test_bugs_keep_their_traceback(monkeypatch):
    with pytest.raises(FileNotFoundError), cli.short_errors():
        open('nowhere')  # noqa: SIM115 (is not there)
    monkeypatch.setenv(cli.DEBUG_VARIABLE, '1')
    with pytest.raises(OSError, match='refused'), cli.short_errors():
        raise OSError(errno.EACCES, 'refused')


@pytest.mark.parametrize('name', ['MetaSDT', 'snndense.MetaSTD', 'IntegerLif'])
def test_types_of_this_package_are_guessed(name):
    meant = 'IntegerLIF' if name == 'IntegerLif' else 'MetaSDT'
    message = rf"is not in the .*registry.*Is type='snndense\.{meant}' meant"
    with pytest.raises(SystemExit, match=message), cli.short_errors():
        MODELS.build(dict(type=name))


def test_types_of_others_are_not_guessed():
    with pytest.raises(SystemExit) as answer, cli.short_errors():
        MODELS.build(dict(type='SwinTransformer'))
    assert 'meant' not in str(answer.value)


def test_dicts_in_lists_of_settings_are_refused(parser, capsys):
    cli.add_cfg_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(
            ['--cfg-options', "hooks=[dict(type='EMAHook',momentum=1e-4)]"]
        )
    assert 'write them into a config' in capsys.readouterr().err
