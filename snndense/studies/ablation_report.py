"""Means and spreads of the runs of an experiment, as a table and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from snndense.utils.files import complete_file
from snndense.utils.tables import format_mean_std, markdown_table, mean_std

from .ablation import Experiment, Run


def summarize(experiment: Experiment, runs: Sequence[Run]) -> dict:
    """What the finished runs measured.

    Args:
        experiment (Experiment): What is compared.
        runs (Sequence[Run]): Of :func:`~snndense.studies.ablation.plan_runs`.

    Returns:
        dict: ``experiment``, ``metrics`` (names and what they are in the log), and
        ``variants``: of each its ``config``, ``cfg_options``, ``parameters``,
        ``runs`` (see :meth:`~snndense.studies.ablation.Run.result`), and the ``mean``
        and sample standard deviation ``std`` of every metric over them; None for
        those of too few runs.
    """
    variants = {}
    for name, variant in experiment.variants.items():
        results = [run.result() for run in runs if run.variant == name]
        results = [result for result in results if result is not None]
        mean, std = {}, {}
        for metric, key in experiment.metrics.items():
            values = [result['metrics'][key] for result in results]
            mean[metric], std[metric] = mean_std(values)
        variants[name] = dict(
            config=variant.config,
            cfg_options=variant.cfg_options,
            parameters=variant.num_parameters(),
            runs=results,
            mean=mean,
            std=std,
        )
    return dict(
        experiment=experiment.name, metrics=experiment.metrics, variants=variants
    )


def summary_table(summary: dict) -> str:
    """A Markdown table of a summary: mean ± standard deviation, a row per variant.

    Args:
        summary (dict): Of :func:`summarize`.
    """
    names = list(summary['metrics'])
    variants = summary['variants'].values()
    decimals = {}
    for name in names:
        means = [variant['mean'][name] for variant in variants]
        # fractions as mmdet has them, or percentages as mmseg and mmpretrain
        is_fraction = all(mean is None or abs(mean) <= 1 for mean in means)
        decimals[name] = 3 if is_fraction else 2
    rows = []
    for variant, entry in summary['variants'].items():
        cells = (
            format_mean_std(entry['mean'][name], entry['std'][name], decimals[name])
            for name in names
        )
        parameters = f'{entry["parameters"] / 1e6:.3f}'
        rows.append((variant, *cells, str(len(entry['runs'])), parameters))
    return markdown_table(('variant', *names, 'runs', 'parameters (M)'), rows)


def write_results(summary: dict, path: str | Path) -> None:
    """Write a summary as JSON; the file is complete or absent."""
    with complete_file(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=1))
