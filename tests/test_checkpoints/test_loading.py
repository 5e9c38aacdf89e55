"""Checkpoints are read without running code, and belong to the model or not."""

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from snndense.checkpoints.loading import check_checkpoint
from snndense.checkpoints.reading import get_state_dict, read_checkpoint
from snndense.utils.key_report import compare_keys


class Head(nn.Module):
    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.fc = nn.Linear(width, num_classes)


class Model(nn.Module):
    def __init__(self, num_classes: int = 3, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
        self.head = Head(num_classes, width)


def save(path, model: nn.Module, **entries) -> str:
    torch.save(dict(state_dict=model.state_dict(), **entries), path)
    return str(path)


def test_reads_what_mmengine_saves(tmp_path):
    hub = MessageHub.get_instance('reads_what_mmengine_saves')
    hub.update_scalar('loss', 0.5)
    hub.update_info('iter', 3)
    path = save(tmp_path / 'a.pth', Model(), message_hub=hub.state_dict(), meta={})
    checkpoint = read_checkpoint(path)
    buffer = checkpoint['message_hub']['log_scalars']['loss']
    assert buffer.current() == 0.5


def test_strips_the_wrapper_and_what_is_no_tensor():
    state_dict = {'module.a': torch.ones(1), 'b': torch.ones(1), 'epoch': 3}
    assert set(get_state_dict(state_dict)) == {'a', 'b'}
    assert set(get_state_dict(dict(state_dict=state_dict, meta={}))) == {'a', 'b'}


def test_compares_keys():
    stored = {'same': torch.ones(2), 'wider': torch.ones(3, 2), 'extra': torch.ones(1)}
    wanted = {'same': torch.zeros(2), 'wider': torch.ones(2, 2), 'new': torch.ones(1)}
    wanted['bn.num_batches_tracked'] = torch.tensor(0)  # torch fills it in
    report = compare_keys(wanted, stored)
    assert report.matched == ('same',)
    assert report.missing == ('new',)
    assert report.unexpected == ('extra',)
    assert report.conflicts == dict(wider=((3, 2), (2, 2)))
    text = str(report)
    for part in ('1 keys match', 'new', 'extra', 'wider (3, 2) instead of (2, 2)'):
        assert part in text


def test_long_lists_are_cut():
    wanted = {f'layer{i}': torch.ones(1) for i in range(20)}
    text = str(compare_keys(wanted, {}))
    assert '20 missing in the checkpoint: layer0,' in text
    assert 'and 15 more' in text and 'layer19' not in text


def test_own_checkpoint_fits(tmp_path):
    report = check_checkpoint(Model(), save(tmp_path / 'a.pth', Model())).report
    assert not report.unexpected and not report.missing and not report.conflicts


def test_extra_keys_are_reported(tmp_path):
    model = Model()
    model.auxiliary = nn.Linear(1, 1)
    report = check_checkpoint(Model(), save(tmp_path / 'a.pth', model)).report
    assert report.unexpected == ('auxiliary.weight', 'auxiliary.bias')


@pytest.mark.parametrize('allowed', [True, False])
def test_other_model_is_refused(tmp_path, allowed):
    path = save(tmp_path / 'a.pth', Model(width=5))
    with pytest.raises(ValueError, match=f'{path} is a checkpoint of another model'):
        check_checkpoint(Model(), path, allow_other_classes=allowed)
    path = save(tmp_path / 'b.pth', Model().backbone)
    with pytest.raises(ValueError, match='8 missing in the checkpoint: backbone.0'):
        check_checkpoint(Model(), path, allow_other_classes=allowed)


def test_other_classes_only_when_fine_tuning(tmp_path):
    path = save(tmp_path / 'a.pth', Model(num_classes=80))
    with pytest.raises(ValueError, match='of another shape: head.fc.weight'):
        check_checkpoint(Model(), path)
    report = check_checkpoint(Model(), path, allow_other_classes=True).report
    assert set(report.conflicts) == {'head.fc.weight', 'head.fc.bias'}


class Payload:
    def __reduce__(self):
        return (pytest.fail, ('the code of the checkpoint runs',))


def test_refuses_code_and_damage(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(extra=Payload()), path)
    with pytest.raises(ValueError, match='not unpickled'):
        read_checkpoint(path)
    save(path, Model())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='truncated or damaged'):
        read_checkpoint(path)
    path.write_bytes(b'weights')
    with pytest.raises(ValueError, match='is no checkpoint'):
        read_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match='expected .* to hold a dict'):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        read_checkpoint(tmp_path / 'gone.pth')
