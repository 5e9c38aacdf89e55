"""Convert a published checkpoint to this package's keys."""

import argparse
import sys

from snndense.checkpoints.published import convert_checkpoint


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Rename the weights of a published classifier, backbone, detector '
        'or segmentor (SDT-V2, SDT-V3 base sizes, Meta-SDT). Size, mixer and task are '
        'told from keys and shapes. Exits with 1, and writes nothing, if a key of the '
        'backbone is missing or left over.'
    )
    parser.add_argument('source', help='published .pth or .safetensors file')
    parser.add_argument('target', help='.pth file to write, in the format of mmengine')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='unpickle a file that holds more than weights. This runs whatever code '
        'is in the file: use it only if you trust where the file comes from',
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.allow_pickle:
        print(
            f'unpickling {args.source}: this runs whatever code is in the file',
            file=sys.stderr,
        )
    try:
        published, report = convert_checkpoint(
            args.source, args.target, allow_pickle=args.allow_pickle
        )
    except (FileNotFoundError, ImportError, ValueError) as error:
        hint = '' if args.allow_pickle else ' (see --allow-pickle)'
        pickled = 'is not unpickled' in str(error)
        print(f'convert.py: {error}{hint if pickled else ""}', file=sys.stderr)
        return 1
    print(f'{published.task} with the backbone {published.backbone}\n{report}')
    heads = len(published.state_dict) - len(published.backbone_weights)
    if heads:
        print(f'  - {heads} keys of neck and heads renamed')
    print(f'wrote {args.target}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
