"""The exception of this package, which passes turn into their own."""


class Unbuildable(Exception):
    """A model that cannot be built so, for a reason that a person understands (one sentence)."""
