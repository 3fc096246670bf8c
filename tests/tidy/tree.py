"""What the checks of the text share: which files there are, and a file without its comments and strings."""

import os
import pathlib
import re
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_ROOT") or pathlib.Path(__file__).parents[2]).resolve()

LAYERS = ("engine", "net", "nodes")
FOLDERS = LAYERS + ("tests", "bench")

_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def files(folders, *suffixes):
    """Paths relative to the root, sorted."""
    found = []
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes and path.is_file():
                found.append(path.relative_to(ROOT))
    return sorted(found)


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def code(path):
    """The text with each comment and string emptied; line numbers stay."""
    return _COMMENT_OR_STRING.sub(lambda match: "\n" * match.group().count("\n"), text(path))


def includes(path):
    """(line, is quoted, name) of each #include."""
    whole = text(path)
    return [(whole.count("\n", 0, match.start(2)) + 1, match.group(1) == '"', match.group(2))
            for match in _INCLUDE.finditer(whole)]


def resolve(name):
    """The project's file that an #include names, relative to the root, or None."""
    for base in ("", "engine/include"):
        if (ROOT / base / name).is_file():
            return pathlib.Path(base) / name
    return None


def find(path, pattern, content):
    """One "path:line: text" for each match."""
    return [f"{path}:{content.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}"
            for match in re.finditer(pattern, content)]


class TidyCase(unittest.TestCase):
    def none(self, findings, rule):
        """Fails with all findings, one a line."""
        if findings:
            self.fail(rule + "\n" + "\n".join(findings))
