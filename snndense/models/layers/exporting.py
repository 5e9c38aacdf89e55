"""Whether a model is being exported, where exporters need other operators."""

import torch

#: New in torch 2.7; before, compiling and exporting look alike.
is_exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)
