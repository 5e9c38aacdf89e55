"""What README.md and docs/checkpoints.md tell about published weights is true."""

import re
from pathlib import Path

import pytest
import torch

from snndense.zoo import select
from snndense.zoo.__main__ import parse_args

from .published_files import save_published

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / 'docs/checkpoints.md').read_text(encoding='utf-8')


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', document, re.M | re.S)


def test_guide_evaluates_a_file_of_every_family_with_published_weights():
    entries = {entry.config: entry for entry in select(published=True)}
    seen = set()
    for block in blocks(GUIDE, 'bash'):
        for config, file in re.findall(r'tools/test.py (\S+) (\S+)', block):
            assert (ROOT / config).is_file()
            assert len(block.splitlines()) <= 5
            if config in entries:
                published = entries[config].published
                assert file in published.file_names
                assert published.weights in GUIDE  # where to download it
                seen.add((entries[config].family, published.backbone['type']))
    published = {(e.family, e.published.backbone['type']) for e in entries.values()}
    assert seen == published


def test_guide_calls_the_zoo():
    commands = re.findall(r'snndense\.zoo ((?:list|show|check)[^`\n]*)', GUIDE)
    assert len(commands) > 5
    for command in commands:
        parse_args(command.split())


@pytest.mark.parametrize(
    ('document', 'name', 'shapes'),
    [
        (
            'README.md',
            'meta_sdt_srb_s_r4',
            [(1, 32, 128, 128), (1, 64, 64, 64), (1, 128, 32, 32), (1, 192, 32, 32)],
        ),
        ('docs/checkpoints.md', 'spikingresformer_ti', (1, 1000)),
    ],
)
def test_python_runs(document, name, shapes, tmp_path, monkeypatch):
    pytest.importorskip('mmpretrain')
    text = (ROOT / document).read_text(encoding='utf-8')
    (code,) = (b for b in blocks(text, 'python') if 'snndense.get_model(' in b)
    assert len([line for line in code.splitlines() if line]) <= 6
    monkeypatch.chdir(tmp_path)
    for file in re.findall(r"checkpoint='([^']+)'", code):
        save_published(name, tmp_path / file)
    variables = {}
    with torch.no_grad():
        exec(code, variables)
    if document == 'README.md':
        assert [tuple(x.shape) for x in variables['maps']] == shapes
    else:
        assert variables['logits'].shape == shapes
