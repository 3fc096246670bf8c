"""Each outside library has one home, so that replacing it, or working around it, is a change in one place."""

import re
import unittest

import tree

# Header, and the files that may include it.
HOMES = (
    (r"ck_", {"engine/ring.c"}),
    (r"curl/", {"net/http_post.c"}),
    (r"sqlite3", {"engine/store/store_private.h"}),
    (r"xxhash", {"engine/store/store.c"}),
    (r"urcu", set()),
    (r"md5\.h", {"nodes/hash/symbol_choice.c"}),
    (r"bsd/", {"nodes/worker/keyed_state.c"}),
    # Where JSON is read.
    (r"(?:cjson/)?cJSON\.h", {"nodes/metrics/metrics_parse.c", "nodes/text/json_field.c",
                               "nodes/queue/dead_letter.c",
                                "nodes/sink_message.c", "nodes/commands/store_import.c"}),
)


class Libraries(tree.TidyCase):
    def test_one_home_each(self):
        wrong = []
        for path in tree.files(tree.LAYERS, ".c", ".h"):
            for line, _, name in tree.includes(path):
                for header, homes in HOMES:
                    if re.match(header, name) and str(path) not in homes:
                        wrong.append(f"{path}:{line}: <{name}> belongs in {', '.join(sorted(homes)) or 'no file yet'}")
        self.none(wrong, "An outside library is used outside its home:")

    def test_homes_exist(self):
        gone = [home for _, homes in HOMES for home in sorted(homes) if not (tree.ROOT / home).is_file()]
        self.none(gone, "Homes that this list names and the tree does not have:")


if __name__ == "__main__":
    unittest.main()
