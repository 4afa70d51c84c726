"""The model ladder, its files, and the scorer that rates with ONNX Runtime alone."""
