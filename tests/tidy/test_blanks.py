"""No blanks at the ends of lines, no tabs, one newline at the end of a file."""

import unittest

import tree

FILES = ("CMakeLists.txt", "README.md", "STYLE.md", "run", ".ci/run", ".ci/build.sh", "tests/run", "bench/run")


class Blanks(tree.TidyCase):
    def test_line_and_file_ends(self):
        found = []
        paths = tree.files(tree.FOLDERS, ".c", ".h", ".py", ".txt", ".md")
        for path in [*paths, *(name for name in FILES if (tree.ROOT / name).is_file())]:
            whole = tree.text(path)
            found += [f"{place} (trailing blank)" for place in tree.find(path, r"[ \t\r]+(?=\n)", whole)]
            found += [f"{place} (tab)" for place in tree.find(path, r"\t", whole)]
            if whole and (not whole.endswith("\n") or whole.endswith("\n\n")):
                found.append(f"{path}: does not end in one newline")
        self.none(found, "Blanks that nobody sees and every diff shows:")


if __name__ == "__main__":
    unittest.main()
