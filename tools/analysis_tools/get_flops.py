"""Count the parameters and multiply-accumulates (MACs) of a model, part by part.

MACs, not FLOPs: a multiplication and the addition after it are one. They are those of
one time step, what the same network without spikes computes for one picture; a spiking
network adds only where spikes are, see get_energy.py. Examples:

  python tools/analysis_tools/get_flops.py configs/det/meta_sdt_srb_coco.py
  python tools/analysis_tools/get_flops.py CONFIG --shape 512 512 --part backbone \\
      --layers --out macs.csv
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import ProgressBar

from snndense.analysis.macs import MacReport, batch_macs, model_macs
from snndense.studies.measuring import default_shape, get_backbone, load_model, prepare
from snndense.utils import cli
from snndense.utils.files import complete_file
from snndense.utils.tables import format_count, format_table, write_csv

SUFFIXES = ('.json', '.csv')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'model')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='SIZE',
        help='height and width of the picture, or one number for both (default: what '
        'the test pipeline of the config makes)',
    )
    parser.add_argument(
        '--num-images',
        type=int,
        metavar='N',
        help='count for the sizes of the first N test images of the config instead, '
        'and average',
    )
    cli.add_part(parser)
    parser.add_argument('--layers', action='store_true', help='list every layer too')
    parser.add_argument('--out', help='write every layer to this .json or .csv file')
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    if args.shape is not None and len(args.shape) > 2:
        raise ValueError(f'expected --shape H W or --shape SIZE, but got {args.shape}')
    if args.shape is not None and args.num_images is not None:
        raise ValueError('--shape and --num-images exclude each other')
    if args.out is not None and Path(args.out).suffix not in SUFFIXES:
        raise ValueError(f'expected --out to end with {SUFFIXES}, but got {args.out}')


def print_report(report: MacReport, with_layers: bool) -> None:
    if with_layers:
        rows = [(x.name, x.operator, format_count(x.macs)) for x in report.layers]
        print(format_table(('layer', 'operator', 'MACs'), rows), end='\n\n')
    rows = [
        (stage, format_count(macs), f'{macs / report.macs:.1%}')
        for stage, macs in report.stages().items()
    ]
    print(format_table(('part', 'MACs', 'share'), rows), end='\n\n')
    print(f'input shape     {report.input_shape}')
    print(f'parameters      {format_count(report.params)}')
    print(f'MACs            {format_count(report.macs)}, of one time step')
    if report.time_steps > 1:
        print(f'time steps      {report.time_steps}, in the config')
    for operator, calls in report.uncounted.items():
        print(f'not counted: {operator}, {calls} calls')


def count(cfg: Config, args: argparse.Namespace) -> list[MacReport]:
    """Reports of the images to count for; of one image, if it is made up."""
    if args.num_images is not None:
        model, batches = prepare(
            cfg, part=args.part, num_images=args.num_images, device='cpu'
        )
        progress = ProgressBar(len(batches), file=sys.stderr)
        reports = batch_macs(model, batches, on_batch=progress.update)
        print(file=sys.stderr)
        return reports
    model = load_model(cfg)
    shape = args.shape or default_shape(cfg)
    if args.part == 'backbone' and hasattr(model, 'data_preprocessor'):
        model = get_backbone(model)
    # a config may have a bare backbone in place of a whole model
    is_whole = hasattr(model, 'data_preprocessor')
    scope = cfg.default_scope if is_whole else None
    return [model_macs(model, (shape[0], shape[-1]), scope=scope)]


def print_mean(reports: list[MacReport]) -> None:
    macs = [report.macs for report in reports]
    print(
        f'mean            {format_count(sum(macs) / len(macs))} of {len(macs)} images, '
        f'from {format_count(min(macs))} to {format_count(max(macs))}; above, the most '
        'frequent size'
    )


def write_report(report: MacReport, path: str) -> None:
    if Path(path).suffix == '.json':
        with complete_file(path) as temporary:
            temporary.write_text(json.dumps(report.as_dict(), indent=2))
    else:
        write_csv(path, report.as_dict()['layers'])
    print(f'Every layer is in {path}')


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        check_args(args)
        cfg = cli.read_config(args.config, args.cfg_options)
        reports = count(cfg, args)
        shapes = Counter(report.input_shape for report in reports)
        common = shapes.most_common(1)[0][0]
        report = next(x for x in reports if x.input_shape == common)
        print_report(report, args.layers)
        if len(reports) > 1:
            print_mean(reports)
        if args.out is not None:
            write_report(report, args.out)


if __name__ == '__main__':
    main()
