"""Files and folders are complete or absent."""

import pytest

from snndense.utils.files import (
    check_new_folder,
    complete_file,
    complete_folder,
    unfinished_path,
)


def contents(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / 'sub/out.json'
    with complete_file(target) as path:
        path.write_text('first half')
        assert path.suffix == '.json'  # image writers choose the format by it
        assert not target.exists()
        path.write_text('all')
    assert target.read_text() == 'all'
    assert contents(target.parent) == ['out.json']


def test_file_stays_as_it_was_after_an_error(tmp_path):
    target = tmp_path / 'out.txt'
    target.write_text('earlier')
    with pytest.raises(KeyError), complete_file(target) as path:
        path.write_text('half')
        raise KeyError
    assert target.read_text() == 'earlier'
    assert contents(tmp_path) == ['out.txt']


def test_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / 'maps'
    leftover = unfinished_path(target)  # of a run that was killed
    leftover.mkdir()
    (leftover / 'old.png').touch()
    target.mkdir()
    with complete_folder(target) as path:
        (path / 'a.png').touch()
        assert contents(target) == []
    assert contents(target) == ['a.png']
    assert contents(tmp_path) == ['maps']


def test_folder_is_absent_after_an_error(tmp_path):
    with pytest.raises(KeyError), complete_folder(tmp_path / 'maps') as path:
        (path / 'a.png').touch()
        raise KeyError
    assert contents(tmp_path) == []


def test_folder_with_contents_is_refused(tmp_path):
    check_new_folder(tmp_path)
    (tmp_path / 'a.png').touch()
    for taken in (tmp_path, tmp_path / 'a.png'):
        with pytest.raises(FileExistsError, match='never mixed'):
            check_new_folder(taken)
        with pytest.raises(FileExistsError), complete_folder(taken):
            pass
    assert contents(tmp_path) == ['a.png']
