"""Puts tests/ on the path, so that each scenario can be run alone."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
