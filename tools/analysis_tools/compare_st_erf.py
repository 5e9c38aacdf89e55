"""Receptive fields of the variants of experiments, over seeds: a figure and a table.

The experiments are those that tools/misc/ablation.py trains. Every variant is
measured untrained, with the first weights of every seed, and trained, where its runs
are finished. The channel mixers of Meta-SDT, with one time step and with four:

  python tools/analysis_tools/compare_st_erf.py \\
      configs/ablations/meta_sdt_digits_det.py \\
      configs/ablations/meta_sdt_t4_digits_det.py --reference conv
"""

import argparse
import json
import sys
from pathlib import Path

from mmengine.utils import ProgressBar

from snndense.studies import erf_models
from snndense.studies.ablation import Experiment, Run, plan_runs, read_experiment
from snndense.studies.erf_comparison import (
    Measured,
    format_tables,
    group_runs,
    last_checkpoint,
    measure_run,
)
from snndense.studies.erf_comparison_plot import LABELS, plot_comparison
from snndense.utils import cli
from snndense.utils.files import complete_file, complete_folder


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'experiments',
        type=Path,
        nargs='+',
        metavar='EXPERIMENT',
        help='experiment files, such as those in configs/ablations',
    )
    parser.add_argument(
        '--runs',
        type=Path,
        default=Path('work_dirs/ablation'),
        help='folder with a folder of runs per experiment (default: %(default)s)',
    )
    cli.add_seeds(parser)
    parser.add_argument(
        '--layers',
        nargs='+',
        default=['stages.0', 'stages.1', 'stages.2'],
        help='layers of the backbones (default: the early stages, stages.0 to 2)',
    )
    cli.add_field_images(parser, erf_models.DATASET, 'those of the first')
    parser.add_argument(
        '--reference',
        help='variant that the others are compared with (default: the first)',
    )
    parser.add_argument(
        '--statistic',
        choices=LABELS,
        default='area_90',
        help='what is compared (default: %(default)s, the share of the pixels that, '
        'strongest first, hold 90%% of the field)',
    )
    cli.add_device(parser, default='cpu')
    cli.add_cfg_options(parser, 'in every variant', 'model.backbone.time_steps=4')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/compare_st_erf'),
        help='new or empty folder (default: %(default)s)',
    )
    return parser.parse_args()


Job = tuple[Experiment, Run, str]


def plan(args: argparse.Namespace) -> list[Job]:
    """Everything to measure; names the runs that are not trained."""
    jobs, missing = [], []
    for path in args.experiments:
        experiment = read_experiment(path, args.cfg_options)
        reference = args.reference or next(iter(experiment.variants))
        if reference not in experiment.variants:
            raise ValueError(
                f'expected --reference to be one of {tuple(experiment.variants)}, the '
                f'variants of {path}, but got {reference!r}'
            )
        try:
            runs = plan_runs(experiment, args.seeds, args.runs / experiment.name)
        except FileExistsError as error:
            raise FileExistsError(
                f'{error}; choose other --runs, or give the --cfg-options that they '
                'were trained with'
            ) from None
        jobs += [(experiment, run, 'untrained') for run in runs]
        trained = [run for run in runs if last_checkpoint(run) is not None]
        if len(trained) == len(runs):
            jobs += [(experiment, run, 'trained') for run in runs]
        else:
            missing.append(f'{experiment.name}: {len(trained)} of {len(runs)} runs')
    for line in missing:
        print(f'not trained, and so not measured after training: {line}')
    if missing:
        print('tools/misc/ablation.py with the same EXPERIMENTs trains them')
    return jobs


def measure(jobs: list[Job], args: argparse.Namespace) -> list[Measured]:
    cfg = jobs[0][1].cfg
    model = erf_models.build_for_erf(cfg, device=args.device)
    images = erf_models.read_images(
        cfg, model, args.images, num_images=args.num_images, shape=args.shape
    )
    progress = ProgressBar(len(jobs), file=sys.stderr)
    measured = []
    for job in jobs:
        found = measure_run(*job, images, layers=args.layers, device=args.device)
        measured.append(found)
        progress.update()
    print(file=sys.stderr)
    return measured


def main() -> None:
    args = parse_args()
    with (
        cli.short_errors(),
        cli.named_image_errors(),
        complete_folder(args.out) as folder,
    ):
        jobs = plan(args)
        conditions = group_runs(measured := measure(jobs, args))
        experiments = {experiment.name: experiment for experiment, _, _ in jobs}
        sizes = {
            name: {k: v.num_parameters() for k, v in experiment.variants.items()}
            for name, experiment in experiments.items()
        }
        reference = args.reference or next(iter(next(iter(sizes.values()))))
        tables = format_tables(conditions, reference, args.statistic, sizes)
        tables += (
            f'\n\n{LABELS[args.statistic]}; mean ± standard deviation over the seeds, '
            f'delays 0 / 1 / ... of {args.num_images} images ({args.images})'
        )
        with complete_file(folder / 'table.md') as path:
            path.write_text(f'{tables}\n')
        with complete_file(folder / 'results.json') as path:
            path.write_text(json.dumps([m.as_dict() for m in measured], indent=1))
        figure = plot_comparison(conditions, args.statistic)
        figure.savefig(folder / 'figure.png', dpi=110)
    print(f'\n{tables}\n\nfigure, table and all statistics are in {args.out}')


if __name__ == '__main__':
    main()
