"""Stands in for the interpreter of an environment: installs are noted, not made.

Its folder is ``<venv>/bin``. What is installed are empty ``*.dist-info`` folders in
``<venv>/site``; ``<venv>/calls.txt`` lists the calls of pip. A wheel is a text file:
its operators load if the text is ``good``.
"""

import json
import os
import re
import sys
import sysconfig
import time
from pathlib import Path

VENV = Path(__file__).absolute().parents[1]
SITE = VENV / 'site'


def note_installed(name: str, version: str) -> Path:
    info = SITE / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir(parents=True, exist_ok=True)
    return info


def install(words: list[str]) -> None:
    if '-e' in words:
        root = Path(words[words.index('-e') + 1])
        record = note_installed('snndense', '1.2.3') / 'direct_url.json'
        origin = {'url': root.as_uri(), 'dir_info': {'editable': True}}
        record.write_text(json.dumps(origin))
        (root / 'snndense' / '.mim' / 'configs').mkdir(parents=True, exist_ok=True)
    for word in words:
        if word.endswith('.txt'):
            pins = re.findall(r'^([\w.-]+)==(\S+)', Path(word).read_text(), re.M)
            for pin in pins:
                note_installed(*pin)
        if word.endswith('.whl'):
            name, version = Path(word).name.split('-')[:2]
            (note_installed(name, version) / 'ops').write_text(Path(word).read_text())


def compile_wheel(words: list[str]) -> None:
    pin = words[-1].replace('-', '_').replace('==', '-')
    tag = 'cp{}{}'.format(*sys.version_info)
    platform = sysconfig.get_platform().replace('-', '_').replace('.', '_')
    wheel = Path(words[words.index('-w') + 1]) / f'{pin}-{tag}-{tag}-{platform}.whl'
    print('  [1/2] c++ first.cpp', 'FORCE_CUDA=' + os.environ['FORCE_CUDA'], flush=True)
    wheel.write_text('half')
    time.sleep(float(os.environ.get('FAKE_BUILD_SECONDS', 0)))
    if os.environ.get('FAKE_BUILD_FAILS'):
        print('first.cpp:1: error: no such luck')
        sys.exit(1)
    print('  [2/2] c++ second.cpp', flush=True)
    wheel.write_text('good')


def import_operators() -> None:
    (text,) = [path.read_text() for path in SITE.glob('onedl_mmcv-*/ops')] or ['none']
    if text != 'good':
        sys.exit(f'ImportError: _ext.so: undefined symbol: _ZN3c10 ({text})')


def main() -> None:
    if sys.argv[1] == '-c':
        code = sys.argv[2]
        if 'mmcv.ops' in code:
            import_operators()
        elif 'CUDA_HOME' in code:
            print(os.environ.get('FAKE_CUDA', ''))
        elif 'cv2' in code:
            sys.exit(os.environ.get('FAKE_CV2_ERROR', 0))
        elif 'purelib' in code:
            code = code.replace("sysconfig.get_path('purelib')", repr(str(SITE)))
            include = repr(str(VENV / 'include'))
            exec(code.replace("sysconfig.get_path('include')", include))
        return
    words = sys.argv[3:]
    if words == ['--version']:
        return
    with (VENV / 'calls.txt').open('a') as file:
        file.write(' '.join(words) + '\n')
    {'install': install, 'wheel': compile_wheel}[words[0]](words)


main()
