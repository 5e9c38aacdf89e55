"""What a bug report needs: ``python -m snndense.utils.collect_env``."""

import argparse
import platform
import subprocess
from importlib.util import find_spec
from pathlib import Path

import torch

import snndense

from .compat import (
    HOSTS,
    PROVIDERS,
    diagnose,
    find_ops_problem,
    first_line,
    installed_versions,
)

# numpy's seed and an accelerator that spikingjelly has no kernels for say nothing
IRRELEVANT = ('sys.platform', 'numpy_random_seed', 'MUSA available')
LIBRARIES = {
    'spikingjelly': ('spikingjelly',),
    'triton': ('triton',),
    'cupy': ('cupy', 'cupy-cuda11x', 'cupy-cuda12x', 'cupy-cuda13x'),
    'torchvision': ('torchvision',),
    'torchaudio': ('torchaudio',),
    'numpy': ('numpy',),
    'cv2': ('opencv-python', 'opencv-python-headless'),
    'pycocotools': ('pycocotools',),
    'scikit-learn': ('scikit-learn',),
    'setuptools': ('setuptools',),
}


def git_revision() -> str | None:
    """Commit of the checkout snndense runs from, with a mark if it was changed."""
    root = Path(snndense.__file__).parents[1]
    if not (root / '.git').exists():
        return None
    command = ['git', '-C', str(root), 'describe', '--always', '--dirty', '--abbrev=7']
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return output.stdout.strip()


def collect_host_report() -> dict[str, str]:
    """Python, compiler, torch and GPUs, as mmengine reports them."""
    from mmengine.utils.dl_utils import collect_env as collect_mmengine_env

    try:
        report = collect_mmengine_env()
    except Exception as error:
        # the report is wanted most where something is broken: go on without
        return {'PyTorch': torch.__version__, 'mmengine report': first_line(error)}
    return {k: str(v) for k, v in report.items() if k not in IRRELEVANT}


def collect_env() -> dict[str, str]:
    """Everything a bug report needs, by title.

    Returns:
        dict[str, str]: Among others ``'snndense'``, ``'PyTorch'``, one entry for
        every OpenMMLab package (all distributions that provide it, with versions)
        and ``'problems'``: one line each, with the command that mends it.
    """
    revision = git_revision()
    env = {
        'snndense': snndense.__version__ + (f'+{revision}' if revision else ''),
        'platform': platform.platform(),
        **collect_host_report(),
    }
    for title, names in {**PROVIDERS, **LIBRARIES}.items():
        found = installed_versions(names).items()
        listed = ', '.join(f'{name} {version}' for name, version in found)
        env[title] = listed or 'not installed'
    ops_problem = next(find_ops_problem(), None)
    env['mmcv.ops'] = ops_problem.what if ops_problem else 'imports'
    problems = list(diagnose(*(host for host in HOSTS if find_spec(host) is not None)))
    env['problems'] = '\n'.join(map(str, problems)) or 'none found'
    return env


def format_env(env: dict[str, str]) -> str:
    """One ``title: value`` per line; further lines of a value are indented."""
    indent = '\n    '
    return '\n'.join(
        f'{k}: {v.strip().replace(chr(10), indent)}' for k, v in env.items()
    )


def main() -> None:
    argparse.ArgumentParser(
        description='Print what a bug report needs: versions, devices, and what is '
        'wrong with the installation together with the command that mends it.'
    ).parse_args()
    print(format_env(collect_env()))


if __name__ == '__main__':
    main()
