"""Where two answers differ."""


def differ(one, other, path=""):
    """Yields (path, one, other) for each place where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*other, *one]):
            yield from differ(one.get(key, "absent"), other.get(key, "absent"), f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for n, (mine, its) in enumerate(zip(one, other)):
            yield from differ(mine, its, f"{path}[{n}]")
    elif one != other:
        yield path, one, other


def short(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}..."
