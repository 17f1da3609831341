"""What the weight-only quantisers of torch models share.

The decoder's matrices, texts to calibrate with, what flows into each matrix, rounding in groups.
Knows nothing of any one method; how packed weights are stored is `tuner.models.quantized`.
"""
