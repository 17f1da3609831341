"""Loading built models in the runtimes that they are built for."""
