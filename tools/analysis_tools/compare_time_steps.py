"""Integer and binary execution, other time steps and other levels, side by side.

Every row runs the test data of a config with the same weights. The first one is what
the config says; each number of time steps and levels follows on integers and as binary
spikes over T x D steps. Columns:

  vs         the row that it is compared with
  deviation  largest difference of the maps that the heads read, averaged over time, as
             a fraction of their largest value
  equal      share of equal predictions: images of the same class, pixels of the same
             label, boxes of the same label and place
  the rest   metrics of the config's own evaluator

Examples:

  python tools/analysis_tools/compare_time_steps.py CONFIG CHECKPOINT --num-images 500
  python tools/analysis_tools/compare_time_steps.py CONFIG CHECKPOINT \\
      --time-steps 2 4 --levels 2 8 --out steps.json
"""

import argparse
from dataclasses import asdict

import mmengine
from mmengine.device import get_device

from snndense.studies.step_comparison import StepResult, compare_steps
from snndense.utils import cli
from snndense.utils.files import complete_file
from snndense.utils.tables import format_table

# what a table shows of an evaluator that reports many; --out holds them all
MAIN_METRICS = ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'mIoU', 'aAcc', 'top1', 'top5')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'test')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--time-steps',
        type=int,
        nargs='+',
        default=(),
        metavar='T',
        help='other numbers of time steps',
    )
    parser.add_argument(
        '--levels',
        type=int,
        nargs='+',
        default=(),
        metavar='D',
        help='other numbers of levels of the integer neurons',
    )
    parser.add_argument(
        '--num-images', type=int, metavar='N', help='images to test (default: all)'
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images per batch (default: 1)'
    )
    cli.add_device(parser)
    parser.add_argument('--out', metavar='FILE', help='write all numbers as .json')
    args = parser.parse_args()
    if args.out is not None and not args.out.endswith('.json'):
        parser.error(f'expected --out to end with .json, but got {args.out}')
    return args


def table(results: list[StepResult]) -> str:
    names = list(results[0].metrics)
    main = [name for name in names if name.rpartition('/')[2] in MAIN_METRICS]
    names = main or names
    header = ('execution', 'row', 'vs', 'deviation', 'equal', *names)
    rows = []
    for index, result in enumerate(results):
        metrics = (f'{result.metrics[name]:.4g}' for name in names)
        agreement = (
            (f'{result.reference}', f'{result.deviation:.1e}', f'{result.equal:.2%}')
            if index
            else ('', '', '')
        )
        rows.append((str(result.steps), str(index), *agreement, *metrics))
    return format_table(header, rows)


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        results = compare_steps(
            cli.read_config(args.config, args.cfg_options),
            args.checkpoint,
            time_steps=args.time_steps,
            levels=args.levels,
            num_images=args.num_images,
            batch_size=args.batch_size,
            device=args.device or get_device(),
        )
        print(table(results))
        if args.out is not None:
            with complete_file(args.out) as path:
                mmengine.dump([asdict(result) for result in results], path)
            print(f'All numbers are in {args.out}')


if __name__ == '__main__':
    main()
