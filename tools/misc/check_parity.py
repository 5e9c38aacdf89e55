"""Compare modules with numbers recorded from published implementations."""

import argparse
import sys

from snndense.parity import check_file
from snndense.utils import cli


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Run parity-v1 files: what the published class returned against '
        'what this package returns for the same weights and input, in float64, '
        'outputs and gradients; sterf-fixture-1 files: published receptive fields; '
        'and lists of keys and shapes of published models. Exits with 1 if any file '
        'fails or is unsupported.'
    )
    parser.add_argument('files', nargs='+', metavar='FILE', help='JSON files')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-8,
        help='absolute tolerance on outputs (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    passed = 0
    for file in args.files:
        try:
            report = check_file(file, args.tolerance)
        except cli.USER_ERRORS as error:
            print(f'FAIL {file}: {cli.users_message(error)}', flush=True)
            continue
        print(report, flush=True)
        passed += report.passed
    print(f'{passed} of {len(args.files)} files agree')
    return int(passed < len(args.files))


if __name__ == '__main__':
    sys.exit(main())
