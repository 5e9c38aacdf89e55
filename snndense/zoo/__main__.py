"""Command line of the model zoo: ``python -m snndense.zoo list|show|check``."""

import argparse
import sys

from snndense.utils import cli

from .entries import STATUSES, TASKS, find_entry, select
from .report import describe_entry, list_entries


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m snndense.zoo',
        description='Configs with their numbers, and the weights that the authors of '
        'the models have published.',
    )
    commands = parser.add_subparsers(dest='command', required=True)
    table = commands.add_parser('list', help='a table of the models')
    table.add_argument(
        'pattern', nargs='?', help="part of the names to show, such as '*srb*'"
    )
    table.add_argument('--task', choices=tuple(TASKS), help='models of one task')
    table.add_argument(
        '--family', help='models of one family: sdt-v2, sdt-v3, meta-sdt, spikformer, …'
    )
    table.add_argument(
        '--status', choices=STATUSES, help='models with a number of this provenance'
    )
    table.add_argument(
        '--published', action='store_true', help='models with published weights'
    )
    one = commands.add_parser('show', help='everything about one model')
    one.add_argument('name', help='name or path of a config, or its long name')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    with cli.short_errors():
        if args.command == 'list':
            entries = select(
                args.pattern,
                task=args.task,
                family=args.family,
                status=args.status,
                published=args.published,
            )
            print(list_entries(entries))
            print(f'\n{len(entries)} models')
        else:
            print(describe_entry(find_entry(args.name)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
