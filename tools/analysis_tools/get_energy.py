"""Count what a spiking model computes, and price it.

The model runs in evaluation on images of a folder, or on the test data of its config.
Counted are additions that spikes cause (SOPs) and multiply-accumulates of layers that
read real values (MACs), layer by layer; memory traffic is listed apart. Every
assumption is printed with the numbers; docs/energy.md has the formulas. Examples:

  python tools/analysis_tools/get_energy.py CONFIG CHECKPOINT --out work_dirs/energy
  python tools/analysis_tools/get_energy.py CONFIG CHECKPOINT --images my_photos/ \\
      --num-images 20 --table 45nm_int8 --layers
"""

import argparse
import json
import sys
from pathlib import Path

from mmengine.utils import ProgressBar

from snndense.analysis.energy import (
    FIRST_LAYER,
    TABLES,
    EnergyReport,
    get_table,
    measure_energy,
)
from snndense.analysis.energy_report import (
    assumptions,
    energy_text,
    plot_energy,
    write_energy_csv,
)
from snndense.studies.measuring import prepare
from snndense.utils import cli
from snndense.utils.files import complete_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'test')
    cli.add_measurement(parser)
    parser.add_argument(
        '--table',
        default='45nm_fp32',
        help=f'energy of an operation: one of {", ".join(TABLES)}, or a JSON file with '
        'mac_pj, ac_pj and perhaps memory_pj_per_byte (default: %(default)s)',
    )
    parser.add_argument(
        '--first-layer',
        choices=FIRST_LAYER,
        default='once',
        help='layers in front of the first neuron count once per static image, or at '
        'every step (default: %(default)s)',
    )
    parser.add_argument('--layers', action='store_true', help='list every layer too')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='write energy.csv, energy.json and energy.png to this folder',
    )
    return parser.parse_args()


def write_report(report: EnergyReport, folder: Path) -> None:
    write_energy_csv(report, folder / 'energy.csv')
    with complete_file(folder / 'energy.json') as path:
        fields = {**report.as_dict(), 'assumptions': assumptions(report)}
        path.write_text(json.dumps(fields, indent=2))
    with complete_file(folder / 'energy.png') as path:
        plot_energy(report).savefig(path, dpi=150)
    print(f'The results are in {folder}')


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        table = get_table(args.table)
        cfg = cli.read_config(args.config, args.cfg_options)
        model, batches = prepare(cfg, **cli.read_measurement(args))
    progress = ProgressBar(len(batches), file=sys.stderr)
    with cli.short_errors(), cli.named_image_errors():
        report = measure_energy(
            model,
            batches,
            table=table,
            first_layer=args.first_layer,
            on_batch=progress.update,
        )
        print(file=sys.stderr)
        print(energy_text(report, with_layers=args.layers))
        if args.checkpoint is None:
            print('- The weights are random: no checkpoint was given.')
        if args.out is not None:
            write_report(report, args.out)


if __name__ == '__main__':
    main()
