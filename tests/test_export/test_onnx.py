"""ONNX files compute what torch computes, or are not written."""

import pytest
import torch
from test_models.tiny_backbones import BACKBONES, build, pictures, some_case
from torch import Tensor, nn

from snndense.export import onnx as onnx_export
from snndense.export.onnx import OutputCheck, export_onnx
from snndense.export.parts import ExportedPart
from snndense.models.time_steps import to_integer, to_spike_driven

REASON = 'pip install onnx onnxscript onnxruntime'
for package in ('onnx', 'onnxscript'):
    pytest.importorskip(package, reason=REASON)
onnxruntime = pytest.importorskip('onnxruntime', reason=REASON)

SIZE = (33, 40)
# fewer blocks and steps than elsewhere: exporting takes seconds per block
CASES = {
    'LSFormer': ('LSFormer', 'ls', dict(depths=(0, 0, 1, 0), out_indices=(2, 1))),
    'SpikingResformer': (
        'SpikingResformer',
        'ti',
        dict(depths=(1, 1, 0), time_steps=1, out_indices=(0, 1)),
    ),
    'MetaSDT-v2': ('MetaSDT', 'v2', dict(time_steps=1, out_indices=(3,))),
}
CASES.update(
    {name: (*some_case(name), dict()) for name in BACKBONES if name not in CASES}
)


def run(path, image: Tensor) -> list[Tensor]:
    session = onnxruntime.InferenceSession(str(path))
    (entry,) = session.get_inputs()
    assert entry.name == 'image' and tuple(entry.shape) == tuple(image.shape)
    return [torch.from_numpy(y) for y in session.run(None, {'image': image.numpy()})]


@pytest.mark.parametrize('case', CASES)
def test_every_backbone(case, tmp_path):
    name, variant, overrides = CASES[case]
    model = build((name, variant), **overrides).eval()
    image, other = pictures(*SIZE), pictures(*SIZE).flip(3)
    path = tmp_path / 'sub/model.onnx'
    checks = export_onnx(ExportedPart(model), image, path)
    assert [check.name for check in checks] == [f'stage{i}' for i in model.out_indices]
    with torch.no_grad():
        outputs = model(other)
    for check, found, wanted in zip(checks, run(path, other), outputs, strict=True):
        assert check.shape == tuple(wanted.shape) and check.magnitude > 0.1
        assert check.largest < 1e-4
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert [p.name for p in path.parent.iterdir()] == ['model.onnx']


def test_event_frames_and_binary_steps(tmp_path):
    model = build(('MetaSDT', 'srb'), time_steps=2, out_indices=(1,)).eval()
    part = ExportedPart(to_spike_driven(model))
    frames = part.make_input(SIZE, batch_size=2, event_frames=True)
    assert frames.shape == (2, 2, 3, *SIZE)
    path = tmp_path / 'model.onnx'
    export_onnx(part, frames, path, metadata=dict(levels=4))
    (found,) = run(path, frames)
    with torch.no_grad():
        (wanted,) = to_integer(model)(frames)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    metadata = onnxruntime.InferenceSession(str(path)).get_modelmeta()
    assert metadata.custom_metadata_map['levels'] == '4'


class OtherWhenExported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if torch.compiler.is_compiling() else x


def test_a_file_that_computes_something_else_is_not_kept(tmp_path):
    path = tmp_path / 'model.onnx'
    path.write_text('an earlier file')
    part = ExportedPart(OtherWhenExported())
    with pytest.raises(ValueError, match=r'disagree.*\n.*map0: 1.0e\+00 in the mean'):
        export_onnx(part, torch.rand(1, 3, 4, 4), path)
    assert path.read_text() == 'an earlier file'
    assert len(list(tmp_path.iterdir())) == 1
    export_onnx(part, torch.rand(1, 3, 4, 4), path, check=False)
    assert torch.equal(run(path, torch.zeros(1, 3, 4, 4))[0], torch.ones(1, 3, 4, 4))


def test_rounding_excuses_as_much_as_it_explains():
    values = dict(name='x', shape=(1,), largest=1.0, magnitude=1.0)
    assert OutputCheck(mean=5e-5, rounding=0.0, **values).passed
    assert OutputCheck(mean=0.03, rounding=0.01, **values).passed
    assert not OutputCheck(mean=0.05, rounding=0.01, **values).passed
    assert not OutputCheck(mean=float('nan'), rounding=0.01, **values).passed


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install onnx onnxscript onnxruntime'):
        export_onnx(ExportedPart(nn.Identity()), torch.rand(1), tmp_path / 'x.onnx')


def test_parts_that_a_model_lacks_are_refused():
    with pytest.raises(ValueError, match="expected part in .*part='heads'"):
        ExportedPart(nn.Identity(), 'heads')
    with pytest.raises(ValueError, match="export part='backbone'"):
        ExportedPart(nn.Identity(), 'model')
    detector = nn.Module()
    detector.extract_feat, detector.bbox_head = None, nn.Identity()
    with pytest.raises(ValueError, match="export part='neck'"):
        ExportedPart(detector, 'model')
