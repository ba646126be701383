# SPDX-License-Identifier: Apache-2.0
"""What we want to reach, judged by the results; and the results as a page."""

from benchlib import servers


def front_ratio(results, what, pipeline):
    for row in results.get("front", []):
        if (row["what"], row["pipeline"], row["clients"], row["size"]) == (what, pipeline, 32, 100):
            return row["cpu_ratio_to_built_in"][servers.ONE_ZONE]
    return None


def at(results, *path):
    for name in path:
        if results is None:
            return None
        results = results.get(name)
    return results


# (what, how it is found, must reach, aim, whether less is better, unit)
TARGETS = [
    ("proxy GET, 16 pipelined, CPU to the built-in proxy's", lambda r: front_ratio(r, "get", 16), 0.55, 0.40, True, "x"),
    ("proxy GET, one by one", lambda r: front_ratio(r, "get", 1), 1.0, 0.90, True, "x"),
    ("proxy SET, 16 pipelined, with the journal", lambda r: front_ratio(r, "set", 16), 0.65, 0.50, True, "x"),
    ("our CPU per replicated write to the nodes'", lambda r: at(r, "replicated", "ours_to_nodes", "median"), 1.0, 0.65, True, "x"),
    ("replicated sets a second", lambda r: at(r, "replicated", "per_second", "median"), 100000, 200000, False, "/s"),
    ("lost and unexplained", lambda r: r["replicated"]["lost"] + abs(r["replicated"]["unexplained"]) if "replicated" in r else None,
     0, 0, True, ""),
    ("lag p99 at half of that rate", lambda r: at(r, "lag", "at", 50, "p99_ms"), 20, 5, True, " ms"),
    ("lag of a single write, p50", lambda r: at(r, "lag", "idle", "p50_ms"), 2, 0.5, True, " ms"),
]


def judge(results):
    judged = []
    for what, find, reach, aim, is_less_better, unit in TARGETS:
        value = find(results)
        if value is None:
            continue

        def meets(bound, value=value, is_less_better=is_less_better):
            return value <= bound if is_less_better else value >= bound

        judged.append({"what": what, "value": value, "reach": reach, "aim": aim, "unit": unit,
                       "verdict": "aim reached" if meets(aim) else "reached" if meets(reach)
                       else f"missed by {abs(value - reach) / reach * 100:.0f} %" if reach else "missed"})
    return judged


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def lines(judged):
    return [f"{row['what']:55} {number(row['value']):>9}{row['unit']:3}  {row['verdict']} "
            f"(reach {number(row['reach'])}, aim {number(row['aim'])})" for row in judged]


def spread_text(values):
    return f"{number(values['median'])} ({number(values['min'])} to {number(values['max'])})"


def front_table(rows):
    names = list(rows[0]["cpu_us"])
    text = ["| load | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{spread_text(row['cpu_us'][name])} µs, {row['cpu_ratio_to_built_in'][name]:.2f} ×" for name in names]
        text.append(f"| {row['what']}, {row['pipeline']} pipelined, {row['clients']} clients, {row['size']} B | "
                    + " | ".join(cells) + " |")
    return text


def report(results):
    """The results as Markdown."""
    about = results["machine"]
    text = ["# Measured", "",
            f"{about['date']}, commit {about['commit']}: {about['cores']} cores of {about['cpu']}, Linux {about['kernel']}; "
            f"{about['memcached']}, {about['redis']}. Medians, with the least and the most of all rounds.", ""]
    if "front" in results:
        text += ["## CPU time of the process in front, per request", "", "× is the ratio to memcached's built-in proxy, round by round.", "",
                 *front_table(results["front"]), ""]
    if "replicated" in results:
        ours = results["replicated"]
        text += ["## A write to two regions", "", "| | sets a second | CPU per set, µs |", "|---|---|---|",
                 f"| evcache | {spread_text(ours['per_second'])} | {spread_text(ours['cpu_us']['all'])} |",
                 f"| Redis, primary and replica | {spread_text(ours['redis']['per_second'])} | {spread_text(ours['redis']['cpu_us'])} |", "",
                 "of which: " + ", ".join(f"{kind} {spread_text(value)}" for kind, value in ours["cpu_us"].items() if kind != "all"), ""]
    if "lag" in results:
        text += ["## From write to visible", "", "| rate | p50 | p99 | p99.9 |", "|---|---|---|---|"]
        for share, row in results["lag"]["at"].items():
            text.append(f"| {share} %: {number(row['per_second'])}/s | {row['p50_ms']:.2f} ms | {row['p99_ms']:.2f} ms | {row['p999_ms']:.2f} ms |")
        idle = results["lag"]["idle"]
        text += [f"| single writes | {idle['p50_ms']:.2f} ms | {idle['p99_ms']:.2f} ms | {idle['p999_ms']:.2f} ms |", ""]
    for name, rows in results.get("growth", {}).items():
        text += [f"## More {name}", "", f"| {name} | sets a second | CPU per set, µs |", "|---|---|---|"]
        text += [f"| {row['value']} | {number(row['per_second'])} | {number(row['cpu_us']['all'])} |" for row in rows] + [""]
    text += ["## Targets", "", "| | measured | reach | aim | |", "|---|---|---|---|---|"]
    text += [f"| {row['what']} | {number(row['value'])}{row['unit']} | {number(row['reach'])} | {number(row['aim'])} | {row['verdict']} |"
             for row in results["targets"]]
    return "\n".join(text) + "\n"
