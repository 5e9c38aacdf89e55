"""Print a config with everything that it inherits."""

import argparse
from pathlib import Path

from snndense.engine.preflight import build_model
from snndense.utils import cli
from snndense.utils.files import complete_file

SUFFIXES = ('.py', '.json', '.yml')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config(parser, 'any')
    parser.add_argument(
        '--save-path', type=Path, help=f'save it to a file of one of {SUFFIXES}'
    )
    parser.add_argument(
        '--graph', action='store_true', help='build the model and print its modules'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        if args.save_path is not None and args.save_path.suffix not in SUFFIXES:
            raise ValueError(
                f'expected --save-path to end with one of {SUFFIXES}, but got '
                f'{args.save_path}'
            )
        cfg = cli.read_config(args.config, args.cfg_options)
        model = build_model(cfg) if args.graph else None
    print(f'Config:\n{cfg.pretty_text}')
    if model is not None:
        print(f'Model:\n{model}')
    if args.save_path is not None:
        with complete_file(args.save_path) as path:
            cfg.dump(path)
        print(f'The config is saved to {args.save_path}')


if __name__ == '__main__':
    main()
