import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE_PYTHON = ROOT / 'tests' / 'data' / 'make_env' / 'fake_python.py'
LISTS = {
    'torch': 'torch==2.0.1\n',
    'build': '-c constraints.txt\nninja==1.13.2\n',
    'mmcv': 'onedl-mmcv==2.3.6\n',
    'runtime': 'onedl-mmengine==0.10.12\nnumpy==2.2.6\n',
    'dev': 'pytest==9.2.0\n',
    'constraints': 'opencv-python-headless==4.12.0.88\n',
}


class Project:
    """A checkout in a temporary folder whose pip installs nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root / 'project'
        self.cache = root / 'cache'
        self.venv = self.add_venv('venv')
        self.compiler = root / 'c++'
        self.compiler.write_text('#!/bin/sh\nexit 0\n')
        self.compiler.chmod(0o755)
        shutil.copytree(ROOT / 'tools' / 'make_env', self.root / 'tools' / 'make_env')
        (self.root / 'snndense').mkdir()
        (self.root / 'snndense' / 'version.py').write_text("__version__ = '1.2.3'\n")
        (self.root / 'requirements').mkdir()
        for name, text in LISTS.items():
            self.requirements(name).write_text(text)

    def requirements(self, name: str) -> Path:
        return self.root / 'requirements' / f'{name}.txt'

    def add_venv(self, name: str) -> Path:
        venv = self.root / name
        (venv / 'bin').mkdir(parents=True)
        (venv / 'include').mkdir()
        for name in ('pyvenv.cfg', 'include/Python.h'):
            (venv / name).touch()
        python = venv / 'bin' / 'python'
        python.write_text(f'#!{sys.executable}\n{FAKE_PYTHON.read_text()}')
        python.chmod(0o755)
        return venv

    def start(self, venv: Path = None, **env: str) -> subprocess.Popen:
        script = self.root / 'tools' / 'make_env'
        own = {'XDG_CACHE_HOME': str(self.cache), 'CXX': str(self.compiler)}
        return subprocess.Popen(
            [sys.executable, script, '--venv', venv or self.venv],
            env={**os.environ, **own, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, venv: Path = None, status: int = 0, **env: str) -> tuple[str, str]:
        process = self.start(venv, **env)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, output + errors
        return output, errors

    def calls(self, word: str = '', venv: Path = None) -> list[str]:
        path = (venv or self.venv) / 'calls.txt'
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if word in line]

    @property
    def folder(self) -> Path:
        tag = 'cp{}{}'.format(*sys.version_info)
        return self.cache / 'snndense' / 'wheels' / f'{tag}-torch2.0.1'

    def wheels(self) -> dict[str, str]:
        """Names and texts of the wheels in the cache."""
        return {path.name: path.read_text() for path in self.folder.rglob('*.whl')}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_first_call_sets_everything_up_and_second_does_nothing(project: Project):
    output, _ = project.run()
    steps = [line for line in output.splitlines() if line.startswith('==>')]
    assert 'torch==2.0.1' in steps[0]
    assert 'compiling onedl-mmcv 2.3.6' in steps[1]
    assert 'mmcv.ops imports' in steps[2]
    assert 'snndense editable' in steps[3]
    assert 'ready' in steps[4]
    assert list(project.wheels().values()) == ['good']
    before = project.calls()
    assert project.run() == ('', '')
    assert project.calls() == before


def test_cached_wheel_is_used_by_another_environment(project: Project):
    project.run()
    other = project.add_venv('other')
    project.run(other)
    assert not project.calls('wheel -v', other)
    assert project.calls('.whl', other)


def test_environment_made_by_hand_is_adopted(project: Project):
    project.run()
    (project.venv / 'snndense-env.json').unlink()
    before = project.calls()
    output, _ = project.run()
    assert project.calls() == before
    assert 'checking that mmcv.ops imports' in output


def test_changed_pin_is_installed(project: Project):
    project.run()
    project.requirements('runtime').write_text('numpy==2.3.0\n')
    output, _ = project.run()
    assert '1 packages' in output and 'numpy==2.3.0' in output
    assert len(project.calls('runtime.txt')) == 2
    assert len(project.calls('wheel -v')) == 1


def test_package_that_was_replaced_by_hand_is_put_back(project: Project):
    project.run()
    site = project.venv / 'site'
    (site / 'torch-2.0.1.dist-info').rename(site / 'torch-2.1.0.dist-info')
    project.run()
    assert (site / 'torch-2.0.1.dist-info').exists()


def test_stale_wheel_is_compiled_again(project: Project):
    project.run()
    (wheel,) = project.folder.glob('*.whl')
    wheel.write_text('stale')
    other = project.add_venv('other')
    output, _ = project.run(other)
    assert 'undefined symbol' in output and 'is stale' in output
    assert project.calls('wheel -v', other)
    assert wheel.read_text() == 'good'


def test_stale_install_is_mended_from_the_cache(project: Project):
    project.run()
    (project.venv / 'snndense-env.json').unlink()
    (ops,) = project.venv.glob('site/onedl_mmcv-*/ops')
    ops.write_text('stale')
    output, _ = project.run()
    assert 'undefined symbol' in output
    assert ops.read_text() == 'good'
    assert len(project.calls('wheel -v')) == 1


def test_failed_build_leaves_no_wheel_and_tells_the_log(project: Project):
    output, errors = project.run(status=1, FAKE_BUILD_FAILS='1')
    assert 'no such luck' in output
    assert errors.count('\n') == 1 and str(project.folder / 'build.log') in errors
    assert project.wheels() == {}
    project.run()
    assert list(project.wheels().values()) == ['good']


def test_killed_build_leaves_no_wheel_and_is_resumed(project: Project):
    process = project.start(FAKE_BUILD_SECONDS='60')
    while not list(project.folder.glob('.build-*/*.whl')):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(project.folder.glob('*.whl'))
    project.run()
    assert list(project.wheels().values()) == ['good']
    assert not list(project.folder.glob('.build-*'))
    assert len(project.calls('runtime.txt')) == 1


def test_parallel_calls_compile_once(project: Project):
    venvs = [project.venv, project.add_venv('other')]
    processes = [project.start(venv, FAKE_BUILD_SECONDS='2') for venv in venvs]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(len(project.calls('wheel -v', venv)) for venv in venvs) == 1
    assert any('waiting for another process' in output for output in outputs)


def test_missing_compiler_is_told_before_any_download(project: Project):
    _, errors = project.run(status=1, CXX='/nowhere/c++')
    assert errors.count('\n') == 1
    assert 'no working C++ compiler' in errors and 'install' in errors
    assert project.calls() == []


def test_missing_python_headers_are_told_before_any_download(project: Project):
    (project.venv / 'include' / 'Python.h').unlink()
    _, errors = project.run(status=1)
    assert errors.count('\n') == 1
    assert 'Python.h is missing' in errors and 'install' in errors
    assert project.calls() == []


def test_no_compiler_is_needed_with_a_cached_wheel(project: Project):
    project.run()
    project.run(project.add_venv('other'), CXX='/nowhere/c++')


def test_headless_opencv_replaces_one_that_does_not_load(project: Project):
    error = 'ImportError: libGL.so.1: cannot open shared object file'
    project.run(FAKE_CV2_ERROR=error)
    assert project.calls(
        '--force-reinstall --no-deps opencv-python-headless==4.12.0.88'
    )


def test_gpu_with_its_toolkit_gets_a_wheel_of_its_own(project: Project):
    project.run()
    other = project.add_venv('other')
    project.run(other, FAKE_CUDA='13.0 13')
    folder = project.folder.with_name(f'{project.folder.name}-cu130')
    assert 'FORCE_CUDA=1' in (folder / 'build.log').read_text()
    assert 'FORCE_CUDA=0' in (project.folder / 'build.log').read_text()


@pytest.mark.parametrize('probed', ['13.0 ', '13.0 12'])
def test_gpu_without_its_toolkit_is_told(project: Project, probed: str):
    output, _ = project.run(FAKE_CUDA=probed)
    assert 'no CUDA 13.0 compiler (nvcc)' in output
    assert 'FORCE_CUDA=0' in (project.folder / 'build.log').read_text()


def test_folder_that_is_no_environment_is_left_alone(project: Project, tmp_path: Path):
    folder = tmp_path / 'thesis'
    folder.mkdir()
    (folder / 'chapter.txt').touch()
    _, errors = project.run(folder, status=1)
    assert 'is no virtual environment' in errors and 'VENV=' in errors
    assert (folder / 'chapter.txt').exists()


def test_old_python_is_refused_in_one_line(tmp_path: Path):
    old = tmp_path / 'python3.8'
    old.write_text('#!/bin/sh\nexit 1\n')
    old.chmod(0o755)
    command = ['make', '--no-print-directory', '-C', ROOT, 'env', f'PYTHON={old}']
    result = subprocess.run(command, capture_output=True, text=True)
    message = result.stderr.splitlines()[0]
    assert result.returncode != 0
    assert 'Python >= 3.11 is needed' in message and 'PYTHON=' in message


def test_environment_of_an_old_python_is_refused(project: Project):
    python = project.venv / 'bin' / 'python'
    python.write_text(
        python.read_text().replace(
            'exec(code', 'exec(code.replace("list(sys.version_info[:2])", "[3, 10]")'
        )
    )
    _, errors = project.run(status=1)
    assert 'Python >= 3.11 is needed' in errors and '3.10' in errors
