"""The checks beside this file are on: each finds what is planted for it in a small tree, and finds nothing there
before."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
ROOT = pathlib.Path(os.environ.get("MILLRACE_ROOT") or HERE.parents[1])

SOUND = {
    "CMakeLists.txt": "engine/ring.c engine/idle.c net/http_post.c nodes/worker/worker.c\n",
    "bench/CMakeLists.txt": "\n",
    "engine/ring.c": '#include "engine/ring.h"\n\nint ring_size(void)\n{\n    return 3;\n}\n',
    "engine/ring.h": "#ifndef ENGINE_RING_H\n#define ENGINE_RING_H\n\nint ring_size(void);\n\n#endif\n",
    "engine/include/millrace/millrace.h":
        "#ifndef MILLRACE_MILLRACE_H\n#define MILLRACE_MILLRACE_H\n\n#include <stddef.h>\n\n#endif\n",
    "engine/idle.c": "typedef int idle_has_nothing;\n",
    "net/http_post.c": "typedef int http_post_has_nothing;\n",
    "nodes/worker/worker.c": '/* strcpy( is banned; so is volatile */\n#include "engine/ring.h"\n\nconst char *worker_text = "strcat(1)";\n',
    "tests/peer.py": "import time\n",
}

# Script, the planted files, what the script must say.
PLANTED = (
    ("layers", {"engine/idle.c": '#include "nodes/worker.h"\n', "nodes/worker.h": "\n"}, "includes nodes/worker.h"),
    ("layers", {"net/http_post.c": '#include "nodes/worker.h"\n', "nodes/worker.h": "\n"}, "includes nodes/worker.h"),
    ("layers", {"engine/idle.c": '#include "ring.h"\n'}, 'engine/idle.c:1: "ring.h"'),
    ("layers", {"engine/idle.h": "\n", "engine/idle.c": '#include "engine/ring.h"\n',
                "engine/ring.c": '#include "engine/idle.h"\n'}, "engine/idle -> engine/ring -> engine/idle"),
    ("banned", {"engine/idle.c": "void f(char *a)\n{\n    strcpy (a, a);\n}\n"}, "engine/idle.c:3: strcpy ("),
    ("banned", {"bench/idle.c": "volatile int flag;\n"}, "bench/idle.c:1: volatile"),
    ("banned", {"tests/peer.py": "from time import sleep\n"}, "tests/peer.py:1: from time"),
    ("libraries", {"nodes/worker/worker.c": "#include <ck_ring.h>\n"}, "nodes/worker/worker.c:1: <ck_ring.h> belongs in engine/"),
    ("libraries", {"nodes/worker/worker.c": "#include <curl/curl.h>\n"}, "nodes/worker/worker.c:1: <curl/curl.h> belongs in net/"),
    ("length", {"engine/idle.c": "int a;\n" * 801}, "engine/idle.c: 801 lines"),
    ("length", {"engine/idle.c": "int a;\n\nvoid f(int b,\n       int c)\n{\n" + "    a++;\n" * 67 + "}\n"},
     "engine/idle.c:3: 71 lines"),
    ("blanks", {"engine/idle.c": "int a; \n"}, "engine/idle.c:1:  (trailing blank)"),
    ("blanks", {"engine/idle.c": "\tint a;\n"}, "engine/idle.c:1:  (tab)"),
    ("blanks", {"engine/idle.c": "int a;"}, "engine/idle.c: does not end in one newline"),
    ("headers", {"engine/ring.h": "int ring_size(void);\n"}, "engine/ring.h: ENGINE_RING_H"),
    ("headers", {"engine/idle.h": "#ifndef ENGINE_IDLE_H\n#define ENGINE_IDLE_H\nsize_t idle;\n#endif\n"},
     "engine/idle.h: cc"),
    ("headers", {"engine/include/millrace/millrace.h":
                 "#ifndef MILLRACE_MILLRACE_H\n#define MILLRACE_MILLRACE_H\nextern int class;\n#endif\n"}, "c++"),
    ("format", {"engine/idle.c": "int  a;\n"}, "engine/idle.c:1:4"),
    ("build_list", {"net/tcp.c": "int a;\n"}, "net/tcp.c"),
    ("build_list", {"bench/ring.c": "int a;\n"}, "bench/ring.c"),
    ("build_list", {"notes.txt": "\n"}, "notes.txt"),
    ("clang_tidy", {"engine/idle.c": "int f(int a);\nint f(int a)\n{\n    return a == a;\n}\n"}, "redundant-expression"),
)


def plant(root, contents):
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def run(script, contents):
    """Exit status and output of a script over a tree with these files."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        plant(root, contents)
        for name in (".clang-format", ".clang-tidy"):
            plant(root, {name: (ROOT / name).read_text(encoding="utf-8")})
        commands = [{"directory": folder, "file": str(root / name), "command": f"clang -I{root} -c {root / name}"}
                    for name in contents if name.endswith(".c")]
        plant(root, {"build/compile_commands.json": json.dumps(commands)})
        environment = dict(os.environ, MILLRACE_ROOT=str(root), MILLRACE_BUILD=str(root / "build"))
        done = subprocess.run([sys.executable, str(HERE / f"test_{script}.py")], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout


class Planted(unittest.TestCase):
    def test_sound_tree_passes(self):
        for script in sorted({script for script, _, _ in PLANTED} - {"libraries"}):
            with self.subTest(script=script):
                status, output = run(script, SOUND)
                self.assertEqual(status, 0, output)

    def test_each_is_found(self):
        for script, contents, words in PLANTED:
            with self.subTest(script=script, words=words):
                status, output = run(script, {**SOUND, **contents})
                self.assertNotEqual(status, 0)
                self.assertIn(words, output)


if __name__ == "__main__":
    unittest.main()
