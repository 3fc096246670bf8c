"""engine <- net <- nodes, no cycles between files, includes written from the root."""

import unittest

import tree


class Layers(tree.TidyCase):
    def test_includes_point_to_the_left(self):
        wrong = []
        for path in tree.files(tree.LAYERS, ".c", ".h"):
            allowed = tree.LAYERS[:tree.LAYERS.index(path.parts[0]) + 1]
            for line, _, name in tree.includes(path):
                target = tree.resolve(name)
                if target and target.parts[0] not in allowed:
                    wrong.append(f"{path}:{line}: includes {name}")
        self.none(wrong, "A layer includes only itself and what stands left of it (engine <- net <- nodes):")

    def test_includes_are_written_from_the_root(self):
        wrong = []
        for path in tree.files(tree.FOLDERS, ".c", ".h"):
            for line, quoted, name in tree.includes(path):
                if quoted and not (tree.ROOT / name).is_file():
                    wrong.append(f'{path}:{line}: "{name}"')
                if quoted and name.startswith("engine/include/"):
                    wrong.append(f'{path}:{line}: "{name}"; public headers are <millrace/...>')
        self.none(wrong, 'A quoted include names a file of ours from the root ("engine/status.h"):')

    def test_no_cycles(self):
        edges = {}
        for path in tree.files(tree.LAYERS, ".c", ".h"):
            targets = edges.setdefault(module(path), set())
            for _, _, name in tree.includes(path):
                target = tree.resolve(name)
                if target and module(target) != module(path):
                    targets.add(module(target))
        self.none([" -> ".join(cycle) for cycle in cycles(edges)], "Files depend on each other in a circle:")


def module(path):
    """A .c, its .h and its _private.h are one: what one of them includes, all depend on."""
    return str(path.with_suffix("")).removesuffix("_private")


def cycles(edges):
    """One cycle for each way back that a depth-first walk meets."""
    found, done, trail = [], set(), []

    def visit(node):
        if node in trail:
            found.append(trail[trail.index(node):] + [node])
        elif node not in done:
            trail.append(node)
            for target in sorted(edges.get(node, ())):
                visit(target)
            trail.pop()
            done.add(node)

    for node in sorted(edges):
        visit(node)
    return found


if __name__ == "__main__":
    unittest.main()
