"""Convert a published checkpoint to this package's keys."""

import argparse
import sys
from pathlib import Path

from snndense.checkpoints import FAMILIES, convert_checkpoint
from snndense.checkpoints.reading import SAFETENSORS
from snndense.utils import cli

PICKLE_WARNING = """\
warning: --allow-pickle. Reading {source} now runs whatever code is in it, with your
rights: it may read, send or delete your files. Go on only with a file from somebody
you trust; interrupt with Ctrl-C if this is not one."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Rename the weights of a published classifier, backbone, detector '
        'or segmentor. Family, size, mixer and task are told from keys and shapes. '
        'Exits with 1, and writes nothing, if any key is missing or left over or has '
        'another shape.'
    )
    parser.add_argument(
        'source',
        help='published .pth or .safetensors file: the weights alone, or in an entry '
        "'model' or 'state_dict'",
    )
    parser.add_argument(
        'target',
        help='file to write: .safetensors, or .pth as mmengine writes it; without a '
        'suffix .safetensors, and in a folder the name of the source',
    )
    parser.add_argument(
        '--family',
        default='auto',
        choices=('auto', *FAMILIES),
        help='refuse weights of another family (default: %(default)s, take any)',
    )
    parser.add_argument(
        '--arch',
        default='auto',
        help="refuse weights of another size than this, such as 's' or 'v2_55m' "
        '(default: %(default)s, take any)',
    )
    parser.add_argument(
        '--averaged',
        action='store_true',
        help='take the running average (EMA) of a file that holds weights and averages',
    )
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='unpickle a file that holds more than weights. This runs whatever code '
        'is in the file: use it only if you trust where the file comes from',
    )
    return parser.parse_args()


def target_path(target: str, source: str) -> Path:
    path = Path(target)
    if path.is_dir() or target.endswith('/'):
        return path / f'{Path(source).stem}{SAFETENSORS}'
    # the 'suffix' of V3_10.0M_1x4 is none
    has_suffix = path.suffix.removeprefix('.').isalpha()
    return path if has_suffix else path.with_name(f'{path.name}{SAFETENSORS}')


def main() -> None:
    args = parse_args()
    target = target_path(args.target, args.source)
    if args.allow_pickle:
        print(PICKLE_WARNING.format(source=args.source), file=sys.stderr, flush=True)
    with cli.short_errors():
        published, report = convert_checkpoint(
            args.source,
            target,
            family=args.family,
            arch=args.arch,
            averaged=args.averaged,
            allow_pickle=args.allow_pickle,
        )
    print(f'{published}\n{report}')
    for place, cfg in published.parts.items():
        print(f'{place}: {cfg}')
    for note in published.notes:
        print(f'note: {note}')
    print(f'wrote {target}')


if __name__ == '__main__':
    main()
