"""The report page: complete, true to the model, and without anything beside it."""

import json
import re
from html.parser import HTMLParser

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image
from torch import nn

from snndense.studies import report
from snndense.studies.benchmark import Measurement
from snndense.studies.report_page import Bar, Bars, Page, Section, Table, Tile
from snndense.studies.report_pictures import plot_predictions
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
    (path,) = (tmp_path / 'report').iterdir()
    page = Reader(path.read_text())
    assert page.sections == [
        *('accuracy', 'predictions', 'energy', 'firing', 'erf', 'speed'),
        *('environment', 'config'),
    ]
    assert page.links == [f'#{name}' for name in page.sections]
    # predictions and receptive fields, and nothing from elsewhere
    kinds = [src.partition(',')[0] for src in page.images]
    assert kinds == ['data:image/jpeg;base64', *['data:image/svg+xml;base64'] * 2]
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
    assert len(page.images) == 5  # with delays and their profile
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
        assert not (tmp_path / 'report').exists()


def instances(**fields) -> InstanceData:
    return InstanceData(bboxes=torch.tensor([[2.0, 3.0, 20.0, 12.0]] * 2), **fields)


def test_predictions_are_drawn(tmp_path):
    path = tmp_path / 'image.png'
    Image.new('RGB', (32, 24), (255, 0, 0)).save(path)
    masks = torch.zeros(2, 24, 32, dtype=torch.bool)
    masks[:, 5:9, 5:9] = True
    labels, scores = torch.tensor([1, 0]), torch.tensor([0.9, 0.1])
    predictions = (
        dict(pred_instances=instances(labels=labels, scores=scores, masks=masks)),
        dict(pred_instances=instances(labels=labels, scores=scores)),
        dict(pred_sem_seg=PixelData(data=torch.arange(2).repeat(1, 24, 16))),
        dict(pred_label=torch.tensor([1]), pred_score=torch.tensor([0.25, 0.75])),
    )

    class Model(nn.Module):
        def test_step(self, batch: dict) -> list:
            sample = BaseDataElement(metainfo=dict(img_path=batch['path']))
            for name, value in batch['fields'].items():
                sample.set_field(value, name)
            return [sample]

    batches = [dict(path=str(path), fields=fields) for fields in predictions]
    figure = plot_predictions(Model(), batches, ('cat', 'dog'))
    with_masks, boxes, areas, one = figure.axes
    texts = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert texts == [['dog 0.90'], ['dog 0.90'], [], []]  # not the one of score 0.1
    assert [len(axis.patches) for axis in figure.axes] == [1, 1, 0, 0]
    assert boxes.patches[0].get_bbox().bounds == (2, 3, 18, 9)
    # over the image: a mask, nothing, two classes, nothing
    assert [len(axis.images) for axis in figure.axes] == [2, 1, 3, 1]
    assert with_masks.images[1].get_array()[..., 3].astype(bool).sum() == 16
    assert areas.images[1].get_array()[..., 3].astype(bool).sum() == 24 * 16
    assert one.get_title() == 'dog 0.75'
    frames = dict(path=None, fields=predictions[3])  # events are no image file
    assert plot_predictions(Model(), [frames]) is None


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
