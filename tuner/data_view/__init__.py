"""What a data set holds, and what of it a model will read: `tune data`."""
