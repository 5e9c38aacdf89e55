"""Time per image, images per second and peak memory of models, side by side.

The backbone (or, with --part model, the whole model) of every config runs in a
process of its own on random input; the processes take turns, so that the ratios
hold on a busy machine too. Examples:

  # one detector's backbone, evaluation, on the CPU
  python tools/analysis_tools/benchmark.py configs/det/meta_sdt_srb_coco.py \\
      --shape 800 1344

  # two configs on a GPU, training with mixed precision
  python tools/analysis_tools/benchmark.py A.py --vs B.py --shape 512 512 \\
      --batch-size 4 --train --amp --device cuda:0

  # against another way to compute the same: a file with patch(model)
  python tools/analysis_tools/benchmark.py configs/det/meta_sdt_srb_coco.py \\
      --shape 800 1344 --vs tests/reference/quadratic_attention.py
"""

import argparse
import sys

import torch
from mmengine.utils import ProgressBar

from snndense.studies.benchmark import (
    Measurement,
    defines_patch,
    measure,
    num_steps,
)
from snndense.studies.benchmark_worker import PARTS, Contender, Workload
from snndense.utils import cli
from snndense.utils.tables import format_table

HEADER = ('contender', 'ms/image', 'min', 'images/s', 'peak MiB', 'time', 'memory')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files')
    parser.add_argument(
        '--vs',
        metavar='FILE',
        help='one more contender: another config, or a Python file whose '
        'patch(model) turns the first config into a reference',
    )
    cli.add_shape(parser, '512 512', default=(512, 512))
    parser.add_argument(
        '--batch-size', '--batch', type=int, default=1, help='images per step'
    )
    parser.add_argument(
        '--train',
        action='store_true',
        help='forward and backward in training mode instead of evaluation',
    )
    cli.add_device(parser, default='cpu')
    parser.add_argument(
        '--part',
        choices=PARTS,
        default='backbone',
        help="'model' adds neck, heads, losses and post-processing",
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 on CUDA, bfloat16 on the CPU',
    )
    parser.add_argument(
        '--fuse-conv-bn',
        action='store_true',
        help='fold batch norms into convolutions (evaluation only)',
    )
    parser.add_argument(
        '--repeat', type=int, default=5, help='measured steps (default: 5)'
    )
    parser.add_argument(
        '--warmup', type=int, default=2, help='steps before them (default: 2)'
    )
    cli.add_cfg_options(parser, 'of every config', 'model.backbone.with_cp=True')
    return parser.parse_args()


def gather(args: argparse.Namespace) -> list[Contender]:
    options = args.cfg_options or {}
    contenders = [Contender(path, cfg_options=options) for path in args.configs]
    if args.vs is None:
        return contenders
    other = Contender(args.vs, cfg_options=options)
    if defines_patch(args.vs):
        other = Contender(args.configs[0], args.vs, options)
    return [*contenders, other]


def heading(args: argparse.Namespace) -> str:
    mode = 'training' if args.train else 'evaluation'
    height, width = args.shape
    where = args.device
    if where == 'cpu':
        where += f' ({torch.get_num_threads()} threads)'
    return (
        f'{args.part}, {mode}, {args.batch_size} x {height} x {width}, {where}, '
        f'amp={args.amp}, torch {torch.__version__}'
    )


def table(measurements: list[Measurement], batch_size: int) -> str:
    first = measurements[0]
    rows = []
    for entry in measurements:
        memory = entry.times_memory(first)
        peak = entry.peak_bytes
        rows.append(
            (
                entry.name,
                f'{entry.median / batch_size * 1e3:.1f}',
                f'{min(entry.seconds) / batch_size * 1e3:.1f}',
                f'{batch_size / entry.median:.2f}',
                '-' if peak is None else f'{peak / 2**20:.0f}',
                f'{entry.times_slower(first):.2f}x',
                '-' if memory is None else f'{memory:.2f}x',
            )
        )
    return format_table(HEADER, rows)


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        workload = Workload(
            shape=tuple(args.shape),
            batch_size=args.batch_size,
            train=args.train,
            device=args.device,
            amp=args.amp,
            part=args.part,
            fuse_conv_bn=args.fuse_conv_bn,
        )
        contenders = gather(args)
        print(heading(args))
        steps = num_steps(len(contenders), args.repeat, args.warmup)
        progress = ProgressBar(steps, file=sys.stderr)
        measurements = measure(
            contenders,
            workload,
            repeat=args.repeat,
            warmup=args.warmup,
            on_step=progress.update,
        )
    print(file=sys.stderr)
    print(table(measurements, args.batch_size))
    print(
        'ms/image: median and least of the steps; peak: on top of the model and its '
        f'input; time, memory: over those of {measurements[0].name}'
    )


if __name__ == '__main__':
    main()
