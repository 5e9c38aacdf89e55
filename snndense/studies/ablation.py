"""Train variants of a model with several seeds at one budget, and compare them."""

import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from snndense.analysis.macs import num_params
from snndense.engine import preflight
from snndense.engine.resume import find_resumable
from snndense.engine.run_config import different_keys
from snndense.engine.scalars import read_scalars
from snndense.utils.cli import read_config
from snndense.utils.files import complete_file
from snndense.version import __version__

from .job_queue import Processes, only_one, work_off

LOG_LINES = 15  # shown of a failed run


@dataclass(frozen=True)
class Variant:
    """One of the models that are compared.

    Args:
        config (str): The config that it is made from.
        cfg_options (dict): What it changes there.
        cfg (Config): The outcome.
    """

    config: str
    cfg_options: dict
    cfg: Config

    def num_parameters(self) -> int:
        with torch.device('meta'):
            return num_params(preflight.build_model(self.cfg))


@dataclass(frozen=True)
class Experiment:
    """Variants and what is compared.

    Args:
        name (str): Name of the experiment file.
        metrics (dict[str, str]): Names for the table, and those in the log.
        variants (dict[str, Variant]): By name.
    """

    name: str
    metrics: dict[str, str]
    variants: dict[str, Variant]


@dataclass(frozen=True)
class Run:
    """One training: a variant and a seed.

    Args:
        variant (str): Name of the variant.
        seed (int): Seed.
        cfg (Config): The config with that seed.
        folder (Path): Its work directory. Beside it are, with the same name, the
            config (``.py``), the output (``.log``) and the result (``.json``).
    """

    variant: str
    seed: int
    cfg: Config
    folder: Path

    def __str__(self) -> str:
        return f'{self.variant}, seed {self.seed}'

    def beside(self, suffix: str) -> Path:
        return self.folder.with_name(self.folder.name + suffix)

    def result(self) -> dict | None:
        """What was measured; None if the run is not finished."""
        path = self.beside('.json')
        return json.loads(path.read_text()) if path.exists() else None


def read_experiment(path: str | Path, cfg_options: dict | None = None) -> Experiment:
    """Read an experiment file.

    It is a config with ``metrics``, a dict of names for the table and the names that
    they have in the log, and ``variants``, a dict of names and
    ``dict(config=..., cfg_options=...)``. ``config`` is relative to the file; one
    beside ``variants`` is that of all which name none. ``cfg_options`` override
    settings as the tools' ``--cfg-options`` do, nested or with dotted keys; those
    beside ``variants``, such as the budget, act on all before their own.

    Args:
        path (str | Path): The file.
        cfg_options (dict, optional): Overrides settings in every variant.

    Raises:
        FileNotFoundError: If a config is missing.
        ValueError: If ``metrics`` or ``variants`` is missing or malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no experiment {path}')
    experiment = Config.fromfile(path)
    for key in ('metrics', 'variants'):
        if not isinstance(experiment.get(key), dict) or not experiment[key]:
            raise ValueError(
                f'expected {path} to have {key}=dict(...), but got '
                f'{experiment.get(key)!r}'
            )
    variants = {}
    for name, entry in experiment.variants.items():
        if not re.fullmatch(r'[\w.-]+', name):
            raise ValueError(
                f'the name of a variant is that of a folder: expected letters, digits '
                f'and any of _.-, but got {name!r} in {path}'
            )
        known = isinstance(entry, dict) and set(entry) <= {'config', 'cfg_options'}
        config = known and entry.get('config', experiment.get('config'))
        if not config:
            raise ValueError(
                f'expected variant {name!r} of {path} to be dict(config=..., '
                f'cfg_options=...), or config= beside variants, but got {entry}'
            )
        config = str(path.parent / config)
        options = dict(entry.get('cfg_options') or {})
        cfg = read_config(config, dict(experiment.get('cfg_options') or {}))
        for overrides in (options, cfg_options or {}):
            cfg.merge_from_dict(overrides)
        variants[name] = Variant(config, options, cfg)
    return Experiment(path.stem, dict(experiment.metrics), variants)


def plan_runs(
    experiment: Experiment, seeds: Sequence[int], work_dir: str | Path
) -> list[Run]:
    """All runs of an experiment, seed by seed.

    Raises:
        ValueError: If a seed is given twice.
        FileExistsError: If the work directory holds runs of other settings.
    """
    if len(set(seeds)) != len(seeds):
        raise ValueError(f'expected different seeds, but got {seeds=}')
    runs = []
    for seed in seeds:
        for name, variant in experiment.variants.items():
            cfg = Config(variant.cfg.to_dict(), filename=variant.cfg.filename)
            cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
            run = Run(name, seed, cfg, Path(work_dir, name, f'seed_{seed}'))
            written = run.beside('.py')
            different = different_keys(cfg, written) if written.exists() else []
            if different:
                raise FileExistsError(
                    f'{work_dir} holds runs of other settings: the config '
                    f'{written} differs in {", ".join(different)}'
                )
            runs.append(run)
    return runs


def check_variants(experiment: Experiment) -> None:
    """Check data and model of every variant before anything is trained.

    Raises:
        FileNotFoundError, TypeError, ValueError: Naming the variant, and as
            :func:`~snndense.engine.preflight.check_run`.
    """
    for name, variant in experiment.variants.items():
        try:
            preflight.check_run(
                variant.cfg, ('train', 'val', 'test'), variant.cfg.get('load_from')
            )
        except (FileNotFoundError, TypeError, ValueError) as error:
            raise type(error)(f'variant {name} ({variant.config}): {error}') from error


class Trainer:
    """Trains the runs of an experiment in processes of their own.

    Args:
        experiment (Experiment): What is compared.
        train (Sequence[str]): Command that trains a config, as ``tools/train.py``.
        test (Sequence[str]): Command that tests it, as ``tools/test.py``; for runs
            that were killed between their last checkpoint and its evaluation.
        processes (Processes): Where they run.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        train: Sequence[str],
        test: Sequence[str],
        processes: Processes,
    ) -> None:
        self.experiment = experiment
        self.processes = processes
        self._train, self._test = train, test

    def __call__(self, run: Run, environment: dict[str, str]) -> dict:
        """Train a run, or go on with it, and write its result.

        Raises:
            RuntimeError: With the end of its output, if it fails.
        """
        started = time.monotonic()
        config, resumed = run.beside('.py'), run.folder.exists()
        with complete_file(config) as path:
            run.cfg.dump(path)
        print(f'started   {run}: {run.beside(".log")}', flush=True)
        work_dir = ('--work-dir', str(run.folder))
        self._call(run, environment, *self._train, str(config), *work_dir, '--resume')
        metrics = self._final_metrics(run, environment)
        result = dict(
            variant=run.variant,
            seed=run.seed,
            metrics=metrics,
            # of an interrupted run, the time of its parts is not known
            seconds=None if resumed else round(time.monotonic() - started, 1),
            device='cpu' if environment['CUDA_VISIBLE_DEVICES'] == '-1' else 'cuda',
            torch=torch.__version__,
            snndense=__version__,
        )
        with complete_file(run.beside('.json')) as path:
            path.write_text(json.dumps(result, indent=1))
        return result

    def _final_metrics(self, run: Run, environment: dict[str, str]) -> dict:
        limits = run.cfg.train_cfg
        last = limits.get('max_epochs') or limits.get('max_iters')
        record = read_scalars(run.folder)[1].get(last)
        if record is None:
            cfg = Config(dict(run.cfg.to_dict(), work_dir=str(run.folder)))
            out = run.folder / 'metrics.json'
            command = (*self._test, str(run.beside('.py')), str(find_resumable(cfg)))
            command += ('--work-dir', str(run.folder))
            command += ('--out', str(out), '--out-item', 'metrics')
            self._call(run, environment, *command)
            record = json.loads(out.read_text())
        absent = set(self.experiment.metrics.values()) - set(record)
        if absent:
            raise RuntimeError(
                f'{run} measured no {", ".join(sorted(absent))}; it measured '
                f'{", ".join(sorted(record))}'
            )
        return {key: record[key] for key in self.experiment.metrics.values()}

    def _call(self, run: Run, environment: dict[str, str], *command: str) -> None:
        log = run.beside('.log')
        status = self.processes.run(command, log, environment)
        if status:
            lines = log.read_text(errors='replace').splitlines()[-LOG_LINES:]
            end = '\n'.join(f'    {line}' for line in lines)
            raise RuntimeError(
                f'{run} failed (exit status {status}); the end of {log}:\n{end}'
            )


class Progress:
    """Prints what became of every run.

    Args:
        experiment (Experiment): What is compared.
        total (int): Number of runs.
        done (int): Those that are finished.

    Attributes:
        failed (list[Run]): Runs that ended with an error.
    """

    def __init__(self, experiment: Experiment, total: int, done: int) -> None:
        self.experiment = experiment
        self.total, self.done = total, done
        self.failed: list[Run] = []

    def __call__(self, run: Run, future: Future) -> None:
        try:
            result = future.result()
        except (RuntimeError, OSError, ValueError) as error:
            self.failed.append(run)
            print(f'FAILED    {error}', flush=True)
            return
        self.done += 1
        values = ', '.join(
            f'{name} {result["metrics"][key]:.4g}'
            for name, key in self.experiment.metrics.items()
        )
        time_taken = f' ({result["seconds"]:.0f} s)' if result['seconds'] else ''
        count = f'[{self.done}/{self.total}]'
        print(f'finished  {run}{time_taken}: {values}  {count}', flush=True)


def train_runs(
    experiment: Experiment,
    runs: Sequence[Run],
    work_dir: str | Path,
    environments: Sequence[dict[str, str]],
    *,
    train: Sequence[str],
    test: Sequence[str],
) -> list[Run]:
    """Train all runs that are not finished, side by side.

    Args:
        experiment (Experiment): What is compared.
        runs (Sequence[Run]): Of :func:`plan_runs`.
        work_dir (str | Path): Their common folder.
        environments (Sequence[dict]): Of
            :func:`~snndense.studies.job_queue.job_environments`.
        train, test: See :class:`Trainer`.

    Returns:
        list[Run]: Those that failed; what happened to them is printed.

    Raises:
        ValueError: If other processes train in that folder.
    """
    with only_one(Path(work_dir)) as descriptor:
        todo = [run for run in runs if run.result() is None]
        progress = Progress(experiment, len(runs), len(runs) - len(todo))
        print(
            f'{len(runs)} runs, {progress.done} of them finished before; '
            f'{min(len(environments), len(todo))} at a time',
            flush=True,
        )
        processes = Processes((descriptor,))
        trainer = Trainer(experiment, train=train, test=test, processes=processes)
        work_off(todo, trainer, progress, environments, processes)
    return progress.failed
