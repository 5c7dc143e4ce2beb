"""Networks on their way out: weights for other programs, torch.export, ONNX."""
