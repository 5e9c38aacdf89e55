"""Train a detector, a segmentor or a classifier."""

import argparse

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from snndense.engine import preflight, resume, run_config
from snndense.utils import cli


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f'{__doc__} Data, model and checkpoints are checked before '
        'anything is written; a killed run goes on with --resume.'
    )
    cli.add_config(parser, 'train')
    parser.add_argument(
        '--work-dir',
        help="folder for logs and checkpoints (default: the config's work_dir, else "
        'work_dirs/ and the name of the config)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a path, from the newest one in the '
        'work directory that can be read, or from the beginning if there is none',
    )
    parser.add_argument('--amp', action='store_true', help='train with mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size over base_batch_size',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate while training'
    )
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='switch pin_memory off in the data loaders',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='switch persistent_workers off in the data loaders',
    )
    cli.add_launcher(parser)
    return parser.parse_args()


def prepare_config(args: argparse.Namespace) -> Config:
    cfg = cli.read_config(args.config, args.cfg_options)
    run_config.set_work_dir(cfg, args.work_dir, args.config)
    run_config.use_checkpoint_hook(cfg)
    run_config.set_dataloaders(
        cfg,
        pin_memory=not args.no_pin_memory,
        persistent_workers=not args.no_persistent_workers,
    )
    if args.amp:
        run_config.enable_amp(cfg)
    run_config.check_amp(cfg)
    if args.auto_scale_lr:
        run_config.enable_auto_scale_lr(cfg)
    if args.no_validate:
        run_config.disable_validation(cfg)
    resume.set_resume(cfg, args.resume)
    return cfg


def main() -> None:
    args = parse_args()
    cli.export_local_rank(args.local_rank)
    with cli.short_errors():
        cfg = prepare_config(args)
        if cli.is_first_process():
            preflight.check_run(
                cfg,
                ('train', 'val'),
                cfg.get('load_from'),
                allow_other_classes=not cfg.get('resume'),
            )
        run_config.set_launcher(cfg, args.launcher)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    with cli.named_image_errors():
        runner.train()
    run_config.end_distributed_run()


if __name__ == '__main__':
    main()
