"""Train variants of a model with several seeds at one budget, and compare them."""

import argparse
import sys
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
        'experiment',
        type=Path,
        help='experiment file, such as those in configs/ablations',
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
        help='folder of the results (default: work_dirs/ablation/ and the name of '
        'the experiment)',
    )
    parser.add_argument(
        '--report', action='store_true', help='train nothing, report what is finished'
    )
    cli.add_cfg_options(parser, 'in every variant', 'train_cfg.max_epochs=1')
    args = parser.parse_args()
    if args.work_dir is None:
        args.work_dir = Path('work_dirs/ablation', args.experiment.stem)
    return args


def train(
    experiment: ablation.Experiment, runs: list[ablation.Run], args: argparse.Namespace
) -> list[ablation.Run]:
    with cli.short_errors():
        environments = job_queue.job_environments(args.jobs, args.threads, args.device)
        ablation.check_variants(experiment)
        try:
            with job_queue.termination_as_interrupt():
                return ablation.train_runs(
                    experiment,
                    runs,
                    args.work_dir,
                    environments,
                    train=(sys.executable, str(TOOLS / 'train.py')),
                    test=(sys.executable, str(TOOLS / 'test.py')),
                )
        except KeyboardInterrupt:
            raise SystemExit(
                '\ninterrupted; the same command goes on from here'
            ) from None


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        experiment = ablation.read_experiment(args.experiment, args.cfg_options)
        try:
            runs = ablation.plan_runs(experiment, args.seeds, args.work_dir)
        except FileExistsError as error:
            raise FileExistsError(
                f'{error}; choose another --work-dir or remove that folder'
            ) from None
    failed = [] if args.report else train(experiment, runs, args)
    unfinished = [run for run in runs if run.result() is None]
    summary = ablation_report.summarize(experiment, runs)
    print(f'\n{ablation_report.summary_table(summary)}\n')
    print(f'mean ± standard deviation over the seeds {", ".join(map(str, args.seeds))}')
    if not unfinished:
        path = args.work_dir / 'results.json'
        ablation_report.write_results(summary, path)
        print(f'written to {path}')
        return
    print('not finished: ' + '; '.join(map(str, unfinished)))
    if failed:
        raise SystemExit('the same command tries them again')


if __name__ == '__main__':
    main()
