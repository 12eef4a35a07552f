"""The command line: click commands, tables and pages over calls that a notebook can make as well."""

from .main import assay

__all__ = ["assay"]
