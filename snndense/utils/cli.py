"""What the command lines in ``tools/`` share: arguments, configs, error messages."""

import argparse
import dis
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import Registry

from .compat import HOSTS, check_host

DEBUG_VARIABLE = 'SNNDENSE_DEBUG'
USER_ERRORS = (ValueError, TypeError, KeyError, ImportError, OSError)
# what the system refuses: rights, a read-only or full disk
SYSTEM_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
# raises for unknown types and wrong arguments in a config
BUILDER = 'mmengine.registry.build_functions'


def add_config(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add ``config`` and ``--cfg-options``."""
    parser.add_argument('config', help=f'{purpose} config file path')
    add_cfg_options(parser)


class _SettingsAction(DictAction):
    """mmengine's, which calls itself for ever on a list of dicts."""

    def __call__(self, parser: argparse.ArgumentParser, *args, **kwargs) -> None:
        try:
            super().__call__(parser, *args, **kwargs)
        except RecursionError:
            parser.error(
                'argument --cfg-options: dicts cannot be given on the command line; '
                'write them into a config that has this one as its _base_'
            )


def add_cfg_options(
    parser: argparse.ArgumentParser,
    where: str = 'of the config',
    example: str = 'train_dataloader.batch_size=2',
) -> None:
    """Add ``--cfg-options``, a dict of settings or None."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_SettingsAction,
        metavar='KEY=VALUE',
        help=f'override settings {where}, such as {example}; a list is written '
        'key="[a,b]" or key=a,b, nested ones key="[(a,b),(c,d)]", with quotation '
        'marks and without spaces',
    )


def add_device(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add ``--device``; a default of None stands for the GPU if there is one."""
    otherwise = default or 'the GPU if there is one'
    parser.add_argument(
        '--device',
        default=default,
        help=f'such as cpu or cuda:0 (default: {otherwise})',
    )


def add_shape(
    parser: argparse.ArgumentParser,
    otherwise: str,
    default: tuple[int, int] | None = None,
) -> None:
    """Add ``--shape H W``; ``otherwise`` says what is taken by default."""
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=default,
        metavar=('H', 'W'),
        help=f'height and width of the images (default: {otherwise})',
    )


def add_part(parser: argparse.ArgumentParser) -> None:
    """Add ``--part``, the model or its backbone."""
    parser.add_argument(
        '--part',
        choices=['model', 'backbone'],
        default='model',
        help='the whole model with neck and heads, or its backbone alone (default: '
        '%(default)s)',
    )


def add_field_images(
    parser: argparse.ArgumentParser, default: str, otherwise: str
) -> None:
    """Add ``--images``, ``--num-images`` and ``--shape`` of receptive fields."""
    parser.add_argument(
        '--images',
        default=default,
        metavar='DIR|random|dataset',
        help='file, folder or quoted pattern; noise; or the test data of the first '
        'config (default: %(default)s)',
    )
    parser.add_argument(
        '--num-images', type=int, default=20, help='how many (default: %(default)s)'
    )
    add_shape(parser, otherwise)


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add ``--seeds``, of the runs of an experiment."""
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds of every variant (default: 0 1 2)',
    )


def add_measurement(parser: argparse.ArgumentParser) -> None:
    """Add what a measurement on images needs: weights, images, their number, device."""
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file (default: random weights, for a first look only)',
    )
    parser.add_argument(
        '--images',
        help='image, folder of images, or quoted pattern (default: the test data of '
        'the config, or its validation data)',
    )
    parser.add_argument(
        '--num-images',
        type=int,
        default=100,
        help='how many images to look at (default: %(default)s)',
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images at a time (default: 1)'
    )
    add_part(parser)
    add_device(parser)


def read_measurement(args: argparse.Namespace) -> dict:
    """What :func:`add_measurement` got, for ``snndense.studies.measuring.prepare``."""
    names = ('checkpoint', 'images', 'num_images', 'batch_size', 'part', 'device')
    return {name: getattr(args, name) for name in names}


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--local_rank``, for distributed runs."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher; see dist_*.sh and slurm_*.sh (default: %(default)s)',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by older launchers; torchrun does not need it',
    )


def add_steps(parser: argparse.ArgumentParser) -> None:
    """Add ``--spike-driven``, ``--time-steps`` and ``--levels`` of an evaluation."""
    parser.add_argument(
        '--spike-driven',
        action='store_true',
        help='run integer neurons as binary ones, over T x D steps; D times the memory',
    )
    parser.add_argument(
        '--time-steps',
        type=int,
        metavar='T',
        help="repeat images over T time steps instead of the config's",
    )
    parser.add_argument(
        '--levels',
        type=int,
        metavar='D',
        help="let integer neurons emit up to D spikes per step instead of the config's",
    )


def read_steps(args: argparse.Namespace) -> dict:
    """What :func:`add_steps` got, for ``set_steps``; empty if nothing was asked for."""
    steps = dict(time_steps=args.time_steps, levels=args.levels)
    steps = {name: value for name, value in steps.items() if value is not None}
    return dict(steps, spike_driven=True) if args.spike_driven else steps


def read_config(path: str, cfg_options: dict | None = None) -> Config:
    """Read a config and make sure that the toolbox it is for is installed.

    Args:
        path (str): The file.
        cfg_options (dict, optional): What to override.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If its toolbox is missing or broken.
        ValueError: If ``default_scope`` names none of the toolboxes.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no config {path}')
    try:
        cfg = Config.fromfile(path)
    except ModuleNotFoundError as error:  # the toolbox of a `_base_` is missing
        check_host(*(host for host in HOSTS if str(error).startswith(host)))
        raise
    if cfg_options is not None:
        cfg.merge_from_dict(cfg_options)
    scope = cfg.get('default_scope')
    if scope not in HOSTS:
        raise ValueError(
            f'expected default_scope of {path} to be one of {HOSTS}, the toolbox that '
            f'runs it, but got {scope!r}'
        )
    check_host(scope)
    return cfg


def export_local_rank(local_rank: int) -> None:
    """Let mmengine know the local rank that an older launcher passed as argument."""
    os.environ.setdefault('LOCAL_RANK', str(local_rank))


def is_first_process() -> bool:
    """Whether this is the only process or, of several, the one of rank 0.

    To be asked before the processes know of each other.
    """
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return next((os.environ[n] for n in names if n in os.environ), '0') == '0'


def _is_users(error: Exception) -> bool:
    """Whether an error was raised on purpose, about what the user gave.

    A ``raise`` in this package or mmengine's builder is, and so is what the system
    refuses; anything else (an operation that failed, an error inside another library)
    is a bug and keeps its traceback.
    """
    if not isinstance(error, USER_ERRORS):
        return False
    if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
        return True
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    module = last.tb_frame.f_globals.get('__name__', '')
    if module == BUILDER:
        return True
    code = last.tb_frame.f_code.co_code
    raised = code[last.tb_lasti] == dis.opmap['RAISE_VARARGS']
    return raised and module.partition('.')[0] in ('snndense', '__main__')


def users_message(error: Exception) -> str:
    """The message of a mistake of the user; anything else is raised again.

    With the environment variable ``SNNDENSE_DEBUG`` set, everything is. To be called
    where the error is handled.
    """
    if os.environ.get(DEBUG_VARIABLE) or not _is_users(error):
        raise error
    # str() of a KeyError is the repr of its message
    message = str(error.args[0] if isinstance(error, KeyError) else error)
    return message + _meant_type(message)


def _meant_type(message: str) -> str:
    """What a type that is in no registry may have been meant to be; '' if unknown."""
    found = re.search(r'([\w.]+) is not in the \S+ registry', message)
    if found is None:
        return ''
    from snndense import registry

    names = set()
    for entry in vars(registry).values():
        if isinstance(entry, Registry):
            entry.import_from_location()
            names.update(entry.module_dict)
    close = get_close_matches(found[1].rpartition('.')[2], names, n=1, cutoff=0.75)
    return f". Is type='snndense.{close[0]}' meant?" if close else ''


@contextmanager
def short_errors() -> Iterator[None]:
    """Answer mistakes of the user with their message alone, and exit status 1.

    With the environment variable ``SNNDENSE_DEBUG`` set, the traceback is shown.
    """
    try:
        yield
    except Exception as error:
        raise SystemExit(
            f'error: {users_message(error)}\n'
            f'(the traceback is shown with {DEBUG_VARIABLE}=1)'
        ) from None


@contextmanager
def named_image_errors() -> Iterator[None]:
    """Answer an image that a data loader cannot decode with its name alone.

    Images are checked before a run where the annotations tell them; one may still be
    damaged inside, or vanish later.
    """
    try:
        yield
    except (AssertionError, FileNotFoundError) as error:
        # across a worker's process only the text of its traceback survives
        found = re.search(
            r'(?:failed to load image: |No such file.*: )(.+)', str(error)
        )
        if os.environ.get(DEBUG_VARIABLE) or found is None:
            raise
        raise SystemExit(
            f'error: the image {found[1]} is missing or cannot be decoded. Copy it '
            'again, or take it out of the annotations; checkpoints saved so far are '
            f'complete\n(the traceback is shown with {DEBUG_VARIABLE}=1)'
        ) from None
