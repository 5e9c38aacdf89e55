"""Test a detector, a segmentor or a classifier."""

import argparse

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from snndense.engine import preflight, results, run_config
from snndense.models.time_steps import set_steps
from snndense.utils import cli


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f'{__doc__} Data, model and checkpoint are checked before '
        'anything is written.'
    )
    cli.add_config(parser, 'test')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help="folder for the log with the metrics (default: the config's work_dir, "
        'else work_dirs/ and the name of the config)',
    )
    parser.add_argument(
        '--out',
        help='where to write the predictions: a .pkl file, or for segmentation a new '
        'folder of label pictures',
    )
    parser.add_argument(
        '--out-item',
        choices=results.OUT_ITEMS,
        default='pred',
        help='write predictions, or metrics to a .json file (default: %(default)s)',
    )
    parser.add_argument('--show', action='store_true', help='show the predictions')
    parser.add_argument('--show-dir', help='folder for the drawn predictions')
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds to show a prediction (default: %(default)s)',
    )
    parser.add_argument(
        '--interval',
        type=int,
        default=1,
        help='classification: draw every so many images (default: %(default)s)',
    )
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument('--amp', action='store_true', help='test with mixed precision')
    cli.add_steps(parser)
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='switch pin_memory off in the data loaders',
    )
    cli.add_launcher(parser)
    return parser.parse_args()


def prepare_config(args: argparse.Namespace) -> Config:
    cfg = cli.read_config(args.config, args.cfg_options)
    run_config.set_work_dir(cfg, args.work_dir, args.config)
    run_config.set_dataloaders(cfg, pin_memory=not args.no_pin_memory)
    if args.out is not None:
        results.check_out(args.out, cfg.default_scope, args.out_item)
    if args.show or args.show_dir:
        run_config.enable_drawing(
            cfg,
            show=args.show,
            show_dir=args.show_dir,
            wait_time=args.wait_time,
            interval=args.interval,
        )
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.amp:
        run_config.enable_test_amp(cfg)
    return cfg


def main() -> None:
    args = parse_args()
    cli.export_local_rank(args.local_rank)
    steps = cli.read_steps(args)
    with cli.short_errors():
        cfg = prepare_config(args)
        if cli.is_first_process():
            preflight.check_run(cfg, ('test',), args.checkpoint)
        if steps:
            set_steps(preflight.build_model(cfg), **steps)
        if args.tta:  # wraps the model, so after its check
            run_config.enable_tta(cfg)
        run_config.set_launcher(cfg, args.launcher)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if steps:
        print(f'Running with {set_steps(runner.model, **steps)}', flush=True)
    with cli.named_image_errors():
        results.run_test(runner, cfg.default_scope, args.out, args.out_item)
    run_config.end_distributed_run()


if __name__ == '__main__':
    main()
