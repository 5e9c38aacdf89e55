"""The wheel of onedl-mmcv: compiled once, cached, checked.

onedl-mmcv is published as source and compiles against the torch it finds. pip caches
such wheels by source archive only, so that one of another torch comes back and fails
with ``undefined symbol``; here they are kept by the versions of Python and torch.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path

from packages import installed_versions, read_pins
from steps import SetupError, cache_dir, duration, exclusive, install_hint, say, step

# a C++ file of onedl-mmcv takes up to this much memory to compile
BYTES_PER_JOB = 2 << 30
REPORT_EVERY = 30.0  # seconds
CUDA_PROBE = """
import re, subprocess, torch
from torch.utils.cpp_extension import CUDA_HOME
if torch.cuda.is_available():
    release = ''
    if CUDA_HOME:
        text = subprocess.run([f'{CUDA_HOME}/bin/nvcc', '-V'], capture_output=True)
        release = re.search(rb'release ([0-9]+)', text.stdout).group(1).decode()
    print(torch.version.cuda, release)
"""


def needs_compiler(venv: Path, facts: dict) -> bool:
    """Whether onedl-mmcv is neither installed nor in the cache."""
    sites = venv.glob('lib/python3*/site-packages')
    pin = read_pins('mmcv').items()
    if any(pin <= installed_versions(site).items() for site in sites):
        return False
    folder = wheel_folder(facts)
    folders = folder.parent.glob(f'{folder.name}*')
    return not any(cached_wheels(folder, facts) for folder in folders)


def check_compiler(include: str) -> None:
    """Make sure that a C++ extension of Python can be compiled."""
    compiler = os.environ.get('CXX', 'c++')
    with tempfile.TemporaryDirectory() as folder:
        command = [*shlex.split(compiler), '-std=c++17', '-x', 'c++', '-', '-o']
        source = '#include <vector>\nint main() { return std::vector<int>{0}[0]; }\n'
        try:
            result = subprocess.run(
                [*command, f'{folder}/a.out'],
                input=source,
                text=True,
                capture_output=True,
            )
            works = result.returncode == 0
        except OSError:
            works = False
    if not works:
        package = 'build-essential' if shutil.which('apt-get') else 'gcc-c++'
        raise SetupError(
            f'onedl-mmcv has to be compiled, but there is no working C++ compiler '
            f'({compiler}): {install_hint(package)}'
        )
    if not Path(include, 'Python.h').exists():
        version = Path(include).name  # python3.11
        package = f'{version}-dev' if shutil.which('apt-get') else f'{version}-devel'
        raise SetupError(
            f'onedl-mmcv has to be compiled, but {include}/Python.h is missing: '
            f'{install_hint(package)}'
        )


def ensure_mmcv(python: Path, facts: dict) -> None:
    """Install an onedl-mmcv whose operators load with this torch."""
    pin = read_pins('mmcv').items()
    is_installed = pin <= installed_versions(Path(facts['site'])).items()
    if is_installed:
        say('==> checking that mmcv.ops imports')
        error = ops_error(python)
        if error is None:
            return
        say(f'    it does not: {error}')
    suffix, env = cuda_options(python)
    folder = wheel_folder(facts, suffix)
    with exclusive(folder.parent / f'{folder.name}.lock'):
        folder.mkdir(exist_ok=True)
        for wheel in cached_wheels(folder, facts):
            error = install_wheel(python, wheel)
            if error is None:
                return
            say(f'    {wheel} is stale and will be built again: {error}')
            wheel.unlink()
        error = install_wheel(python, build_wheel(python, facts, folder, env))
    if error:
        raise SetupError(
            f'onedl-mmcv was compiled, but mmcv.ops does not import ({error}); begin '
            f'again with: rm -r {python.parents[1]} {folder}'
        )


def wheel_folder(facts: dict, suffix: str = '') -> Path:
    torch = read_pins('torch')['torch']
    return cache_dir() / 'wheels' / f'{facts["tag"]}-torch{torch}{suffix}'


def cached_wheels(folder: Path, facts: dict) -> list[Path]:
    name, version = next(iter(read_pins('mmcv').items()))
    stem = f'{name.replace("-", "_")}-{version}-{facts["tag"]}-'
    return sorted(folder.glob(f'{stem}*{facts["platform"]}.whl'))


def cuda_options(python: Path) -> tuple[str, dict[str, str]]:
    """Suffix of the wheel folder and environment of the build: with CUDA or not."""
    probed = subprocess.run([python, '-c', CUDA_PROBE], capture_output=True, text=True)
    torch_cuda, _, toolkit = probed.stdout.strip().partition(' ')
    if torch_cuda and torch_cuda.split('.')[0] == toolkit:
        return f'-cu{torch_cuda.replace(".", "")}', {'FORCE_CUDA': '1'}
    if torch_cuda:
        say(
            f'    no CUDA {torch_cuda} compiler (nvcc) for the GPU here: the operators '
            f'of mmcv will run on the CPU only. Install the CUDA {torch_cuda} toolkit, '
            'then: pip uninstall -y onedl-mmcv && make env'
        )
    return '', {'CUDA_VISIBLE_DEVICES': '', 'FORCE_CUDA': '0'}


def install_wheel(python: Path, wheel: Path) -> str | None:
    """Install a wheel of onedl-mmcv; what is wrong with it, or None."""
    options = ['--disable-pip-version-check', '--force-reinstall', '--no-deps']
    with step(f'installing {wheel.name} and checking that mmcv.ops imports'):
        result = subprocess.run(
            [python, '-m', 'pip', 'install', *options, wheel],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if result.returncode:
            return (result.stderr.strip().splitlines() or ['pip failed'])[-1]
        return ops_error(python)


def ops_error(python: Path) -> str | None:
    """Last line of what ``import mmcv.ops`` says; None if it works."""
    result = subprocess.run(
        [python, '-c', 'import torch, mmcv.ops'], capture_output=True, text=True
    )
    if result.returncode == 0:
        return None
    return (result.stderr.strip().splitlines() or ['no message'])[-1]


def build_wheel(python: Path, facts: dict, folder: Path, env: dict[str, str]) -> Path:
    """Compile onedl-mmcv into ``folder``: the wheel is there complete or not at all."""
    check_compiler(facts['include'])
    for leftover in folder.glob('.build-*'):  # of a build that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    name, version = next(iter(read_pins('mmcv').items()))
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    jobs = str(max(1, min(os.cpu_count() or 1, memory // BYTES_PER_JOB)))
    env = {'CFLAGS': '-g0 -O1', 'MAX_JOBS': jobs, **os.environ, **env}
    env['MMCV_WITH_OPS'] = '1'
    env['PATH'] = f'{python.parent}{os.pathsep}{env.get("PATH", os.defpath)}'  # ninja
    with tempfile.TemporaryDirectory(prefix='.build-', dir=folder) as temporary:
        env['TMPDIR'] = temporary  # pip compiles there
        command = [python, '-m', 'pip', 'wheel', '-v', '--no-deps', '--no-cache-dir']
        command += ['--no-build-isolation', '--no-binary', name, '-w', temporary]
        title = (
            f'compiling {name} {version} once for this torch, {env["MAX_JOBS"]} files'
        )
        with step(f'{title} at a time (10 to 25 minutes on 2 cores)'):
            follow([*command, f'{name}=={version}'], env, folder / 'build.log')
        (wheel,) = Path(temporary).glob('*.whl')
        return wheel.replace(folder / wheel.name)


def follow(command: list, env: dict[str, str], log: Path) -> None:
    """Run a long build into a log file and report its ``[done/total]`` lines."""
    start = reported = time.monotonic()
    tail: deque[str] = deque(maxlen=20)
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    )
    with process, log.open('w', encoding='utf-8') as file:
        for line in process.stdout:
            file.write(line)
            tail.append(line)
            now = time.monotonic()
            progress = re.match(r'\s*\[(\d+)/(\d+)\]', line)
            if progress and now - reported >= REPORT_EVERY:
                done, total = progress.groups()
                say(f'    {done} of {total} files, {duration(now - start)}')
                reported = now
    if process.returncode:
        say(''.join(tail))
        raise SetupError(f'onedl-mmcv did not compile; the whole log: less {log}')
