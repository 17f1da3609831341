"""ONNX graphs on disk and in memory: what the passes on "onnx" and "genai" folders share.

Knows nothing of which pass asks. Modules are imported whole (`from tuner.graphs import folders`):
their errors are those of passes, and the passes import them.
"""
