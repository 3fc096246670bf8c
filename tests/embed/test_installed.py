"""An installed millrace can be used by a program outside its tree: by CMake and by pkg-config, shared and static."""

import os
import pathlib
import shlex
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
BUILD = os.environ["MILLRACE_BUILD"]
EXPECTED = "hello\nhello\nfunction twice, ABI 3\n"


def run(*command, **more):
    """Its output; raises with it when the command fails."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{shlex.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.work = pathlib.Path(cls.folder.name).resolve()
        cls.prefix = cls.work / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.library = next(cls.prefix.glob("lib/**/libmillrace.so")).parent

    def pkg_config(self, *arguments):
        environment = dict(os.environ, PKG_CONFIG_PATH=str(self.library / "pkgconfig"))
        return shlex.split(run("pkg-config", *arguments, "millrace", env=environment))

    def test_cmake_package(self):
        build = self.work / "build"
        run("cmake", "-S", HERE, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", build)
        self.assertEqual(run(build / "embed"), EXPECTED)
        self.assertEqual(run(build / "embed_static"), EXPECTED)

    def test_pkg_config_shared(self):
        program = self.work / "by_pkg_config"
        run("cc", "-Wall", "-Werror", HERE / "embed.c", "-o", program, *self.pkg_config("--cflags", "--libs"),
            f"-Wl,-rpath,{self.library}")
        self.assertEqual(run(program), EXPECTED)

    def test_pkg_config_static(self):
        program = self.work / "by_pkg_config_static"
        flags = self.pkg_config("--static", "--cflags", "--libs")
        flags[flags.index("-lmillrace")] = "-l:libmillrace.a"
        run("cc", "-Wall", "-Werror", HERE / "embed.c", "-o", program, *flags)
        self.assertEqual(run(program), EXPECTED)

    def test_only_public_names_are_visible(self):
        for options, library in ((["-D"], "libmillrace.so"), ([], "libmillrace.a")):
            lines = run("nm", "--extern-only", "--defined-only", *options, self.library / library).splitlines()
            names = [line.split()[-1] for line in lines if len(line.split()) == 3]
            self.assertEqual([name for name in names if not name.startswith("millrace_")], [], library)

    def test_program(self):
        self.assertIn("millrace", run(self.prefix / "bin" / "millrace", "--help"))


if __name__ == "__main__":
    unittest.main()
