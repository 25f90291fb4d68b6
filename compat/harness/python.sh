# Sourced by the suites that are written in Python.
# shellcheck shell=bash

# Prints the interpreter of a virtual environment with these requirements, which is made once per machine and state of
# the file.
python_with() { # REQUIREMENTS
  local cache="${XDG_CACHE_HOME:-$HOME/.cache}/felice" folder
  folder="$cache/python-$(sha256sum "$1" | cut -c1-16)"
  # A virtual environment knows its own path and cannot be renamed: the mark says that it is whole.
  if [ ! -e "$folder/whole" ]; then
    mkdir -p "$cache"
    printf 'installing from PyPI (once per machine): %s\n' "$(paste -sd' ' "$1")" >&2
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$1"
    touch "$folder/whole"
  fi
  printf '%s\n' "$folder/bin/python"
}
