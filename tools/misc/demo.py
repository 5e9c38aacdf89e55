"""Compose digit scenes, train a small spiking model on them, show the result.

An interrupted run goes on where it was when the same command is given again. A GPU is
used where there is one, unless CUDA_VISIBLE_DEVICES=-1 hides it.
"""

import argparse
import os
import time
from pathlib import Path

# Read when torch is imported. Idle threads of GNU's OpenMP spin much longer by
# default; then a training on two cores becomes ten times slower as soon as anything
# else runs there. Alone on the machine, this short spinning is as fast.
os.environ.setdefault('GOMP_SPINCOUNT', '1000')

from mmengine.config import Config
from mmengine.runner import Runner

from snndense.datasets import DigitScenesSettings, make_digit_scenes
from snndense.engine import resume, run_config
from snndense.engine.curves import plot_curves
from snndense.engine.demo_tasks import DEMO_TASKS, Table
from snndense.engine.scalars import read_scalars
from snndense.utils import cli

ROOT = Path(__file__).parents[2]
DATA_ROOT = 'data/digit_scenes'  # in the configs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'task',
        nargs='?',
        choices=DEMO_TASKS,
        default='det',
        help='detection, segmentation or classification (default: %(default)s)',
    )
    parser.add_argument(
        '--config',
        type=Path,
        help='model to train on the digit scenes (default: '
        'configs/TASK/meta_sdt_srb_digits.py)',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of the results (default: work_dirs/demo, demo_seg or demo_cls, '
        'with --quick demo_quick and so on)',
    )
    parser.add_argument(
        '--data-root',
        type=Path,
        help='folder of the digit scenes, composed if missing (default: '
        f'{DATA_ROOT}, with --quick a small set in the work dir)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the training (default: 0)'
    )
    parser.add_argument(
        '--num-pictures',
        type=int,
        default=12,
        help='validation pictures to draw (default: 12)',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='take the same steps on a handful of scenes in about a minute, to see '
        'that everything works; the model learns nothing',
    )
    args = parser.parse_args()
    if args.num_pictures < 1:
        parser.error(f'expected --num-pictures >= 1, but got {args.num_pictures}')
    set_defaults(args)
    return args


def set_defaults(args: argparse.Namespace) -> None:
    """Fill in what depends on other arguments."""
    if args.config is None:
        args.config = ROOT / f'configs/{args.task}/meta_sdt_srb_digits.py'
    if args.work_dir is None:
        name = 'demo' if args.task == 'det' else f'demo_{args.task}'
        args.work_dir = Path('work_dirs', f'{name}_quick' if args.quick else name)
    if args.data_root is None:
        small = args.work_dir / 'digit_scenes'
        args.data_root = small if args.quick else Path(DATA_ROOT)


def prepare_data(args: argparse.Namespace) -> None:
    settings = DigitScenesSettings()
    if args.quick:
        settings = DigitScenesSettings(
            num_train=8, num_val=4, singles_per_scene=1, tasks=(args.task,)
        )
    try:
        made = make_digit_scenes(args.data_root, settings)
    except FileExistsError as error:
        raise FileExistsError(f'{error}. Here, --data-root stands for --out') from None
    print(f'digit scenes in {args.data_root}' + ('' if made else ' (already there)'))


def load_config(args: argparse.Namespace) -> Config:
    """The config with the folders and the seed of this run.

    Raises:
        ValueError: If the config is for another task, or not for the digit scenes.
    """
    cfg = cli.read_config(str(args.config))
    scope = DEMO_TASKS[args.task].scope
    if cfg.default_scope != scope:
        raise ValueError(
            f'{args.task} trains configs of {scope}, but {args.config} is one of '
            f'{cfg.default_scope}; give the task in front: {", ".join(DEMO_TASKS)}'
        )
    use_data(cfg, args.data_root)
    cfg.work_dir = str(args.work_dir)
    cfg.randomness = dict(seed=args.seed)
    run_config.use_checkpoint_hook(cfg)
    run_config.set_dataloaders(cfg)
    if args.quick:
        shorten(cfg)
    return cfg


def use_data(cfg: Config, root: Path) -> None:
    """Read the digit scenes below ``root``."""
    for split in ('train', 'val', 'test'):
        for owner, key in (
            (cfg[f'{split}_dataloader'].dataset, 'data_root'),
            (cfg.get(f'{split}_evaluator', {}), 'ann_file'),
        ):
            if key not in owner:
                continue
            if not owner[key].startswith(f'{DATA_ROOT}/'):
                raise ValueError(
                    f'the demo trains on the digit scenes, {DATA_ROOT}/ in its '
                    f'configs, but this config reads {owner[key]}'
                )
            owner[key] = owner[key].replace(DATA_ROOT, str(root), 1)


def shorten(cfg: Config) -> None:
    """Train for a few iterations, with a checkpoint half-way."""
    cfg.train_dataloader.batch_size = 2
    cfg.default_hooks.logger.interval = 1
    if cfg.train_cfg.get('max_iters'):
        cfg.train_cfg.update(max_iters=8, val_interval=4)
        cfg.default_hooks.checkpoint.interval = 4
    else:
        cfg.train_cfg.max_epochs = 2


def check_work_dir(cfg: Config, args: argparse.Namespace) -> None:
    """Keep the results of two configs or seeds apart.

    Raises:
        ValueError: If the run that started in the work dir had another config.
    """
    written = args.work_dir / args.config.name
    if not written.exists():
        return
    different = run_config.different_keys(cfg, written)
    if different:
        raise ValueError(
            f'{args.work_dir} holds a run whose config differs in '
            f'{", ".join(different)}; choose another --work-dir or remove that folder'
        )


def train(cfg: Config) -> Runner:
    """Train, or go on with an interrupted training; evaluate between epochs."""
    resume.set_resume(cfg, 'auto')
    runner = Runner.from_cfg(cfg)
    try:
        runner.train()
    except KeyboardInterrupt:
        raise SystemExit('\ninterrupted; the same command goes on from here') from None
    return runner


def print_table(table: Table) -> None:
    columns = next(iter(table.values()))
    print('\n' + ' ' * 16 + ''.join(f'{column:>8}' for column in columns))
    for row, cells in table.items():
        print(f'{row:16}' + ''.join(f'{value:8.3f}' for value in cells.values()))


def report(runner: Runner, args: argparse.Namespace) -> None:
    task = DEMO_TASKS[args.task](runner.val_dataloader.dataset)
    training, validation = read_scalars(args.work_dir)
    losses = [key for key in next(iter(training.values())) if key.startswith('loss')]
    plot_curves(
        list(training),
        {key: [record[key] for record in training.values()] for key in losses},
        args.work_dir / 'loss.png',
        xlabel='iteration',
        ylim=(0, None),
    )
    tables = [task.table(record) for record in validation.values()]
    plot_curves(
        list(validation),
        {
            f'{row}, {column}': [table[row][column] for table in tables]
            for row, cells in tables[-1].items()
            for column in cells
        },
        args.work_dir / task.curves,
        xlabel='iteration' if runner.cfg.train_cfg.get('max_iters') else 'epoch',
        ylim=(0, 1),
    )
    task.draw_predictions(
        runner.model, args.num_pictures, args.work_dir / 'predictions'
    )
    print_table(tables[-1])
    logs = sorted(args.work_dir.glob('*/*.log'))
    for what, where in (
        ('predictions', 'predictions/'),
        ('curves', f'loss.png, {task.curves}'),
        ('checkpoint', (args.work_dir / 'last_checkpoint').read_text().split('/')[-1]),
        ('log', logs[-1].relative_to(args.work_dir)),
    ):
        print(f'{what:12}{args.work_dir}/{where}')


def main() -> None:
    args = parse_args()
    started = time.monotonic()
    with cli.short_errors():
        cfg = load_config(args)
        prepare_data(args)
        check_work_dir(cfg, args)
    report(train(cfg), args)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f'{"time":12}{minutes} min {seconds} s')


if __name__ == '__main__':
    main()
