"""``comparator``: under construction."""

ENTRIES = ()
