"""Train variants of a model with several seeds at one budget, and compare them."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from snndense.studies import ablation, ablation_report, job_queue
from snndense.utils import cli

TOOLS = Path(__file__).parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f'{__doc__} Prints a table of means and standard deviations, and '
        'writes them to results.json when all runs are finished. The same command '
        'goes on where an interrupted one was.'
    )
    parser.add_argument(
        'experiments',
        type=Path,
        nargs='+',
        metavar='EXPERIMENT',
        help='experiment files, such as those in configs/ablations',
    )
    cli.add_seeds(parser)
    parser.add_argument(
        '--jobs', type=int, default=1, help='runs at a time (default: %(default)s)'
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=1,
        help='CPU threads of each (default: %(default)s)',
    )
    parser.add_argument(
        '--device',
        choices=job_queue.DEVICES,
        default='auto',
        help='where to train; runs share the GPUs (default: a GPU if there is one)',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of the results of one experiment (default: work_dirs/ablation/ '
        'and its name)',
    )
    parser.add_argument(
        '--report', action='store_true', help='train nothing, report what is finished'
    )
    cli.add_cfg_options(parser, 'in every variant', 'train_cfg.max_epochs=1')
    args = parser.parse_args()
    if args.work_dir is not None and len(args.experiments) > 1:
        parser.error('--work-dir is that of one experiment, but several are given')
    return args


@dataclass(frozen=True)
class Plan:
    """An experiment, its runs, and where they are."""

    experiment: ablation.Experiment
    runs: list[ablation.Run]
    work_dir: Path


def plan(path: Path, args: argparse.Namespace) -> Plan:
    experiment = ablation.read_experiment(path, args.cfg_options)
    work_dir = args.work_dir or Path('work_dirs/ablation', experiment.name)
    try:
        runs = ablation.plan_runs(experiment, args.seeds, work_dir)
    except FileExistsError as error:
        raise FileExistsError(
            f'{error}; choose another --work-dir or remove that folder'
        ) from None
    if not args.report:
        ablation.check_variants(experiment)
    return Plan(experiment, runs, work_dir)


def train(plan: Plan, args: argparse.Namespace) -> list[ablation.Run]:
    with cli.short_errors():
        environments = job_queue.job_environments(args.jobs, args.threads, args.device)
        try:
            with job_queue.termination_as_interrupt():
                return ablation.train_runs(
                    plan.experiment,
                    plan.runs,
                    plan.work_dir,
                    environments,
                    train=(sys.executable, str(TOOLS / 'train.py')),
                    test=(sys.executable, str(TOOLS / 'test.py')),
                )
        except KeyboardInterrupt:
            raise SystemExit(
                '\ninterrupted; the same command goes on from here'
            ) from None


def report(plan: Plan) -> None:
    """Print a table, and write it if all is finished."""
    summary = ablation_report.summarize(plan.experiment, plan.runs)
    print(f'\n{ablation_report.summary_table(summary)}\n')
    seeds = dict.fromkeys(str(run.seed) for run in plan.runs)
    print(f'mean ± standard deviation over the seeds {", ".join(seeds)}')
    unfinished = [run for run in plan.runs if run.result() is None]
    if unfinished:
        print('not finished: ' + '; '.join(map(str, unfinished)))
        return
    path = plan.work_dir / 'results.json'
    ablation_report.write_results(summary, path)
    print(f'written to {path}')


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        plans = [plan(path, args) for path in args.experiments]
    failed = []
    for each in plans:
        if len(plans) > 1:
            print(f'\n{each.experiment.name}', flush=True)
        failed += [] if args.report else train(each, args)
        report(each)
    if failed:
        raise SystemExit('the same command tries them again')


if __name__ == '__main__':
    main()
