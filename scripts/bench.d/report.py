"""The figures as a table: on the terminal, and in Markdown for docs/performance.md."""

import statistics

BEGIN = "<!-- figures: begin, written by scripts/bench --markdown -->"
END = "<!-- figures: end -->"
TARGETS = ("felice", "kafka", "floor")
TITLES = {"felice": "Felice", "kafka": "Kafka", "floor": "floor"}


def number(value, digits):
    return f"{value:,.{digits}f}"


def spread(values, digits):
    """Median, and from the least to the most where there were several rounds."""
    if not values:
        return "", ""
    middle = number(statistics.median(values), digits)
    if len(values) == 1:
        return middle, ""
    return middle, f"{number(min(values), digits)}–{number(max(values), digits)}"


def ratio(row, other):
    ours, theirs = row["values"].get("felice"), row["values"].get(other)
    if not ours or not theirs or not statistics.median(theirs):
        return ""
    quotient = statistics.median(ours) / statistics.median(theirs)
    return f"{quotient:.2f}" if quotient >= 0.095 else f"{quotient:.3f}"


def lines(result):
    """(section, None) for each section, then (None, cells) for each of its rows."""
    shown = [target for target in TARGETS if any(target in row["values"] for row in result["rows"])]
    section = None
    for row in result["rows"]:
        if row["section"] != section:
            section = row["section"]
            yield section, None
        cells = [f"{row['name']}, {row['unit']}" if row["unit"] else row["name"]]
        for target in shown:
            cells += spread(row["values"].get(target, []), row["digits"])
        yield None, cells + [ratio(row, other) for other in shown if other != "felice"]


def shown_targets(result):
    return [target for target in TARGETS if any(target in row["values"] for row in result["rows"])]


def table(result):
    shown = shown_targets(result)
    head = [""]
    for target in shown:
        head += [TITLES[target], "from–to"]
    head += [f"/ {TITLES[target]}" for target in shown if target != "felice"]
    every = list(lines(result))
    widths = [max(len(cells[i]) for cells in [head, *(c for _, c in every if c)]) for i in range(len(head))]
    pad = lambda cells: "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths)))
    out = [pad(head).rstrip()]
    for section, cells in every:
        out.append(f"\n{section}" if section else pad(cells).rstrip())
    return "\n".join(out + [""] + notes(result))


def notes(result):
    return [f"note: {note}" for note in result["notes"]]


def versions(result):
    machine, versions = result["machine"], result["versions"]
    felice = versions["felice"]
    return [
        f"Felice {felice['version']}, commit {felice['commit']}{' (or whatever FELICE_BIN was)' if felice.get('given') else ''}; Apache Kafka {versions['kafka']} on {versions['jvm']}; "
        f"librdkafka {versions['librdkafka']}.",
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']:.0f} GB of memory, Linux {machine['kernel']}; "
        f"data on {machine['file_system']}, and on tmpfs where said. Measured on {result['date']} with:",
    ]


def markdown(result):
    shown = shown_targets(result)
    out = [BEGIN, "", *versions(result), "", "```sh", result["command"], "```", ""]
    titles = [TITLES[target] for target in shown]
    several = result["settings"]["rounds"] > 1
    out.append(f"{'Medians' if several else 'One round'}{', with the least and the most in brackets' if several else ''}.")
    for section, cells in lines(result):
        if section:
            out += ["", f"**{section}**", ""]
            ratios = [f"Felice / {title}" for title in titles if title != "Felice"]
            out.append("| | " + " | ".join(titles + ratios) + " |")
            out.append("|---|" + "---:|" * len(titles + ratios))
            continue
        told = [f"{cells[i]} ({cells[i + 1]})" if cells[i + 1] else cells[i] for i in range(1, 1 + 2 * len(shown), 2)]
        out.append("| " + " | ".join([cells[0], *told, *cells[1 + 2 * len(shown) :]]) + " |")
    if result["notes"]:
        out += ["", *(f"- {note}" for note in result["notes"])]
    return "\n".join([*out, "", END])


def put_into(text, figures):
    """A page with the figures in place of those that it has."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN} and {END}")
    return head + figures + tail
