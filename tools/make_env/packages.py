"""Which packages are pinned, which are installed, which Python runs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from steps import SetupError

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'
PACKAGE_LISTS = ('torch', 'build', 'runtime', 'dev')
MIN_PYTHON = (3, 11)
PROBE = """
import json, sys, sysconfig
print(json.dumps({
    'version': list(sys.version_info[:2]),
    'tag': f'cp{sys.version_info[0]}{sys.version_info[1]}',
    'platform': sysconfig.get_platform().replace('-', '_').replace('.', '_'),
    'include': sysconfig.get_path('include'),
    'site': sysconfig.get_path('purelib'),
}))
"""


def list_path(name: str) -> Path:
    return REQUIREMENTS / f'{name}.txt'


def normalise(package: str) -> str:
    return re.sub(r'[-_.]+', '-', package).lower()


def read_pins(name: str) -> dict[str, str]:
    """``{'onedl-mmcv': '2.3.6'}`` of ``requirements/<name>.txt``."""
    text = (REQUIREMENTS / f'{name}.txt').read_text(encoding='utf-8')
    pins = re.findall(r'^([\w.-]+)==(\S+)', text, re.MULTILINE)
    return {normalise(package): version for package, version in pins}


def installed_versions(site: Path) -> dict[str, str]:
    """Versions in a site-packages folder, read off its folder names."""
    versions = {}
    for path in site.glob('*.dist-info'):
        package, _, version = path.stem.rpartition('-')
        versions[normalise(package)] = version
    return versions


def missing_pins(site: Path) -> list[str]:
    """Pins of the package lists that ``site`` does not hold."""
    installed = installed_versions(site)
    pins = [pin for name in PACKAGE_LISTS for pin in read_pins(name).items()]
    missing = [pin for pin in pins if pin not in installed.items()]
    return [f'{name}=={version}' for name, version in missing]


def check_python(version: tuple[int, ...], source: str) -> None:
    if tuple(version[:2]) < MIN_PYTHON:
        wanted, found = ('.'.join(map(str, v[:2])) for v in (MIN_PYTHON, version))
        raise SetupError(
            f'Python >= {wanted} is needed, but {source} is {found}; name another: '
            f'make env PYTHON=python{wanted}'
        )


def probe(python: Path) -> dict | None:
    """Facts about an interpreter; None if it does not run."""
    try:
        result = subprocess.run([python, '-c', PROBE], capture_output=True)
    except OSError:
        return None
    return None if result.returncode else json.loads(result.stdout)
