"""Metadata, extras and the ``.mim`` folder of the package.

Configs, tools and ``model-index.yml`` live in the repository's root. OpenMMLab
looks for them in ``snndense/.mim``: that is where ``_base_ = ['snndense::...']``
is resolved. A wheel therefore carries copies there, an editable install links.
"""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_SOURCES = ('configs', 'tools', 'model-index.yml')
# the set-up of a checkout has no use in a package
IGNORED = shutil.ignore_patterns('__pycache__', '*.py[cod]', 'make_env')

ONEDL = (
    'onedl-mmengine>=0.10.12',
    'onedl-mmcv>=2.3.6',
    'onedl-mmdetection>=3.5.1',
    'onedl-mmsegmentation>=1.4.2',
    'onedl-mmpretrain>=1.3.6',
)
OPENMMLAB = (
    'mmengine>=0.10.7',
    'mmcv>=2.0.1,<2.2.0',  # frozen: mmdet 3.3.0 and mmpretrain 1.2.0 refuse 2.2
    'mmdet>=3.3.0',
    'mmsegmentation>=1.2.2',
    'mmpretrain>=1.2.0',
)


def read_version() -> str:
    text = (ROOT / 'snndense' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE).group(1)


class BuildPyWithMim(build_py):
    """``build_py`` that also fills ``snndense/.mim``."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            self.link_mim(ROOT / 'snndense' / '.mim')
            return
        target = Path(self.build_lib) / 'snndense'
        # a former build may have left modules there that are gone by now
        shutil.rmtree(target, ignore_errors=True)
        super().run()
        self.copy_mim(target / '.mim')

    @staticmethod
    def copy_mim(target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for name in MIM_SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=IGNORED)
            elif source.exists():
                shutil.copy2(source, target / name)

    @classmethod
    def link_mim(cls, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        try:
            for name in MIM_SOURCES:
                relative = os.path.join(os.pardir, os.pardir, name)
                (target / name).symlink_to(relative, (ROOT / name).is_dir())
        except OSError:  # Windows without the right to make links
            cls.copy_mim(target)


setup(
    name='snndense',
    version=read_version(),
    description='Spiking vision transformers for dense prediction over OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8')
    if (ROOT / 'README.md').exists()
    else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=[
        'spiking neural network',
        'vision transformer',
        'object detection',
        'semantic segmentation',
        'OpenMMLab',
    ],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['snndense', 'snndense.*']),
    package_data={'snndense.studies': ['report.html']},
    python_requires='>=3.11',
    # mmengine is missing on purpose: two distributions provide it, and requiring
    # one would install it over the other. The extras name each family.
    install_requires=[
        'Jinja2',
        'Pillow',
        'filelock',
        'matplotlib',
        'numpy',
        'safetensors',
        'spikingjelly>=2.0.0',
        'torch>=2.6',
        'torchvision',
        'tqdm',
    ],
    extras_require={
        'onedl': list(ONEDL),
        'openmmlab': list(OPENMMLAB),
        'export': ['nir', 'nirtorch', 'onnx', 'onnxruntime', 'onnxscript'],
        'dev': ['opencv-python', 'pytest', 'ruff', 'scikit-learn'],
    },
    cmdclass={'build_py': BuildPyWithMim},
    zip_safe=False,
)
