"""A file has one subject and at most 800 lines; a function fits a screen: at most 70 lines."""

import unittest

import tree

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def functions(lines):
    """(first line, line count) of each function. The format puts a body's braces into the first column."""
    for opening, line in enumerate(lines):
        if line != "{":
            continue
        first = opening
        while first > 0 and lines[first - 1] and not lines[first - 1].rstrip().endswith((";", "}", "*/", ">")):
            first -= 1
        closing = lines.index("}", opening) if "}" in lines[opening:] else len(lines) - 1
        yield first + 1, closing - first + 1


class Length(tree.TidyCase):
    def test_files(self):
        long = []
        for path in tree.files(tree.FOLDERS, ".c", ".h", ".py"):
            count = len(tree.text(path).splitlines())
            if count > FILE_LINES_MAX:
                long.append(f"{path}: {count} lines")
        self.none(long, f"Files of more than {FILE_LINES_MAX} lines:")

    def test_functions(self):
        long = []
        for path in tree.files(tree.FOLDERS, ".c", ".h"):
            for first, count in functions(tree.code(path).splitlines()):
                if count > FUNCTION_LINES_MAX:
                    long.append(f"{path}:{first}: {count} lines")
        self.none(long, f"Functions of more than {FUNCTION_LINES_MAX} lines:")


if __name__ == "__main__":
    unittest.main()
