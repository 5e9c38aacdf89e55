"""Measure how often the neurons of a model fire, layer by layer and step by step.

The model runs in evaluation on images of a folder, or on the test data of its config.
For every layer of neurons: the rate of its D * T binary steps, how many neurons never
fire (silent) or always (saturated), and the shares of the spike counts 0 to D; with
--out also those of every step. Examples:

  python tools/analysis_tools/get_firing_rate.py CONFIG CHECKPOINT \\
      --out work_dirs/firing
  python tools/analysis_tools/get_firing_rate.py CONFIG CHECKPOINT --images my_photos/
"""

import argparse
import json
import sys
from pathlib import Path

from mmengine.utils import ProgressBar

from snndense.analysis.firing import (
    FiringReport,
    write_firing_csv,
    write_steps_csv,
)
from snndense.analysis.firing_meter import measure_firing
from snndense.analysis.firing_plots import plot_firing
from snndense.studies.measuring import prepare
from snndense.utils import cli
from snndense.utils.files import complete_file
from snndense.utils.tables import format_table, listed

HEADER = ('layer', 'neuron', 'T x D', 'rate', 'active', 'silent', 'saturated')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'test')
    cli.add_measurement(parser)
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='write firing.csv, firing_steps.csv, firing.json and firing.png to this '
        'folder',
    )
    return parser.parse_args()


def print_report(report: FiringReport) -> None:
    def share(value: float | None) -> str:
        return '-' if value is None else f'{value:.4f}'

    rows = [
        (
            layer.name,
            layer.kind,
            f'{layer.time_steps} x {layer.levels}',
            share(layer.firing_rate),
            share(layer.active_share),
            share(layer.silent_share),
            share(layer.saturated_share),
        )
        for layer in report.layers
    ]
    print(format_table(HEADER, rows), end='\n\n')
    print(
        f'firing rate {report.firing_rate:.4f} of all neurons, '
        f'{report.mean_layer_rate:.4f} as the mean of the layers; '
        f'{report.num_images} images'
    )
    dead = report.dead_layers()
    if dead:
        print(f'{len(dead)} layers never fired: {listed(dead)}')


def write_report(report: FiringReport, folder: Path) -> None:
    write_firing_csv(report, folder / 'firing.csv')
    write_steps_csv(report, folder / 'firing_steps.csv')
    with complete_file(folder / 'firing.json') as path:
        path.write_text(json.dumps(report.as_dict(), indent=2))
    with complete_file(folder / 'firing.png') as path:
        plot_firing(report).savefig(path, dpi=150)
    print(f'The results are in {folder}')


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        cfg = cli.read_config(args.config, args.cfg_options)
        model, batches = prepare(cfg, **cli.read_measurement(args))
    progress = ProgressBar(len(batches), file=sys.stderr)
    with cli.short_errors(), cli.named_image_errors():
        report = measure_firing(model, batches, on_batch=progress.update)
        print(file=sys.stderr)
        print_report(report)
        if args.out is not None:
            write_report(report, args.out)


if __name__ == '__main__':
    main()
