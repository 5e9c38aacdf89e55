"""One page about a model: accuracy, operations, energy, firing rates, fields, speed.

The page is a single HTML file, OUT/index.html, that needs nothing beside it. Example:

  python tools/analysis_tools/report.py configs/det/meta_sdt_srb_digits.py \\
      work_dirs/demo/epoch_6.pth --images data/digit_scenes/coco/val --evaluate
"""

import argparse
from pathlib import Path

import mmengine

from snndense.engine import preflight
from snndense.studies import report
from snndense.utils import cli

PAGE = 'index.html'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'test')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--images',
        help='file, folder or quoted pattern (default: the test data of the config)',
    )
    parser.add_argument(
        '--num-images',
        type=int,
        default=20,
        help='images for energy and firing rates (default: %(default)s)',
    )
    parser.add_argument(
        '--num-erf-images',
        type=int,
        default=10,
        help='images for receptive fields (default: %(default)s)',
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        help='layers of the backbone for receptive fields (default: the stages of a '
        'spiking backbone)',
    )
    accuracy = parser.add_mutually_exclusive_group()
    accuracy.add_argument(
        '--evaluate', action='store_true', help='measure the accuracy on the test data'
    )
    accuracy.add_argument(
        '--metrics',
        type=Path,
        help='accuracy from a file that tools/test.py --out-item metrics wrote',
    )
    cli.add_device(parser, default='cpu')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/report'),
        help=f'folder of {PAGE}, which is replaced (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with cli.short_errors(), cli.named_image_errors():
        cfg = cli.read_config(args.config, args.cfg_options)
        metrics = None
        if args.metrics is not None:
            if not args.metrics.is_file():
                raise FileNotFoundError(f'there is no file {args.metrics}')
            metrics = mmengine.load(args.metrics)
        if args.evaluate:
            preflight.check_run(cfg, ('test',), args.checkpoint)
            metrics = report.evaluate(cfg, args.checkpoint)
        settings = report.Settings(
            config=args.config,
            cfg=cfg,
            checkpoint=args.checkpoint,
            cfg_options=args.cfg_options or {},
            images=args.images,
            num_images=args.num_images,
            num_erf_images=args.num_erf_images,
            layers=args.layers,
            metrics=metrics,
            device=args.device,
        )
        page = report.build_page(settings)
        path = args.out / PAGE
        page.write(path)
    print(f'the report is in {path}')


if __name__ == '__main__':
    main()
