"""The form is clang-format's, by .clang-format."""

import subprocess
import unittest

import tree


class Format(tree.TidyCase):
    def test_clang_format_changes_nothing(self):
        paths = tree.files(tree.FOLDERS, ".c", ".h")
        self.assertTrue(paths)
        done = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, paths)], cwd=tree.ROOT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.none(done.stdout.splitlines()[:100], "Run clang-format -i on:")
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
