"""Builders: from what a user writes to an explanation, one module for each family of kinds."""
