"""clang-tidy finds nothing, by .clang-tidy. Files that are as they were when they passed are not looked at again."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import unittest

import tree

BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD") or tree.ROOT / "build/clang")
PASSED = BUILD / "clang-tidy-passed"


def dependencies(path, seen):
    """Adds the file and all of ours that it includes, directly or not."""
    if path not in seen:
        seen.add(path)
        for _, _, name in tree.includes(path):
            target = tree.resolve(name)
            if target:
                dependencies(target, seen)
    return seen


def fingerprint(path, command, common):
    digest = hashlib.sha256(common)
    digest.update(command.encode())
    for name in sorted(dependencies(path, set())):
        digest.update(f"\0{name}\0".encode())
        digest.update((tree.ROOT / name).read_bytes())
    return digest.hexdigest()


def check(path, passed):
    """None, or what clang-tidy says."""
    if passed.exists():
        return None
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(BUILD), str(tree.ROOT / path)], cwd=tree.ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 or "warning:" in done.stdout:
        return f"{path}:\n{done.stdout}{done.stderr}"
    passed.touch()
    return None


class ClangTidy(tree.TidyCase):
    def test_finds_nothing(self):
        version = subprocess.run(["clang-tidy", "--version"], stdout=subprocess.PIPE, check=True).stdout
        common = version + (tree.ROOT / ".clang-tidy").read_bytes()
        PASSED.mkdir(exist_ok=True)
        commands = {entry["file"]: entry["command"] for entry in
                    json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))}
        paths = [path for path in tree.files(tree.LAYERS + ("bench",), ".c") if str(tree.ROOT / path) in commands]
        self.assertTrue(paths)
        marks = [PASSED / fingerprint(path, commands[str(tree.ROOT / path)], common) for path in paths]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            findings = [finding for finding in pool.map(check, paths, marks) if finding]
        for stale in set(PASSED.iterdir()) - set(marks):
            stale.unlink()
        self.none(findings, "clang-tidy:")


if __name__ == "__main__":
    unittest.main()
