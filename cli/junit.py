"""Verdicts as JUnit XML: a test suite for each file, a test case for each claim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from .judged import Judged

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) cannot hold, not even escaped."""


def junit(found: Sequence[Judged], allow_unknown: bool) -> bytes:
    """The XML document; refuted is a failure, and so is unknown unless it is allowed: then it is skipped."""
    root = ET.Element("testsuites", {"name": "assay verify", **_counts(found, allow_unknown)})
    for file in dict.fromkeys(judged.file for judged in found):
        own = [judged for judged in found if judged.file == file]
        about = {"name": _told(file.as_posix()), **_counts(own, allow_unknown)}
        suite = ET.SubElement(root, "testsuite", about)
        for judged in own:
            _case(suite, judged, allow_unknown)
    ET.indent(root, " ")
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _case(suite: ET.Element, judged: Judged, allow_unknown: bool) -> None:
    outcome = judged.outcome
    case = ET.SubElement(
        suite,
        "testcase",
        name=_told(outcome.name),
        classname=_told(judged.file.as_posix()),
        time=f"{outcome.seconds:.3f}",
        file=_told(judged.file.as_posix()),
        line=str(judged.line),
    )
    details = _told("\n".join(judged.details))
    if judged.status == "proved":
        ET.SubElement(case, "system-out").text = details
        return
    skipped = judged.status == "unknown" and allow_unknown
    told = ET.SubElement(case, "skipped" if skipped else "failure")
    told.set("type", judged.status)
    told.set("message", _told(judged.headline))
    told.text = details


def _counts(found: Iterable[Judged], allow_unknown: bool) -> dict[str, str]:
    statuses = [judged.status for judged in found]
    unknown = statuses.count("unknown")
    return {
        "tests": str(len(statuses)),
        "failures": str(statuses.count("refuted") + (0 if allow_unknown else unknown)),
        "errors": "0",
        "skipped": str(unknown if allow_unknown else 0),
        "time": f"{sum(judged.outcome.seconds for judged in found):.3f}",
    }


def _told(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
