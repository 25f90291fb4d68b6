"""The README's snippets, run as they stand: what a reader pastes has to work."""

import re
import subprocess
import tempfile
from pathlib import Path

from .broker import ROOT, Broker
from .checks import Wrong, passed

DEFAULT_ADDRESS = "localhost:9092"
SUFFIXES = {"python": "py", "js": "js", "java": "jsh", "go": "go", "rust": "rs", "sh": "sh"}
LIMIT_S = 100


def snippet(name):
    """The language and the text of the fenced block that follows `<!-- snippet: name -->` in README.md."""
    found = re.findall(rf"<!-- snippet: {re.escape(name)} -->\s*\n```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    if len(found) != 1:
        raise Wrong(f"README.md has {len(found)} snippets called {name}")
    language, text = found[0]
    if DEFAULT_ADDRESS not in text:
        raise Wrong(f"the README's snippet {name} does not name {DEFAULT_ADDRESS}")
    return language, text


def runs(name, expected, command):
    """That the snippet, run by `command` with its file at the end, prints `expected`; against a fresh broker with the
    settings that a reader has: none. Only the address is another."""
    language, text = snippet(name)
    with tempfile.TemporaryDirectory(prefix="felice-snippet") as folder, Broker(Path(folder, "broker")) as broker:
        file = Path(folder, f"main.{SUFFIXES[language]}")
        file.write_text(text.replace(DEFAULT_ADDRESS, broker.address))
        ran = subprocess.run([*command, file], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
        if ran.returncode != 0 or expected not in ran.stdout:
            raise Wrong(f"the README's snippet {name} ended with {ran.returncode}, without <{expected}>:\n{ran.stdout}{ran.stderr}")
    passed(f"the README's snippet {name}")
