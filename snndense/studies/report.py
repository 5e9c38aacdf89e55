"""Everything that can be measured of one model, for one page."""

import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import ProgressBar
from torch import nn

import snndense
from snndense.analysis import EnergyReport, measure_energy
from snndense.analysis.energy_report import assumptions
from snndense.analysis.firing import FiringReport
from snndense.analysis.st_erf_files import COLUMNS, measure_erf, statistics_rows
from snndense.analysis.stages import stage_namer
from snndense.engine import run_config
from snndense.engine.data_checks import build_datasets
from snndense.utils.collect_env import collect_env
from snndense.utils.tables import format_count

from . import erf_models
from .benchmark import Measurement, measure
from .benchmark_worker import Contender, Workload
from .measuring import data_batches, load_model
from .report_fields import erf_pictures
from .report_page import Bar, Bars, Page, Photos, Section, Table, Tile
from .report_pictures import SCORE_THR, draw_predictions

HEADLINES = {
    'coco/bbox_mAP': 'box AP',
    'coco/segm_mAP': 'mask AP',
    'mIoU': 'mean IoU (%)',
    'accuracy/top1': 'top-1 (%)',
}
SPEED_STEPS, SPEED_WARMUP = 5, 1
NUM_PICTURES = 8


@dataclass(frozen=True)
class Settings:
    """What a report is about.

    Args:
        config (str): Config file.
        cfg (Config): What is in it, with the overrides of the command line.
        checkpoint (str): Weights.
        cfg_options (dict): The overrides.
        images (str, optional): File, folder or pattern; None: the config's test data.
        num_images (int): For energy and firing rates. Defaults to 20.
        num_erf_images (int): For receptive fields. Defaults to 10.
        layers (sequence[str], optional): For receptive fields; None: the stages of a
            spiking backbone.
        metrics (dict[str, float], optional): Accuracy, measured before.
        device (str): Defaults to ``'cpu'``.
    """

    config: str
    cfg: Config
    checkpoint: str
    cfg_options: dict
    images: str | None = None
    num_images: int = 20
    num_erf_images: int = 10
    layers: Sequence[str] | None = None
    metrics: dict | None = None
    device: str = 'cpu'

    @property
    def name(self) -> str:
        return Path(self.config).stem


def evaluate(cfg: Config, checkpoint: str) -> dict[str, float]:
    """Metrics of a model on the test data of its config."""
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    cfg.load_from, cfg.resume = checkpoint, False
    run_config.set_dataloaders(cfg, pin_memory=False)
    with tempfile.TemporaryDirectory() as folder:  # the runner writes a log
        cfg.work_dir = folder
        return Runner.from_cfg(cfg).test()


def build_page(settings: Settings) -> Page:
    """Measure a model and put a page together.

    Args:
        settings (Settings): What to measure.

    Raises:
        FileNotFoundError, ValueError: If config, checkpoint or images do not fit.
    """
    say('energy and firing rates')
    model = load_model(settings.cfg, settings.checkpoint, device=settings.device)
    batches = data_batches(
        settings.cfg, settings.images, num_images=settings.num_images
    )
    progress = ProgressBar(len(batches), file=sys.stderr)
    energy = measure_energy(model, batches, on_batch=progress.update)
    print(file=sys.stderr)
    sections = [energy_section(energy)]
    if energy.firing is not None:
        sections.append(firing_section(model, energy.firing))
    layers = settings.layers
    if layers is None and hasattr(model.backbone, 'stage_outputs'):
        layers = model.backbone.stage_outputs()
    if layers is not None:
        say('receptive fields')
        sections.append(erf_section(settings, model, layers))
    say('speed')
    speed = measure_speed(settings, energy)
    sections.append(speed_section(settings, energy, speed))
    say('predictions')
    sections = [*predictions_section(settings, model), *sections]
    if settings.metrics:
        sections.insert(0, accuracy_section(settings.metrics))
    sections += [environment_section(), config_section(settings.cfg)]
    return Page(
        title=settings.name,
        subtitle=f'{settings.checkpoint} · {datetime.now():%Y-%m-%d %H:%M}',
        tiles=list(tiles(settings.metrics or {}, energy, speed)),
        sections=sections,
        footer=f'snndense {snndense.__version__} · {shlex.join(sys.argv)}',
    )


def say(what: str) -> None:
    print(f'measuring {what}', file=sys.stderr, flush=True)


def tiles(metrics: dict, energy: EnergyReport, speed: Measurement) -> Iterator[Tile]:
    """The numbers at the top."""
    for key, label in HEADLINES.items():
        if key in metrics:
            yield Tile(f'{metrics[key]:.4g}', label)
    yield Tile(format_count(energy.params), 'parameters')
    yield Tile(f'{energy.compute_mj:.3g} mJ', 'energy per image, arithmetic')
    if energy.firing is not None:
        yield Tile(format_count(energy.sops), 'synaptic operations (SOPs) per image')
        yield Tile(format_count(energy.macs), 'multiply-accumulates (MACs) per image')
        yield Tile(f'{energy.firing.firing_rate:.1%}', 'firing rate')
        pairs = ', '.join(f'{steps} × {levels}' for steps, levels in energy.formats)
        yield Tile(pairs, 'steps × levels (T × D)')
    if energy.compute_mj:
        ratio = energy.ann_mj / energy.compute_mj
        yield Tile(f'{ratio:.1f}×', 'that energy for the same network without spikes')
    yield Tile(f'{1e3 * speed.median:.0f} ms', 'per image on this machine')


def accuracy_section(metrics: dict[str, float]) -> Section:
    # COCO's -1 stands for no objects of that size
    rows = [(k, '-' if v == -1 else f'{v:.4g}') for k, v in metrics.items()]
    return Section('accuracy', 'Accuracy', tables=[Table(rows, ('metric', 'value'))])


def predictions_section(settings: Settings, model: nn.Module) -> list[Section]:
    """Pictures with predictions; nothing where images are no files, as of events."""
    batches = data_batches(settings.cfg, settings.images, num_images=NUM_PICTURES)
    scope = settings.cfg.default_scope
    pictures = draw_predictions(model, batches, scope, dataset_meta(settings.cfg))
    if not pictures:
        return []
    caption = f'The first {len(pictures)} images'
    if scope == 'mmdet':
        caption += f', detections with a score of {SCORE_THR} or more'
    photos = Photos.of(pictures, caption)
    return [Section('predictions', 'Predictions', photos=[photos])]


def dataset_meta(cfg: Config) -> dict:
    """Names and colours of the classes of a config's test data, if it has any."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    datasets = build_datasets(loader) if loader else []
    return datasets[0].metainfo if datasets else {}


def energy_section(report: EnergyReport) -> Section:
    """Operations and energy: a bar per part of the model, tables, assumptions."""
    stages = report.stages()
    largest = max((sums['energy_mj'] for sums in stages.values()), default=0) or 1
    bars = [
        Bar(
            name,
            f'{sums["energy_mj"]:.3g} mJ',
            (sums['ac_mj'] / largest, sums['mac_mj'] / largest),
        )
        for name, sums in stages.items()
    ]
    layers = [
        (
            layer.name,
            layer.operator,
            layer.reads,
            f'{layer.mean_count:.3f}',
            format_count(layer.macs),
            format_count(layer.sops),
            f'{layer.energy_mj:.3g}',
        )
        for layer in report.layers
    ]
    header = ('layer', 'operator', 'reads', 'mean count', 'MACs', 'SOPs', 'mJ')
    totals = [
        ('this model', format_count(report.macs), format_count(report.sops)),
        ('without spikes', format_count(report.ann_macs), '-'),
    ]
    energies = (report.compute_mj, report.ann_mj)
    totals = [(*row, f'{mj:.3g}') for row, mj in zip(totals, energies, strict=True)]
    return Section(
        'energy',
        'Operations and energy',
        text=[
            f'Per image, all time steps, of {report.num_images} images. Memory '
            f'traffic is apart: {format_count(report.memory_bytes)}B, '
            f'{report.memory_mj:.3g} mJ by spikingjelly’s model.'
        ],
        charts=[
            Bars(
                'Energy by part of the model',
                bars,
                ('additions of spikes', 'multiplications of real values'),
            )
        ],
        tables=[
            Table(totals, ('', 'MACs', 'SOPs', 'mJ')),
            Table(layers, header, title='Every layer', folded=True),
        ],
        notes=list(assumptions(report)),
    )


def firing_section(model: nn.Module, report: FiringReport) -> Section:
    """Firing rates: a bar per part of the model, a table of layers."""
    stage_of = stage_namer(model)
    parts: dict[str, list] = {}
    for layer in report.layers:
        parts.setdefault(stage_of(layer.name), []).append(layer)
    bars = []
    for name, layers in parts.items():
        rate = FiringReport(tuple(layers), report.num_images).firing_rate
        bars.append(Bar(name, f'{rate:.1%}', (rate,)))
    rows = [
        (
            layer.name,
            layer.kind,
            f'{layer.firing_rate:.1%}',
            _share(layer.silent_share),
            _share(layer.saturated_share),
            ' / '.join(f'{rate:.1%}' for rate in layer.per_step),
        )
        for layer in report.layers
    ]
    header = ('layer', 'neuron', 'rate', 'silent', 'saturated', 'rate at each step')
    dead = report.dead_layers()
    notes = [f'{len(dead)} layers never fired: {", ".join(dead)}'] if dead else []
    return Section(
        'firing',
        'Firing rates',
        text=[
            f'{report.firing_rate:.1%} of all neurons and steps, '
            f'{report.mean_layer_rate:.1%} as the mean of the layers; a rate of 100 % '
            'is the largest count at every step. Silent neurons never fired on '
            f'{report.num_images} images, saturated ones always emitted their most.'
        ],
        charts=[Bars('Rate by part of the model', bars)],
        tables=[Table(rows, header, title='Every layer of neurons', folded=True)],
        notes=notes,
    )


def _share(value: float | None) -> str:
    return '-' if value is None else f'{value:.1%}'


def erf_section(settings: Settings, model: nn.Module, layers: Sequence[str]) -> Section:
    """Effective receptive fields: maps, areas and, with time, delays."""
    images = erf_models.read_images(
        settings.cfg,
        model,
        settings.images or erf_models.DATASET,
        num_images=settings.num_erf_images,
    )
    results = measure_erf(model.backbone, layers, images, progress=True)
    rows = [
        (
            row['layer'],
            *('-' if row.get(k) is None else f'{row[k]:.3g}' for k in COLUMNS),
        )
        for row in statistics_rows(settings.name, results)
        if row['mode'] == 'spatial'
    ]
    size = ' × '.join(map(str, images.shape[-2:]))
    return Section(
        'erf',
        'Effective receptive fields',
        text=[
            'Absolute gradient of a layer at its central place with respect to the '
            f'image, mean of {len(images)} images of {size} pixels (docs/st_erf.md).'
        ],
        figures=erf_pictures(results),
        tables=[
            Table(
                rows,
                ('layer', *COLUMNS),
                title='Radii and sigma in pixels, areas as shares of the image',
                folded=True,
            )
        ],
    )


def _input_shape(energy: EnergyReport) -> tuple[int, int]:
    """Height and width that most images had."""
    return max(energy.input_shapes, key=energy.input_shapes.get)[-2:]


def measure_speed(settings: Settings, energy: EnergyReport) -> Measurement:
    """Time of the whole model, untrained, in a process of its own."""
    workload = Workload(_input_shape(energy), device=settings.device, part='model')
    contender = Contender(settings.config, cfg_options=settings.cfg_options)
    steps = dict(repeat=SPEED_STEPS, warmup=SPEED_WARMUP)
    return measure([contender], workload, **steps)[0]


def speed_section(
    settings: Settings, energy: EnergyReport, speed: Measurement
) -> Section:
    size = ' × '.join(map(str, _input_shape(energy)))
    where = settings.device
    if where == 'cpu':
        where += f', {torch.get_num_threads()} threads'
    else:
        where += f', {torch.cuda.get_device_name(settings.device)}'
    peak = '-' if speed.peak_bytes is None else f'{speed.peak_bytes / 2**20:.0f} MiB'
    rows = [
        ('median of the steps', f'{1e3 * speed.median:.1f} ms'),
        ('shortest step', f'{1e3 * min(speed.seconds):.1f} ms'),
        ('peak memory', peak),
    ]
    return Section(
        'speed',
        'Speed',
        text=[
            f'One image of {size} pixels through the whole model in evaluation '
            f'({where}; {len(speed.seconds)} steps, random image, random weights). '
            'It says how fast this simulation is, not neuromorphic hardware.'
        ],
        tables=[Table(rows)],
    )


def environment_section() -> Section:
    env = collect_env()
    rows = [(name, value.strip()) for name, value in env.items()]
    table = Table(rows, title='Versions and devices', folded=True, is_text=True)
    device = 'no GPU'
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    text = f'{env["platform"]}; torch {torch.__version__}; {device}'
    return Section('environment', 'Environment', text=[text], tables=[table])


def config_section(cfg: Config) -> Section:
    return Section(
        'config',
        'Configuration',
        code=cfg.pretty_text,
        code_title='The whole config',
    )
