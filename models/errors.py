"""The root of this room's errors; each error stands beside the noun it is about."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Something that was given to us (a file, a name, a tensor) is not what it has to be."""
