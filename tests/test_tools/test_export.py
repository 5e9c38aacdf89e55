"""Exports from the command line: whole models to ONNX, a stem to NIR."""

import pytest
import torch

from .conftest import ROOT

REASON = 'pip install onnx onnxscript onnxruntime'
ONNX, NIR = 'model_converters/export_onnx.py', 'model_converters/export_nir.py'


@pytest.mark.parametrize('task', ['cls', 'seg'])
def test_whole_models_to_onnx(trained, call_tool, capsys, tmp_path, task):
    pytest.importorskip('onnxscript', reason=REASON)
    onnxruntime = pytest.importorskip('onnxruntime', reason=REASON)
    run = trained(task)
    options = ('--part', 'model', '--shape', 32, 40)
    status = call_tool(ONNX, run.config, run.checkpoint, 'sub/model.onnx', *options)
    output = capsys.readouterr().out
    assert status is None and 'logits' in output and 'T = 1, D = 4 levels' in output
    session = onnxruntime.InferenceSession(str(tmp_path / 'sub/model.onnx'))
    (logits,) = session.run(None, {'image': torch.rand(1, 3, 32, 40).numpy()})
    # FCN at stride 16, ten digits and the background
    assert logits.shape == {'cls': (1, 10), 'seg': (1, 11, 2, 3)}[task]
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata['checkpoint'] == run.checkpoint.name and metadata['levels'] == '4'


def test_detectors_are_exported_up_to_their_heads(trained, call_tool, tmp_path):
    pytest.importorskip('onnxscript', reason=REASON)
    run = trained('det')
    files = (run.config, run.checkpoint, 'model.onnx')
    message = call_tool(ONNX, *files, '--part', 'model')
    assert message.startswith('error: RetinaNet') and "part='neck'" in message
    assert '.onnx' in call_tool(ONNX, run.config, run.checkpoint, 'model.pt')
    assert not list(tmp_path.iterdir())
    assert call_tool(ONNX, *files, '--part', 'neck', '--shape', 32, 40) is None
    assert (tmp_path / 'model.onnx').stat().st_size > 10_000


def test_stem_to_nir(call_tool, capsys, tmp_path):
    pytest.importorskip('mmpretrain')
    pytest.importorskip('nirtorch', reason='pip install nir nirtorch')
    config = ROOT / 'configs/cls/spikformer_2-384_cifar10.py'
    options = ('--cfg-options', 'model.backbone.embed_dims=48', '--shape', 16, 16)
    assert call_tool(NIR, config, 'stem.nir', '--tap', 1, *options) is None
    assert 'Spikformer up to tap 1, 16 x 16; over 4 steps' in capsys.readouterr().out
    assert (tmp_path / 'stem.nir').exists()
    message = call_tool(NIR, config, 'whole.nir', *options)
    assert 'NIR cannot express' in message and 'blocks.0.attn: SSA' in message
    assert not (tmp_path / 'whole.nir').exists()
