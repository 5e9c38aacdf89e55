"""Command line of the model zoo: ``python -m snndense.zoo list|table|show|check``."""

import argparse
import signal
import sys

from snndense.utils import cli

from .combined import combined_table
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
    commands.add_parser(
        'table',
        help='backbones by tasks: parameters, MACs and accuracy, in Markdown',
    )
    one = commands.add_parser('show', help='everything about one model')
    one.add_argument('name', help='name or path of a config, or its long name')
    file = commands.add_parser(
        'check',
        help='what a file of weights is',
        description='Recognise a published or converted file, look it up in the zoo, '
        'and name what is known to go wrong with it. Exits with 1 if it is none of '
        'the published models, or not the file whose hash is known.',
    )
    file.add_argument('file', help='.pth or .safetensors file')
    file.add_argument(
        '--allow-pickle',
        action='store_true',
        help='unpickle a file that holds more than weights. This runs whatever code '
        'is in the file: use it only if you trust where the file comes from',
    )
    return parser.parse_args(arguments)


def show_table(args: argparse.Namespace) -> int:
    entries = select(
        args.pattern,
        task=args.task,
        family=args.family,
        status=args.status,
        published=args.published,
    )
    print(f'{list_entries(entries)}\n\n{len(entries)} models')
    return 0


def show_combined_table(args: argparse.Namespace) -> int:
    print(combined_table())
    return 0


def show_entry(args: argparse.Namespace) -> int:
    print(describe_entry(find_entry(args.name)))
    return 0


def show_file(args: argparse.Namespace) -> int:
    from .check import check_file, describe_file  # torch, which the others don't need

    found = check_file(args.file, allow_pickle=args.allow_pickle)
    print(describe_file(found))
    return int(found.is_another_file)


COMMANDS = dict(
    list=show_table, table=show_combined_table, show=show_entry, check=show_file
)


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    with cli.short_errors():
        return COMMANDS[args.command](args)


if __name__ == '__main__':
    if hasattr(signal, 'SIGPIPE'):  # `list | head` ends without a traceback
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
