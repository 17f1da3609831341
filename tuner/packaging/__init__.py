"""A model with all that belongs to it, in one file to hand on."""
