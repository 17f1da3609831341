"""What the passes that build ONNX Runtime GenAI models share: options, legality, the builder."""
