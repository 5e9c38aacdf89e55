"""Set up the tested environment: ``make env`` calls this.

Needs nothing but Python's standard library. Makes a virtual environment, installs
the pinned packages of ``requirements/``, compiles onedl-mmcv (published as source
only) once and keeps the wheel in the user's cache directory, checks that
``mmcv.ops`` imports and installs the project editable. What is done already is
skipped; an interrupted set-up goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from mmcv_wheel import check_compiler, ensure_mmcv, needs_compiler
from packages import (
    PACKAGE_LISTS,
    REQUIREMENTS,
    ROOT,
    check_python,
    installed_versions,
    list_path,
    missing_pins,
    probe,
    read_pins,
)
from steps import SetupError, cache_dir, exclusive, install_hint, run, say, step

STAMP = 'snndense-env.json'


def fingerprint() -> str:
    """Changes with the pinned versions and with the place of the checkout."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in sorted(REQUIREMENTS.glob('*.txt')):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_ready(venv: Path) -> bool:
    """Whether a former call has finished and nothing was changed since."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    if stamp.get('fingerprint') != fingerprint():
        return False
    site = Path(stamp['site'])
    pin = read_pins('mmcv').items()
    return not missing_pins(site) and pin <= installed_versions(site).items()


def ensure_venv(venv: Path) -> tuple[Path, dict]:
    """The environment's interpreter and the facts about it."""
    python = venv / 'bin' / 'python'
    facts = probe(python)
    if facts:
        check_python(facts['version'], str(python))
        pip = subprocess.run([python, '-m', 'pip', '--version'], capture_output=True)
        if pip.returncode == 0:
            return python, facts
    if venv.exists() and not (venv / 'pyvenv.cfg').exists() and any(venv.iterdir()):
        raise SetupError(
            f'{venv} exists and is no virtual environment; name another place: '
            'make env VENV=path'
        )
    if find_spec('ensurepip') is None:  # Debian packages it apart
        package = 'python{}.{}-venv'.format(*sys.version_info)
        raise SetupError(f'{sys.executable} lacks ensurepip: {install_hint(package)}')
    with step(f'virtual environment in {venv}'):
        run(sys.executable, '-m', 'venv', '--clear', venv)
    facts = probe(python)
    if facts is None:
        raise SetupError(f'{python} does not run; begin again with: rm -r {venv}')
    return python, facts


def install_packages(python: Path, site: Path) -> None:
    missing = missing_pins(site)
    if not missing:
        return
    title = f'{len(missing)} packages with what they need, {missing[0]} first'
    if 'torch' not in installed_versions(site):
        title += ' (several GB to download; 5 to 20 minutes)'
    lists = [word for name in PACKAGE_LISTS for word in ('-r', list_path(name))]
    with step(title):
        run(python, '-m', 'pip', 'install', '--disable-pip-version-check', *lists)


def ensure_opencv(python: Path) -> None:
    """Put OpenCV's headless build in place where the desktop build does not load.

    Dependencies ask for both, which provide the same ``cv2``; pip installs the
    desktop build last, and a server lacks the libGL that it needs.
    """
    if subprocess.run([python, '-c', 'import cv2'], capture_output=True).returncode:
        name = 'opencv-python-headless'
        pin = f'{name}=={read_pins("constraints")[name]}'
        options = ['--disable-pip-version-check', '--force-reinstall', '--no-deps']
        with step('installing the headless build of OpenCV over the desktop one'):
            run(python, '-m', 'pip', 'install', '--quiet', *options, pin)


def install_project(python: Path, site: Path) -> None:
    """Install this checkout editable, unless it is."""
    text = (ROOT / 'snndense' / 'version.py').read_text(encoding='utf-8')
    version = re.search(r"__version__ = '([^']+)'", text).group(1)
    try:
        record = site / f'snndense-{version}.dist-info' / 'direct_url.json'
        origin = json.loads(record.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        origin = {}
    is_editable = origin.get('dir_info', {}).get('editable', False)
    has_configs = (ROOT / 'snndense' / '.mim' / 'configs').is_dir()
    if is_editable and origin.get('url') == ROOT.as_uri() and has_configs:
        return
    options = ['--disable-pip-version-check', '--no-deps', '--no-build-isolation']
    with step('installing snndense editable'):
        run(python, '-m', 'pip', 'install', '--quiet', *options, '-e', ROOT)


def set_up(venv: Path) -> None:
    check_python(sys.version_info, sys.executable)
    facts = probe(venv / 'bin' / 'python') or probe(Path(sys.executable))
    if needs_compiler(venv, facts):
        check_compiler(facts['include'])  # before gigabytes are downloaded
    python, facts = ensure_venv(venv)
    site = Path(facts['site'])
    install_packages(python, site)
    ensure_opencv(python)
    ensure_mmcv(python, facts)
    install_project(python, site)
    stamp = {'fingerprint': fingerprint(), 'site': str(site)}
    temporary = venv / f'{STAMP}.part'
    temporary.write_text(json.dumps(stamp), encoding='utf-8')
    temporary.replace(venv / STAMP)
    say(f'==> ready: source {shlex.quote(str(venv / "bin" / "activate"))}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Set up the tested environment in a virtual environment; what is '
        'done already is skipped.'
    )
    parser.add_argument(
        '--venv',
        type=Path,
        default=ROOT / '.venv',
        help='folder of the virtual environment (default: .venv in the checkout)',
    )
    return parser.parse_args()


def main() -> int:
    venv = Path(os.path.abspath(parse_args().venv))
    try:
        if not is_ready(venv):
            name = hashlib.sha256(str(venv).encode()).hexdigest()[:12]
            with exclusive(cache_dir() / f'env-{name}.lock'):
                set_up(venv)
    except (SetupError, OSError) as error:
        print(f'make env: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nmake env: interrupted; the next call goes on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
