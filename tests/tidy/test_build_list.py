"""Sources are listed by name in CMakeLists.txt: none is forgotten, in the order of the layers."""

import unittest

import tree


class BuildList(tree.TidyCase):
    def test_each_source_is_built(self):
        words = tree.text("CMakeLists.txt").replace("(", " ").replace(")", " ").split()
        missing = [str(path) for path in tree.files(tree.LAYERS, ".c") if words.count(str(path)) != 1]
        self.none(missing, "Sources that CMakeLists.txt does not name exactly once:")

    def test_each_benchmark_is_built(self):
        words = tree.text("bench/CMakeLists.txt").replace("(", " ").replace(")", " ").split()
        missing = [str(path) for path in tree.files(["bench"], ".c") if len(path.parts) == 2 and path.stem not in words
                   and path.name not in words]
        self.none(missing, "Benchmarks that bench/CMakeLists.txt does not name:")

    def test_top_level(self):
        allowed = {"CMakeLists.txt", "CMakePresets.json", "CMakeUserPresets.json", "README.md", "STYLE.md", "LICENSE",
                   "run", "engine", "nodes", "net", "tests", "bench", "build", "logs"}
        extra = [path.name for path in tree.ROOT.iterdir() if path.name not in allowed and path.name[0] != "."]
        self.none(sorted(extra), "The top level holds more than the layout has:")


if __name__ == "__main__":
    unittest.main()
