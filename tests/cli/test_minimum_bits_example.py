"""The commands of examples/minimum-bits work as they are written, here on few data and steps."""

import re
import shlex
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "minimum-bits" / "README.md"


def commands() -> list[list[str]]:
    """The words of every `assay` command of the page."""
    text = EXAMPLE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    assay (.+)$", text, re.MULTILINE)]


def small(words: list[str]) -> list[str]:
    """The same command on few data, with few steps."""
    fewer = list(words)
    fewer[fewer.index("--limit") + 1] = "4"
    return [f"{word},steps=3" if "minimum-bits" in word else word for word in fewer]


def shown(text: str, column: str) -> list[str]:
    """The names in the first column of the page's tables."""
    return re.findall(rf"^{column}  +[\d.]", text, re.MULTILINE)


def test_every_command_of_the_page_scores_what_it_names(run):
    told = commands()
    assert len(told) >= 2
    assert any("minimum-bits" in word for words in told for word in words)
    assert any("switch" in word for words in told for word in words)
    for words in told:
        result = run(*small(words), "--display", "plain")
        assert result.exit_code == 0, result.output
        for name in (word.rpartition("name=")[2] for word in words if "name=" in word):
            assert name in result.output


def test_the_tables_of_the_page_are_of_its_commands():
    text = EXAMPLE.read_text(encoding="utf-8")
    for words in commands():
        for name in (word.rpartition("name=")[2] for word in words if "name=" in word):
            assert shown(text, f"    {re.escape(name)}"), f"no line for {name}"
