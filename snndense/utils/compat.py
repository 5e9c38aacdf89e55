"""What must be installed around snndense, and the one command that mends it.

The OpenMMLab packages come from two families that share their import names: the
frozen originals (``mmengine``, ``mmdet``, ...) and the maintained forks
(``onedl-mmengine``, ``onedl-mmdetection``, ...). snndense imports the names and
works with either; here, and only here, it matters which family is installed.

Every line of this file is also valid for older Pythons, so that they are answered
with a sentence and not with a ``SyntaxError``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

MIN_PYTHON = (3, 11)
MIN_SPIKINGJELLY = 2

# distributions that provide an import name: the fork first, then the originals
PROVIDERS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
HOSTS = ('mmdet', 'mmseg', 'mmpretrain')


class Problem(NamedTuple):
    """Something wrong with the installation.

    Attributes:
        what (str): What is wrong.
        command (str): The command that mends it.
    """

    what: str
    command: str

    def __str__(self) -> str:
        return f'{self.what}; mend it with: {self.command}'


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, None if it is not installed."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def installed_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Which of these distributions are installed, with their versions."""
    versions = {name: installed_version(name) for name in names}
    return {name: version for name, version in versions.items() if version}


def preferred_provider(module: str) -> str:
    """The distribution to install for ``module``, of the family that is here."""
    fork, original = PROVIDERS[module][:2]
    is_original = installed_version('mmengine') and not installed_version(
        'onedl-mmengine'
    )
    return original if is_original else fork


def install_command(*modules: str) -> str:
    """The command that installs the distributions for ``modules``."""
    names = [preferred_provider(module) for module in modules]
    if 'mmcv' in modules:
        # mmcv compiles against the torch it finds: it has to be the installed one
        return f'pip install --no-build-isolation {" ".join(names)}'
    return f'pip install {" ".join(names)}'


def rebuild_command() -> str:
    """The command that compiles the installed mmcv against the installed torch."""
    name = preferred_provider('mmcv')
    version = installed_version(name)
    pin = f'{name}=={version}' if version else name
    return (
        'pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation '
        f'--no-binary {name} {pin}'
    )


def find_python_problem(version: tuple[int, ...] = sys.version_info) -> Iterator:
    """Yield a :class:`Problem` if Python is too old."""
    if tuple(version[:2]) < MIN_PYTHON:
        wanted, found = ('.'.join(map(str, v[:2])) for v in (MIN_PYTHON, version))
        yield Problem(
            f'snndense needs Python >= {wanted}, but this is {found}',
            f'make env PYTHON=python{wanted}',
        )


def find_requirement_problems() -> Iterator[Problem]:
    """Yield what is missing of torch, mmengine and spikingjelly."""
    if find_spec('torch') is None:
        yield Problem('torch is not installed', 'pip install torch torchvision')
    if find_spec('mmengine') is None:
        yield Problem('mmengine is not installed', install_command('mmengine'))
    version = installed_version('spikingjelly')
    if find_spec('spikingjelly') is None:
        what = 'spikingjelly is not installed'
    elif version and int(version.partition('.')[0]) < MIN_SPIKINGJELLY:
        what = f'spikingjelly {version} is older than {MIN_SPIKINGJELLY}.0.0'
    else:
        return
    yield Problem(what, f"pip install 'spikingjelly>={MIN_SPIKINGJELLY}.0.0'")


def find_duplicates() -> Iterator[Problem]:
    """Yield a problem if two distributions have installed over each other."""
    keep, remove = [], []
    for names in PROVIDERS.values():
        first, *others = installed_versions(names) or ['']
        if others:
            keep.append(first)
            remove.extend(others)
    if remove:
        yield Problem(
            f'{" and ".join(remove)} and {" and ".join(keep)} have overwritten each '
            'other: they provide the same import names',
            f'pip uninstall -y {" ".join(remove)} && pip install --force-reinstall '
            f'--no-deps --no-cache-dir --no-build-isolation {" ".join(keep)}',
        )


def find_ops_problem() -> Iterator[Problem]:
    """Yield a problem if mmcv or its compiled operators cannot be imported."""
    if find_spec('mmcv') is None:
        yield Problem('mmcv is not installed', install_command('mmcv'))
        return
    try:
        import_module('cv2')  # which mmcv imports first
    except ImportError as error:
        yield Problem(
            f'OpenCV cannot be imported ({first_line(error)})',
            'pip install --force-reinstall --no-deps opencv-python-headless',
        )
        return
    try:
        import_module('mmcv.ops')
    except (ImportError, AssertionError, OSError) as error:
        name = getattr(error, 'name', None)
        if not isinstance(error, ModuleNotFoundError):
            version = installed_version('torch')
            what = f'mmcv.ops was compiled for another torch than {version}'
            yield Problem(f'{what} ({first_line(error)})', rebuild_command())
        elif name == 'mmcv._ext':
            what = 'mmcv is installed without its compiled operators'
            yield Problem(what, rebuild_command())
        else:
            yield Problem(f'mmcv needs {name}, which is missing', f'pip install {name}')


def find_host_problem(module: str) -> Iterator[Problem]:
    """Yield a problem if the toolbox ``module`` cannot be imported."""
    if find_spec(module) is None:
        yield Problem(f'{module} is not installed', install_command(module))
        return
    try:
        import_module(module)
    except (ImportError, AssertionError) as error:
        # toolboxes assert the versions of mmcv and mmengine that they know
        message = first_line(error)
        wanted = re.search(r'lease install (mm\w+ ?[<>=][^;]*?)\.?$', message)
        requirement = wanted.group(1).replace(' ', '') if wanted else None
        command = f"pip install '{requirement}'" if wanted else install_command(module)
        yield Problem(f'{module} cannot be imported ({message})', command)


def first_line(error: BaseException) -> str:
    """First line of an error's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def diagnose(*hosts: str) -> Iterator[Problem]:
    """Yield everything that keeps snndense and ``hosts`` from working.

    Later checks import what earlier ones have found to be there; a caller who
    stops at the first problem imports nothing broken.

    Args:
        *hosts (str): Toolboxes that are needed, of ``mmdet``, ``mmseg`` and
            ``mmpretrain``.
    """
    yield from find_python_problem()
    yield from find_requirement_problems()
    yield from find_duplicates()
    for host in hosts:
        if find_spec(host) is None:
            yield from find_host_problem(host)
    if hosts:
        yield from find_ops_problem()
    for host in hosts:
        if find_spec(host) is not None:
            yield from find_host_problem(host)


def check_requirements() -> None:
    """Raise ImportError unless Python, torch, mmengine and spikingjelly are fine."""
    for problem in (*find_python_problem(), *find_requirement_problems()):
        raise ImportError(str(problem))


def check_host(*hosts: str) -> None:
    """Make sure that the toolboxes a config is written for can be imported.

    Args:
        *hosts (str): Of ``mmdet``, ``mmseg`` and ``mmpretrain``.

    Raises:
        ImportError: One line saying what is missing or broken and the command
            that mends it.
        ValueError: If a name is none of the toolboxes.
    """
    for host in hosts:
        if host not in HOSTS:
            raise ValueError(f'expected a toolbox of {HOSTS}, but got {host!r}')
    for problem in diagnose(*hosts):
        raise ImportError(str(problem))


def register_packages() -> None:
    """Let mmengine find the configs of ``snndense::`` and of the toolboxes.

    mmengine maps an import name to the distribution that it asks for the folder
    of the configs. Where no distribution of the listed name is installed (the
    forks have other names) but the module is, the module's own name is entered:
    mmengine then looks for the module itself.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    for module in HOSTS:
        listed = MODULE2PACKAGE.get(module, module)
        if installed_version(listed) is None and find_spec(module) is not None:
            MODULE2PACKAGE[module] = module
    MODULE2PACKAGE['snndense'] = 'snndense'
    try:
        beside = Path(str(distribution('snndense').locate_file('snndense')))
    except PackageNotFoundError:
        return
    if not beside.exists():
        # An editable install leaves only its metadata in site-packages, and
        # mmengine 0.10.7 expects the folder beside it. The name of a submodule is
        # no distribution; for that, all versions ask where the module's file lies.
        MODULE2PACKAGE['snndense'] = 'snndense.version'
