"""Questions that a finished study answers: other limits, prices, whether two trials differ."""
