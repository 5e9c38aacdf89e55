"""The metafiles are complete and true, and every table of results agrees with them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from snndense.models.layers import DropPath
from snndense.zoo import Entry, find_entry, load_zoo, select
from snndense.zoo.entries import STATUSES, zoo_root

ROOT = Path(__file__).parents[2]
HOSTS = dict(det='mmdet', seg='mmseg', cls='mmpretrain')
TABLES = tuple(f'configs/{folder}/README.md' for folder in HOSTS)
# headers of the tables' columns, and the metrics that their cells hold
METRICS = {
    'top-1': ('Top 1 Accuracy',),
    'box AP': ('box AP', 'box AP50'),
    'COCO box AP / AP50': ('box AP', 'box AP50'),
    'mask AP': ('mask AP', 'mask AP50'),
    'mask AP / AP50': ('mask AP', 'mask AP50'),
    'mIoU': ('mIoU',),
}
PUBLISHED = [pytest.param(entry, id=entry.stem) for entry in select(published=True)]


def test_entries_are_complete():
    for names in (
        [entry.name for entry in load_zoo()],
        [entry.config for entry in load_zoo()],
    ):
        assert len(set(names)) == len(names) > 100
    for entry in load_zoo():
        assert entry.config_path.is_file()
        assert entry.task in HOSTS and entry.parameters > 0
        for result in entry.results:
            assert result.status in STATUSES
            assert result.source and result.metrics
            assert all(0 < value < 100 for value in result.metrics.values())


@pytest.mark.parametrize('entry', PUBLISHED)
def test_published_weights_say_where_they_are_from(entry):
    published = entry.published
    for address in (published.weights, published.stated_in, published.code):
        assert re.fullmatch(r'https://\S+', address)
    assert published.stated_in.startswith(published.code)
    assert bool(published.file_names) == bool(published.file_names_from)
    assert bool(published.sha256) == bool(published.sha256_from)
    assert re.fullmatch(r'[0-9a-f]{64}|', published.sha256)


@pytest.mark.parametrize('entry', PUBLISHED)
def test_constructor_arguments_are_those_of_the_config(entry, load_config):
    cfg = load_config(f'{entry.task}/{entry.stem}')
    arguments = dict(entry.published.backbone)
    for key in ('out_indices', 'out_mode'):
        if key in cfg.model.backbone:
            arguments[key] = cfg.model.backbone[key]
    with torch.device('meta'):
        wanted = MODELS.build(cfg.model.backbone)
        backbone = MODELS.build(arguments)
        cfg.model.backbone = arguments
        model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) == entry.parameters
    assert list(layers(backbone)) == list(layers(wanted))


def layers(model: nn.Module) -> Iterator[tuple]:
    """What computes in a model in evaluation, with its settings."""
    for name, module in model.named_modules():
        if not isinstance(module, (nn.Dropout, DropPath)):
            yield name, type(module), module.extra_repr()


def test_entries_are_found_by_each_of_their_names():
    entry = find_entry('meta_sdt_srb_s_imagenet')
    assert entry.config == 'configs/cls/meta_sdt_srb_s_imagenet.py'
    for name in (entry.name, entry.config, f'cls/{entry.stem}', f'{entry.stem}.py'):
        assert find_entry(name) is entry
    for task in ('cls', 'det'):
        assert find_entry('lsformer_digits', task) is find_entry(
            f'{task}/lsformer_digits'
        )
    with pytest.raises(ValueError, match='several .* det/lsformer_digits'):
        find_entry('lsformer_digits')
    with pytest.raises(ValueError, match="'meta_sdt_sbr_imagenet'; similar .*_srb_"):
        find_entry('meta_sdt_sbr_imagenet')


def test_filters():
    assert {e.task for e in select(task='seg')} == {'seg'}
    assert {e.family for e in select(family='sdtv3')} == {'SDT-V3'}
    assert {e.family for e in select(family='lsformer')} == {'LSFormer (re-design)'}
    trained = select('meta_sdt_srb_*', status='trained here', task='det')
    assert [e.stem for e in trained] == ['meta_sdt_srb_digits']
    for key, value in dict(task='pose', family='resnet', status='rumour').items():
        with pytest.raises(ValueError, match=f'expected .*{value}'):
            select(**{key: value})


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of the tables of a document, as cells by header."""
    header = None
    for line in path.read_text(encoding='utf-8').splitlines():
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if not line.startswith('|'):
            header = None
        elif header is None:
            header = [re.sub(r'\(Mask R-CNN.*\)', '', cell).strip() for cell in cells]
        elif not re.fullmatch(r'[|:\- ]+', line):
            yield dict(zip(header, cells, strict=True))


def linked_entries(document: Path, row: dict[str, str]) -> list[Entry]:
    """Entries whose configs a row of a document links to."""
    links = re.findall(r'\]\(([^)]+)\.py\)', ' '.join(row.values()))
    folder = document.parent.relative_to(ROOT)
    paths = [os.path.normpath(folder / f'{link}.py') for link in links]
    by_config = {entry.config: entry for entry in load_zoo()}
    return [by_config[path] for path in paths if path in by_config]


def numbers(row: dict[str, str]) -> dict[str, float]:
    """Accuracies in a row, by metric."""
    return {
        metric: float(number)
        for header, metrics in METRICS.items()
        if row.get(header)
        for metric, number in zip(metrics, row[header].split(' / '), strict=True)
    }


def stated(entry: Entry) -> dict[str, float]:
    return {k: v for result in entry.results for k, v in result.metrics.items()}


@pytest.mark.parametrize('document', TABLES)
def test_numbers_in_tables_are_those_of_the_metafiles(document):
    seen = 0
    for row in rows(ROOT / document):
        entries = linked_entries(ROOT / document, row)
        if not entries or not numbers(row):
            continue
        # published numbers are those of the published settings
        stems = [f'{entry.stem}_published' for entry in entries]
        entries += [entry for entry in load_zoo() if entry.stem in stems]
        known = {}
        for entry in entries:
            known.update(stated(entry))
        assert numbers(row).items() <= known.items(), row
        statuses = {result.status for e in entries for result in e.results}
        assert row['from'].startswith(tuple(statuses)), row
        seen += 1
    assert seen >= 4


@pytest.mark.parametrize('folder', HOSTS)
def test_every_config_has_its_row(folder):
    """With its parameters, and with all the numbers that its entry has."""
    listed = {}
    document = ROOT / f'configs/{folder}/README.md'
    for row in rows(document):
        for entry in linked_entries(document, row):
            listed.setdefault(entry.stem, []).append(row)
    for entry in select(task=folder):
        if entry.stem.endswith('_digits'):
            continue  # what `make demo` trains; README.md has its numbers
        (row,) = listed[entry.stem]
        digits = [n.strip() for n in row['params (M)'].split(',')]
        counts = {f'{entry.parameters / 1e6:.{len(n.split(".")[1])}f}' for n in digits}
        assert counts & set(digits), (entry.stem, row)
        assert stated(entry).items() <= numbers(row).items(), entry.stem


def test_demo_table_is_that_of_the_metafile():
    table = [row for row in rows(ROOT / 'README.md') if 'seed' in row]
    first = {key: float(value) for key, value in table[0].items()}
    assert first.pop('seed') == 0
    demo = stated(find_entry('det/meta_sdt_srb_digits'))
    assert {k: round(100 * v, 1) for k, v in first.items()} == demo


def run_zoo(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, '-m', 'snndense.zoo', *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_command_line_lists():
    table = run_zoo('list', '--task', 'det', '--family', 'SDT-V2').stdout.splitlines()
    assert table[0].split()[:2] == ['config', 'task']
    start = table[0].index('task')
    lines = [line for line in table[2:] if 'SDT-V2' in line]
    assert len(lines) == len(select(task='det', family='SDT-V2')) > 5
    assert {line[start : start + 3] for line in lines} == {'det'}
    published = run_zoo('list', '--published', '--status', 'paper').stdout
    assert 'meta_sdt_conv_imagenet' in published and '79.8' in published
    assert 'meta_sdt_conv_s_imagenet' not in published


def test_command_line_shows():
    shown = run_zoo('show', 'meta_sdt_conv_imagenet', cwd=zoo_root()).stdout
    entry = find_entry('meta_sdt_conv_imagenet')
    for part in (
        entry.name,
        '18,987,504',
        'Top 1 Accuracy 79.8',
        entry.published.weights,
        entry.published.sha256,
        "snndense.MetaSDT(arch='l')",
        '10M and 19M',
        'python tools/test.py configs/cls/meta_sdt_conv_imagenet.py FILE',
        '../_base_/models/meta_sdt_cls.py',
    ):
        assert part in shown
    unknown = run_zoo('show', 'meta_sdt_con_imagenet')
    assert unknown.returncode == 1
    assert 'similar names: meta_sdt_conv_imagenet' in unknown.stderr
