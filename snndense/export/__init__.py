from .onnx import OutputCheck, check_onnx, export_onnx

__all__ = ['OutputCheck', 'check_onnx', 'export_onnx']
