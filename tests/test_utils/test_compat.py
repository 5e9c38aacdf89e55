from collections.abc import Callable
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config.utils import MODULE2PACKAGE

from snndense.utils import compat
from snndense.utils.cli import read_config

ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
    'onedl-mmpretrain': '1.3.6',
}
OPENMMLAB = {
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
    'mmpretrain': '1.2.0',
}
UNDEFINED_SYMBOL = ImportError(
    'mmcv/_ext.so: undefined symbol: _ZN3c104impl3cowE\nmore'
)


class Site:
    """An environment that is made up: distributions, missing and broken modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: set[str] = set()
        self.broken: dict[str, Exception] = {}

    def install(self, packages: dict[str, str]) -> None:
        for name, version in packages.items():
            info = self.folder / f'{name.replace("-", "_")}-{version}.dist-info'
            info.mkdir()
            (info / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')

    def distribution(self, name: str) -> Distribution:
        for found in Distribution.discover(name=name, path=[str(self.folder)]):
            return found
        raise PackageNotFoundError(name)

    def find_spec(self, name: str) -> object:
        return None if name in self.missing else True

    def import_module(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    site.install({'torch': '2.11.0', 'spikingjelly': '2.0.0'})
    for name in ('distribution', 'find_spec', 'import_module'):
        monkeypatch.setattr(compat, name, getattr(site, name))
    return site


def problem_of(call: Callable, *args: str) -> tuple[str, str]:
    """What is wrong and the command that mends it, from the one line that is told."""
    with pytest.raises(ImportError) as caught:
        call(*args)
    message = str(caught.value)
    assert '\n' not in message
    what, _, command = message.partition('; mend it with: ')
    assert command
    return what, command


@pytest.mark.parametrize('host', compat.HOSTS)
def test_a_sound_environment_passes(host: str):
    pytest.importorskip(host)
    compat.check_host(host)


@pytest.mark.parametrize('packages', [ONEDL, OPENMMLAB])
def test_complete_families_pass(site: Site, packages: dict):
    site.install(packages)
    compat.check_host(*compat.HOSTS)
    assert list(compat.diagnose(*compat.HOSTS)) == []


@pytest.mark.parametrize(
    ('packages', 'host', 'command'),
    [
        (ONEDL, 'mmdet', 'pip install onedl-mmdetection'),
        (ONEDL, 'mmseg', 'pip install onedl-mmsegmentation'),
        (OPENMMLAB, 'mmdet', 'pip install mmdet'),
        (OPENMMLAB, 'mmpretrain', 'pip install mmpretrain'),
    ],
)
def test_missing_toolbox(site: Site, packages: dict, host: str, command: str):
    family = compat.PROVIDERS[host]
    site.install({k: v for k, v in packages.items() if k not in family})
    site.missing.add(host)
    assert problem_of(compat.check_host, host) == (f'{host} is not installed', command)


def test_missing_mmcv_is_compiled_against_the_installed_torch(site: Site):
    site.install({'onedl-mmengine': '0.10.12', 'onedl-mmdetection': '3.5.1'})
    site.missing.add('mmcv')
    what, command = problem_of(compat.check_host, 'mmdet')
    assert what == 'mmcv is not installed'
    assert command == 'pip install --no-build-isolation onedl-mmcv'


@pytest.mark.parametrize(
    ('packages', 'pin'), [(ONEDL, 'onedl-mmcv==2.3.6'), (OPENMMLAB, 'mmcv==2.1.0')]
)
def test_operators_of_another_torch(site: Site, packages: dict, pin: str):
    site.install(packages)
    site.broken['mmcv.ops'] = UNDEFINED_SYMBOL
    what, command = problem_of(compat.check_host, 'mmdet')
    assert 'another torch than 2.11.0' in what and 'undefined symbol' in what
    assert command.startswith('pip install --force-reinstall --no-deps --no-cache-dir')
    assert '--no-build-isolation' in command and command.endswith(pin)


def test_mmcv_without_operators(site: Site):
    site.install({'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0'})
    site.broken['mmcv.ops'] = ModuleNotFoundError('No module', name='mmcv._ext')
    what, command = problem_of(compat.check_host, 'mmdet')
    assert what == 'mmcv is installed without its compiled operators'
    assert command.endswith('--no-binary mmcv mmcv')


def test_mmcv_with_a_missing_dependency(site: Site):
    site.install(ONEDL)
    site.broken['mmcv.ops'] = ModuleNotFoundError('No module', name='addict')
    what, command = problem_of(compat.check_host, 'mmdet')
    assert 'addict' in what and command == 'pip install addict'


def test_opencv_without_libgl_is_not_taken_for_a_stale_mmcv(site: Site):
    site.install(ONEDL)
    site.broken['cv2'] = ImportError('libGL.so.1: cannot open shared object file')
    what, command = problem_of(compat.check_host, 'mmdet')
    assert what.startswith('OpenCV cannot be imported (libGL.so.1')
    assert command.endswith('opencv-python-headless')


def test_both_families_at_once(site: Site):
    site.install({**ONEDL, 'mmcv': '2.2.0', 'mmengine': '0.10.7'})
    what, command = problem_of(compat.check_host, 'mmdet')
    assert 'mmengine and mmcv and onedl-mmengine and onedl-mmcv' in what
    removal, reinstall = command.split(' && ')
    assert removal == 'pip uninstall -y mmengine mmcv'
    assert reinstall.endswith('onedl-mmengine onedl-mmcv')
    assert '--force-reinstall' in reinstall


def test_mmcv_and_its_lite_build_at_once(site: Site):
    site.install({**OPENMMLAB, 'mmcv-lite': '2.1.0'})
    _, command = problem_of(compat.check_host, 'mmdet')
    assert command.startswith('pip uninstall -y mmcv-lite && ')
    assert command.endswith(' mmcv')


def test_toolbox_that_refuses_this_mmcv(site: Site):
    site.install(OPENMMLAB)
    site.broken['mmdet'] = AssertionError(
        'MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0.'
    )
    what, command = problem_of(compat.check_host, 'mmdet')
    assert 'MMCV==2.2.0 is used but incompatible' in what
    assert command == "pip install 'mmcv>=2.0.0rc4,<2.2.0'"


def test_config_of_a_missing_toolbox(
    monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path
):
    config = tmp_path / 'config.py'
    config.write_text("_base_ = ['mmdet::_base_/default_runtime.py']\n")
    monkeypatch.setitem(MODULE2PACKAGE, 'mmdet', 'mmdet-that-is-absent')
    site.install({'onedl-mmengine': '0.10.12'})
    site.missing.add('mmdet')
    expected = ('mmdet is not installed', 'pip install onedl-mmdetection')
    assert problem_of(read_config, str(config)) == expected


def test_unknown_toolbox():
    with pytest.raises(ValueError, match="but got 'mmyolo'"):
        compat.check_host('mmyolo')


def test_old_python():
    (problem,) = compat.find_python_problem((3, 10, 4))
    assert problem.what == 'snndense needs Python >= 3.11, but this is 3.10'
    assert problem.command == 'make env PYTHON=python3.11'
    assert not list(compat.find_python_problem((3, 13)))


@pytest.mark.parametrize(
    ('module', 'command'),
    [
        ('torch', 'pip install torch torchvision'),
        ('mmengine', 'pip install onedl-mmengine'),
        ('spikingjelly', "pip install 'spikingjelly>=2.0.0'"),
    ],
)
def test_missing_requirement(site: Site, module: str, command: str):
    site.missing.add(module)
    expected = (f'{module} is not installed', command)
    assert problem_of(compat.check_requirements) == expected


def test_old_spikingjelly(tmp_path: Path, site: Site):
    (tmp_path / 'spikingjelly-2.0.0.dist-info').rename(tmp_path / 'away')
    site.install({'spikingjelly': '0.0.0.0.14'})
    what, command = problem_of(compat.check_requirements)
    assert what == 'spikingjelly 0.0.0.0.14 is older than 2.0.0'
    assert command == "pip install 'spikingjelly>=2.0.0'"


@pytest.mark.parametrize('host', compat.HOSTS)
@pytest.mark.parametrize('packages', [ONEDL, OPENMMLAB, {}])
def test_registered_names_are_found(
    monkeypatch: pytest.MonkeyPatch, site: Site, packages: dict, host: str
):
    originals = {
        'mmdet': 'mmdet',
        'mmseg': 'mmsegmentation',
        'mmpretrain': 'mmpretrain',
    }
    for module, name in originals.items():
        monkeypatch.setitem(MODULE2PACKAGE, module, name)
    site.install(packages)
    if not packages:
        site.missing.update(compat.HOSTS)
    compat.register_packages()
    # a distribution, or an importable module where no distribution has the name
    expected = host if packages is ONEDL else originals[host]
    assert MODULE2PACKAGE[host] == expected


def test_own_name_leads_to_the_package_however_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, site: Site
):
    monkeypatch.setitem(MODULE2PACKAGE, 'snndense', 'unset')
    compat.register_packages()  # found on PYTHONPATH only
    assert MODULE2PACKAGE['snndense'] == 'snndense'
    site.install({'snndense': '0.1.0'})  # editable: no folder beside the metadata
    compat.register_packages()
    name = MODULE2PACKAGE['snndense']
    with pytest.raises(PackageNotFoundError):
        site.distribution(name)
    assert (
        Path(find_spec(name).origin).parent
        == Path(import_module('snndense').__file__).parent
    )
    (site.folder / 'snndense').mkdir()  # a wheel
    compat.register_packages()
    assert MODULE2PACKAGE['snndense'] == 'snndense'
