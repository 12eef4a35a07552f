"""The root of what can be wrong with an explanation."""


class ExplanationError(ValueError):
    """An explanation that cannot be read, or does not fit the network or the site."""
