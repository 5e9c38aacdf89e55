import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

import snndense
from snndense.utils.compat import HOSTS, PROVIDERS

ROOT = Path(__file__).resolve().parents[1]
BASES = {
    'snndense': 'snndense::det/meta_sdt_srb_coco.py',
    'mmdet': 'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmseg': 'mmseg::_base_/models/fpn_r50.py',
    'mmpretrain': 'mmpretrain::_base_/models/resnet50.py',
}
DISTRIBUTIONS = {'PIL': 'pillow', 'cv2': 'opencv-python', 'sklearn': 'scikit-learn'}
OPENMMLAB = {name for names in PROVIDERS.values() for name in names}


def run_python(code: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=os.sep,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='module')
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a package is made from, so that building leaves no traces."""
    target = tmp_path_factory.mktemp('package') / 'snndense'
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    for name in ('snndense', 'configs', 'tools', 'requirements'):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for pattern in ('*.py', '*.toml', '*.in', '*.yml', '*.md', 'LICENSE', 'Makefile'):
        for path in ROOT.glob(pattern):
            shutil.copy2(path, target / path.name)
    return target


def build(source: Path, *command: str) -> None:
    result = subprocess.run(
        [sys.executable, *command], cwd=source, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def wheel(checkout: Path) -> Path:
    # what a deleted module leaves in the build folder must not come back
    leftover = checkout / 'build' / 'lib' / 'snndense' / 'gone.py'
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    build(checkout, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '.')
    (path,) = checkout.glob('*.whl')
    return path


def wheel_names(path: Path) -> set[str]:
    return {
        name for name in zipfile.ZipFile(path).namelist() if '.dist-info' not in name
    }


def test_wheel_holds_package_configs_and_tools(wheel: Path):
    names = wheel_names(wheel)
    for expected in (
        'snndense/registry.py',
        'snndense/.mim/model-index.yml',
        'snndense/.mim/configs/det/meta_sdt_srb_coco.py',
        'snndense/.mim/tools/train.py',
    ):
        assert expected in names
    assert 'snndense/gone.py' not in names
    assert not any('make_env' in name or '__pycache__' in name for name in names)
    assert all(name.startswith('snndense/') for name in names)


def test_sdist_makes_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path):
    build(checkout, 'setup.py', '--quiet', 'sdist', '--dist-dir', str(tmp_path))
    (archive,) = tmp_path.glob('*.tar.gz')
    shutil.unpack_archive(archive, tmp_path)
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    build(source, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '.')
    (path,) = source.glob('*.whl')
    assert wheel_names(path) == wheel_names(wheel)


def test_metadata(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata['Name'] == 'snndense'
    assert metadata['Version'] == snndense.__version__
    assert metadata['Requires-Python'] == '>=3.11'
    requirements = metadata.get_all('Requires-Dist')
    required = {re.match(r'[\w.-]+', r)[0] for r in requirements if 'extra' not in r}
    assert {'torch', 'spikingjelly', 'numpy'} <= required
    assert not required & OPENMMLAB
    # each family has its extra, complete and without the other one
    for extra, position in (('onedl', 0), ('openmmlab', 1)):
        found = {re.match(r'[\w.-]+', r)[0] for r in requirements if f'"{extra}"' in r}
        assert found == {names[position] for names in PROVIDERS.values()}


@pytest.mark.parametrize('family', BASES)
def test_wheel_resolves_base_configs(
    family: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory
):
    if family in HOSTS and find_spec(family) is None:
        pytest.skip(f'{family} is not installed')
    site = tmp_path_factory.getbasetemp() / 'wheel_site'
    if not site.exists():
        command = ('-m', 'pip', 'install', '--no-deps', '--target', str(site))
        build(wheel.parent, *command, str(wheel))
    config = site / f'inherits_{family}.py'
    config.write_text(f"_base_ = ['{BASES[family]}']\n")
    result = run_python(
        'import snndense; from mmengine.config import Config; '
        f'print(snndense.__file__); print("model" in Config.fromfile({str(config)!r}))',
        PYTHONPATH=str(site),
    )
    assert result.returncode == 0, result.stderr
    package, has_model = result.stdout.splitlines()
    assert Path(package).is_relative_to(site)
    assert has_model == 'True'


@pytest.mark.parametrize('family', BASES)
def test_this_install_resolves_base_configs(family: str, tmp_path: Path):
    if family in HOSTS and find_spec(family) is None:
        pytest.skip(f'{family} is not installed')
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = ['{BASES[family]}']\n")
    assert 'model' in Config.fromfile(config)


def test_editable_install_links_to_the_sources(checkout: Path, tmp_path: Path):
    # what pip runs for `pip install -e`, without its touching this environment
    build(checkout, 'setup.py', '--quiet', 'editable_wheel', '-d', str(tmp_path))
    mim = checkout / 'snndense' / '.mim'
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (mim / name).resolve() == (checkout / name).resolve()
    # a config written after the installation is there too
    (checkout / 'configs' / 'det' / 'mine.py').touch()
    assert (mim / 'configs' / 'det' / 'mine.py').exists()


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module.partition('.')[0])
    return modules


def test_everything_imported_is_declared(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
        metadata = Parser().parsestr(archive.read(name).decode())
    required = metadata.get_all('Requires-Dist')
    declared = {re.match(r'[\w.-]+', r)[0].lower() for r in required}
    for path in (ROOT / 'snndense').rglob('*.py'):
        modules = imported_modules(path) - sys.stdlib_module_names
        foreign = modules - set(PROVIDERS) - {'snndense'}
        assert {DISTRIBUTIONS.get(m, m) for m in foreign} <= declared, path


def test_pins_are_exact_and_name_no_index():
    for path in (ROOT / 'requirements').glob('*.txt'):
        for line in path.read_text().splitlines():
            is_pin = re.fullmatch(r'[\w.-]+==[\w.+!]+', line)
            assert is_pin or line.startswith('#') or line == '-c constraints.txt', line


BACKBONES_ALONE = """
import sys
for name in ('mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'cv2', 'sklearn'):
    sys.modules[name] = None  # imports fail, as if it was not installed
import torch
from mmengine.registry import MODELS, DefaultScope
DefaultScope.get_instance('alone', scope_name='snndense')
import snndense.registry
from snndense.models.backbones import SpikingBackbone
MODELS.get('snndense.MetaSDT')
classes = snndense.registry.MODELS.module_dict.values()
backbones = [c for c in classes if issubclass(c, SpikingBackbone)]
assert backbones
for backbone in backbones:
    arch = next(iter(backbone.arch_settings))
    outputs = backbone(arch).eval()(torch.rand(1, 3, 32, 32))
    assert all(x.isfinite().all() for x in outputs)
    print(backbone.__name__)
"""


def test_backbones_need_no_toolbox():
    result = run_python(BACKBONES_ALONE, OMP_NUM_THREADS='1')
    assert result.returncode == 0, result.stderr
    assert 'MetaSDT' in result.stdout.splitlines()


@pytest.mark.parametrize('module', ['torch', 'mmengine', 'spikingjelly'])
def test_import_says_what_is_missing(module: str):
    result = run_python(f'import sys; sys.modules[{module!r}] = None; import snndense')
    message = result.stderr.splitlines()[-1]
    assert message.startswith(f'ImportError: {module} is not installed; mend it with: ')
    assert f'pip install {PROVIDERS.get(module, (module,))[0]}' in message.replace(
        "'", ''
    )


def test_make_passes_options_on():
    command = ['make', '-n', '-C', ROOT, 'test', 'demo']
    options = ['TEST_ARGS=-k neurons', 'DEMO_ARGS=--quick', 'VENV=some where']
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert "'some where/bin/python' -m pytest -k neurons" in result.stdout
    assert "'some where/bin/python' tools/misc/demo.py det --quick" in result.stdout


def test_ci_runs_lint_tests_and_demos():
    script = ROOT / '.ci' / 'run'
    assert os.access(script, os.X_OK)
    commands = re.findall(r'^(make|for) ([^;\n]+)', script.read_text(), re.MULTILINE)
    assert commands == [
        ('make', 'lint'),
        ('make', 'test'),
        ('for', 'demo in demo demo-seg demo-cls'),
    ]
