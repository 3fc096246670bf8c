"""Headers: a guard named after the path, complete in themselves, and the public ones fit for C++ too."""

import concurrent.futures
import os
import re
import shlex
import subprocess
import unittest

import tree

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
PUBLIC = "engine/include"


def guard(path):
    """engine/status.h: ENGINE_STATUS_H; engine/include/millrace/function.h: MILLRACE_FUNCTION_H."""
    name = str(path.relative_to(PUBLIC) if path.is_relative_to(PUBLIC) else path)
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def compile_header(command, path):
    """Compiles a file that includes the header twice and nothing else; the compiler's words if it does not."""
    source = f'#include "{tree.ROOT / path}"\n' * 2 + "extern int nothing;\n"
    done = subprocess.run(command + ["-"], input=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return f"{path}: {' '.join(command)}\n{done.stdout}" if done.returncode != 0 else None


class Headers(tree.TidyCase):
    def compiles(self, command, paths):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            failures = pool.map(lambda path: compile_header(command, path), paths)
            self.none([failure for failure in failures if failure], "Headers that do not compile alone:")

    def test_guards(self):
        wrong = []
        for path in tree.files(tree.FOLDERS, ".h"):
            name = guard(path)
            lines = tree.code(path).split("\n")
            directives = [line for line in lines if line.strip()]
            if directives[:2] != [f"#ifndef {name}", f"#define {name}"] or directives[-1:] != ["#endif"]:
                wrong.append(f"{path}: {name}")
        self.none(wrong, "Headers that lack the guard named after their path:")

    def test_each_is_complete(self):
        flags = shlex.split(subprocess.run(["pkg-config", "--cflags", "cmocka"], stdout=subprocess.PIPE, text=True,
                                           check=True).stdout)
        include = [f"-I{tree.ROOT}", f"-I{tree.ROOT / PUBLIC}", "-D_GNU_SOURCE", *flags]
        self.compiles(["cc", "-std=c17", "-xc", *STRICT, *include], tree.files(tree.FOLDERS, ".h"))

    def test_public_ones_need_no_definitions(self):
        include = [f"-I{tree.ROOT / PUBLIC}"]
        public = tree.files([PUBLIC], ".h")
        self.assertTrue(public)
        self.compiles(["cc", "-std=c11", "-xc", *STRICT, *include], public)
        self.compiles(["c++", "-std=c++11", "-xc++", *STRICT, *include], public)
        self.compiles(["c++", "-std=c++20", "-xc++", *STRICT, *include], public)

    def test_public_ones_include_no_private_ones(self):
        wrong = []
        for path in tree.files([PUBLIC], ".h"):
            for line, quoted, name in tree.includes(path):
                if quoted:
                    wrong.append(f'{path}:{line}: "{name}"')
        self.none(wrong, "Public headers include only <...>:")


if __name__ == "__main__":
    unittest.main()
