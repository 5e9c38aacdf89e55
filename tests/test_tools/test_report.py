"""The report page: complete, true to the model, and without anything beside it."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image
from torch import nn

from snndense.analysis import LayerERF, STERFResult
from snndense.studies import report
from snndense.studies.benchmark import Measurement
from snndense.studies.report_fields import erf_pictures
from snndense.studies.report_page import PHONE, Bar, Bars, Page, Section, Table, Tile
from snndense.studies.report_pictures import draw_predictions
from snndense.utils.tables import format_count

TOOL = 'analysis_tools/report.py'


class Reader(HTMLParser):
    """Text of a page, its sections and what it refers to."""

    VOID = ('meta', 'img', 'br')

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.sections, self.images, self.links = [], [], [], []
        self.text = ''
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attrs = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == 'section':
            self.sections.append(attrs['id'])
        if 'src' in attrs:
            self.images.append(attrs['src'])
        if 'href' in attrs:
            self.links.append(attrs['href'])
        assert tag not in ('script', 'link', 'iframe')

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != 'style':
            self.text += data


def test_help(call_tool, capsys):
    assert call_tool(TOOL, '--help') == 0
    text = capsys.readouterr().out
    for flag in ('--images', '--evaluate', '--metrics', '--layers', '--out'):
        assert flag in text


def test_page_of_a_detector(call_tool, trained, digit_scenes_root, tmp_path):
    pytest.importorskip('mmdet')
    run = trained('det')
    metrics = tmp_path / 'metrics.json'
    metrics.write_text(json.dumps({'coco/bbox_mAP': 0.1234, 'coco/bbox_mAP_50': 0.3}))
    images = ('--images', digit_scenes_root / 'coco/val', '--num-images', 3)
    few = ('--num-erf-images', 2, '--metrics', metrics)
    assert call_tool(TOOL, run.config, run.checkpoint, *images, *few) is None
    (path,) = (tmp_path / 'work_dirs/report').iterdir()
    page = Reader(path.read_text())
    assert page.sections == [
        *('accuracy', 'predictions', 'energy', 'firing', 'erf', 'speed'),
        *('environment', 'config'),
    ]
    assert page.links == [f'#{name}' for name in page.sections]
    # predictions and receptive fields, and nothing from elsewhere
    kinds = [src.partition(',')[0] for src in page.images]
    photos, drawings = ['data:image/jpeg;base64'] * 8, ['data:image/svg+xml;base64'] * 2
    assert kinds == photos + drawings and 'The first 8 images' in page.text
    assert not re.search(r'url\(|@import', path.read_text())
    state = torch.load(run.checkpoint, weights_only=False)['state_dict']
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    count = sum(v.numel() for k, v in state.items() if not k.endswith(statistics))
    for text in ('0.1234', format_count(count), '1 × 4', 'mJ', 'stages.4', 'torch'):
        assert text in page.text
    assert 'mean of 2 images of 128 × 128' in page.text
    assert 'of 3 images' in page.text


def test_time_and_evaluation(call_tool, trained, tmp_path, monkeypatch):
    pytest.importorskip('mmpretrain')
    # measured above
    speed = Measurement('tiny_cls', (0.5, 0.25, 0.75), None)
    monkeypatch.setattr(report, 'measure_speed', lambda *_: speed)
    monkeypatch.setattr(report, 'collect_env', lambda: {'platform': 'here'})
    run = trained('cls')
    options = ('--cfg-options', 'model.backbone.time_steps=2')
    few = ('--num-images', 2, '--num-erf-images', 1, '--layers', 'stages.0', 'stages.1')
    arguments = (run.config, run.checkpoint, '--evaluate', '--out', 'page')
    assert call_tool(TOOL, *arguments, *few, *options) is None
    page = Reader((tmp_path / 'page/index.html').read_text())
    drawings = [src for src in page.images if src.startswith('data:image/svg')]
    assert len(drawings) == 4  # with delays and their profile
    assert 'accuracy/top1' in page.text and 'top-1 (%)' in page.text
    assert '500 ms' in page.text and '250.0 ms' in page.text
    assert '2 × 4' in page.text and 'stages.2' not in page.text.split('Speed')[0]


def test_mistakes_are_answered_in_short(call_tool, tiny_configs, tmp_path):
    config = tiny_configs['cls']
    for arguments, message in (
        ((config, tmp_path / 'none.pth'), 'none.pth'),
        ((config, tmp_path / 'none.pth', '--metrics', 'none.json'), 'none.json'),
    ):
        assert message in call_tool(TOOL, *arguments)
        assert not (tmp_path / 'work_dirs/report').exists()


class Model(nn.Module):
    """Predicts what it was given, for pictures of the size it is asked for."""

    def __init__(self, **fields) -> None:
        super().__init__()
        self.fields = fields

    def test_step(self, batch: dict) -> list[BaseDataElement]:
        for sample in batch['data_samples']:
            for name, value in self.fields.items():
                sample.set_field(value, name)
        return batch['data_samples']


def red_image(folder: Path) -> BaseDataElement:
    """A sample of a red image, 24 by 32."""
    path = folder / 'image.png'
    Image.new('RGB', (32, 24), (255, 0, 0)).save(path)
    meta = dict(img_path=str(path), ori_shape=(24, 32), scale_factor=(2.0, 2.0))
    return BaseDataElement(metainfo=meta)


META = dict(classes=('cat', 'dog'), palette=[(0, 0, 255), (0, 255, 0)])


def not_red(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture.astype(int) - (255, 0, 0)).max(-1) > 40


def test_detections_are_drawn(tmp_path):
    pytest.importorskip('mmdet')
    sample = red_image(tmp_path)
    boxes = torch.tensor([[90.0, 90.0, 270.0, 180.0], [10.0, 10.0, 60.0, 60.0]])
    found = InstanceData(
        bboxes=boxes, labels=torch.tensor([1, 0]), scores=torch.tensor([0.9, 0.1])
    )
    batches = [dict(data_samples=[sample])]
    (picture,) = draw_predictions(Model(pred_instances=found), batches, 'mmdet', META)
    # asked for the size that is drawn: 11.25 times that of the file
    assert sample.ori_shape == (270, 360)
    assert sample.scale_factor == (2 * 32 / 360, 2 * 24 / 270)
    assert picture.shape == (270, 360, 3)
    marked = not_red(picture)
    assert marked[180, 100:260].all() and marked[100:170, 270].all()
    assert not marked[:85].any() and not marked[:, :85].any()  # not that of score 0.1


def test_classes_of_pixels_are_drawn(tmp_path):
    pytest.importorskip('mmseg')
    labels = torch.zeros(1, 270, 360, dtype=torch.int64)
    labels[..., 180:] = 1
    model = Model(pred_sem_seg=PixelData(data=labels))
    batches = [dict(data_samples=[red_image(tmp_path)])] * 2
    pictures = draw_predictions(model, batches, 'mmseg', META)
    assert [picture.shape for picture in pictures] == [(270, 360, 3)] * 2
    picture = pictures[1]
    assert picture[200, 100, 2] > 100 > picture[200, 100, 1]  # blue over red
    assert picture[200, 300, 1] > 100 > picture[200, 300, 2]


def test_class_of_an_image_is_written(tmp_path):
    pytest.importorskip('mmpretrain')
    fields = dict(pred_label=torch.tensor([1]), pred_score=torch.tensor([0.25, 0.75]))
    sample = red_image(tmp_path)
    batches = [dict(data_samples=[sample])]
    (picture,) = draw_predictions(Model(**fields), batches, 'mmpretrain', META)
    assert not_red(picture[10:40, 10:160]).any()
    assert not not_red(picture[80:270, 10:350]).any()
    sample.set_metainfo(dict(img_path=None))  # events are no image file
    assert draw_predictions(Model(**fields), batches, 'mmpretrain') == []


@pytest.mark.parametrize('steps', (1, 4, 8))
def test_receptive_fields_on_a_phone(steps):
    """Figures as wide as a phone or with a hint to scroll, and readable letters."""
    volume = np.random.default_rng(0).random((steps, 16, 16))
    layers = {f'stages.{i}': LayerERF(volume, (4, 4), (7.5, 7.5)) for i in range(5)}
    maps = {name: LayerERF(volume.sum(0), (4, 4), (7.5, 7.5)) for name in layers}
    results = dict(spatial=STERFResult(maps, 1))
    if steps > 1:
        meta = dict(time_steps=steps)
        results['spatiotemporal'] = STERFResult(layers, 1, meta)
    pictures = erf_pictures(results)
    assert len(pictures) == (4 if steps > 1 else 2)
    wide = [picture.width > PHONE for picture in pictures]
    assert wide == [False, False, steps == 8, False][: len(pictures)]
    for picture in pictures:
        drawing = base64.b64decode(picture.uri.partition(',')[2]).decode()
        sizes = [float(size) for size in re.findall(r'font-size: ([\d.]+)px', drawing)]
        assert 4 / 3 * min(sizes) >= 9  # points of the drawing in pixels
        width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', drawing)[1])
        assert 4 / 3 * width == pytest.approx(picture.width, abs=1)
    html = Page('t', 's', [], [Section('erf', 'Fields', figures=pictures)], 'f').html()
    assert f'min-width: {pictures[0].width}px' in html
    assert html.count('class="hint"') == len(pictures)
    for index, picture in enumerate(pictures, 1):
        screen = picture.width + (68 if wide[index - 1] else 45)  # with its margins
        assert f'@media (min-width: {screen}px) {{ #erf-{index} .hint' in html


def test_page_escapes_and_is_complete(tmp_path):
    section = Section(
        'a',
        'A & B',
        text=['1 < 2'],
        charts=[Bars('bars', [Bar('x', '3', (0.25, 0.5))], ('one', 'two'))],
        tables=[Table([('<b>', 'c')], ('h', 'i'), title='t', folded=True)],
        notes=['note'],
        code='<config>',
        code_title='code',
    )
    page = Page('<title>', 'sub', [Tile('7', 'label')], [section], 'foot')
    path = tmp_path / 'new/index.html'
    page.write(path)
    text = path.read_text()
    assert (
        '<b>' not in text and '<config>' not in text and '<title></title>' not in text
    )
    read = Reader(text)
    for expected in ('<title>', 'A & B', '1 < 2', '<b>', '<config>', 'note', 'foot'):
        assert expected in read.text
    assert 'width:25.00%' in text and 'width:50.00%' in text
    assert 'width=device-width' in text
