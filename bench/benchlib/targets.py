# SPDX-License-Identifier: Apache-2.0
"""What we want to reach, judged by the results; and the results as a page."""

from benchlib import servers


def front_ratio(results, what, pipeline):
    for row in results.get("front", []):
        if (row["what"], row["pipeline"], row["clients"], row["size"]) == (what, pipeline, 32, 100):
            return row["cpu_ratio_to_built_in"][servers.ONE_ZONE]["median"]
    return None


def at(results, *path):
    for name in path:
        if results is None:
            return None
        results = results.get(name)
    return results


def most_allocations(results):
    """To two digits: the transactions of a batch are not a request's."""
    found = at(results, "counts", "allocations")
    return None if found is None else round(max(found.values()), 2)


# (what, how it is found, must reach, aim, whether less is better, unit); reach None: only recorded
TARGETS = [
    ("proxy GET, 16 pipelined, CPU to the built-in proxy's", lambda r: front_ratio(r, "get", 16), 0.55, 0.40, True, "x"),
    ("proxy GET, one by one", lambda r: front_ratio(r, "get", 1), 1.0, 0.90, True, "x"),
    ("proxy SET, 16 pipelined, with the journal", lambda r: front_ratio(r, "set", 16), 0.65, 0.50, True, "x"),
    ("our CPU per replicated write to the nodes'", lambda r: at(r, "replicated", "ours_to_nodes", "median"), 1.0, 0.65, True, "x"),
    ("replicated sets a second", lambda r: at(r, "replicated", "per_second", "median"), 100000, 200000, False, "/s"),
    ("lost and unexplained", lambda r: r["replicated"]["lost"] + abs(r["replicated"]["unexplained"]) if "replicated" in r else None,
     0, 0, True, ""),
    ("lag p99 at half of the highest rate", lambda r: at(r, "lag", "at", 50, "p99_ms", "median"), 20, 5, True, " ms"),
    ("lag of a single write, p50", lambda r: at(r, "lag", "idle", "p50_ms", "median"), 2, 0.5, True, " ms"),
    ("allocations for a request, the most of any process", lambda r: most_allocations(r), 0, 0, True, ""),
    ("instructions of a proxied GET, one by one", lambda r: at(r, "counts", "instructions", "get", 1), None, None, True, ""),
]


def verdict(value, reach, aim, is_less_better):
    if reach is None:
        return "recorded"
    if value <= aim if is_less_better else value >= aim:
        return "aim reached"
    if value <= reach if is_less_better else value >= reach:
        return f"reached; {abs(value - aim) / aim * 100:.0f} % from the aim" if aim else "reached"
    return f"missed by {abs(value - reach) / reach * 100:.1f} %" if reach else "missed"


def judge(results):
    judged = []
    for what, find, reach, aim, is_less_better, unit in TARGETS:
        value = find(results)
        if value is not None:
            judged.append({"what": what, "value": value, "reach": reach, "aim": aim, "unit": unit,
                           "verdict": verdict(value, reach, aim, is_less_better)})
    return judged


def number(value):
    if value is None:
        return "-"
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
        cells = [f"{number(row['cpu_us'][name]['median'])} µs, {spread_text(row['cpu_ratio_to_built_in'][name])} ×" for name in names]
        text.append(f"| {row['what']}, {row['pipeline']} pipelined, {row['clients']} clients, {row['size']} B | "
                    + " | ".join(cells) + " |")
    return text


def lag_table(found, where):
    text = [f"## From write to visible, on {where}", "",
            f"The highest rate was {spread_text(found['highest'])} replicated sets a second; shares are of each round's own.", "",
            "| rate | p50 | p99 | p99.9 |", "|---|---|---|---|"]
    rows = {f"{share} %: {number(row['per_second']['median'])}/s": row for share, row in found["at"].items()}
    rows["single writes"] = found["idle"]
    for name, row in rows.items():
        cells = [f"{spread_text(row[quantile])} ms" if quantile in row else "" for quantile in ("p50_ms", "p99_ms", "p999_ms")]
        text.append(f"| {name} | " + " | ".join(cells) + " |")
    return text + [""]


def growth_table(name, rows):
    if "cpu_us" in rows[0]:
        text = [f"## More {name}", "", f"| {name} | sets a second | CPU per set, µs |", "|---|---|---|"]
        text += [f"| {row['value']:,} | {row['per_second']:,.0f} | {row['cpu_us']['all']:.2f} |" for row in rows]
        return text + [""]
    text = [f"## {name[0].upper()}{name[1:]}", "",
            "| waiting | taken a second | bytes of the queue each | relay, most memory | proxy, most memory | lost | unexplained |",
            "|---|---|---|---|---|---|---|"]
    text += [f"| {row['value']:,} | {row['per_second']:,.0f} | {row['queue_bytes_per_event']:.0f} | {row['relay_bytes_max'] / 2**20:.0f} MiB "
             f"| {row['proxy_bytes_max'] / 2**20:.0f} MiB | {row['lost']} | {row['unexplained']} |" for row in rows]
    return text + [""]


def counts_table(found):
    blocks = list(next(iter(found["instructions"].values())))
    text = ["## Counted", "", "| instructions of the proxy's worker | " + " | ".join(f"{block} in one piece" for block in blocks) + " |",
            "|---|" + "---|" * len(blocks)]
    text += [f"| {kind.upper()} | " + " | ".join(f"{by_block[block]:,.0f}" for block in blocks) + " |"
             for kind, by_block in found["instructions"].items()]
    text += ["", "Allocations for a request, warm, half of them sets: "
             + ", ".join(f"{part} {count:.4f}" for part, count in found["allocations"].items()) + ".", ""]
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
        wide = ours.get("three_regions_two_zones")
        if wide:
            text += [f"Three regions of two zones: {number(wide['per_second'])} sets a second, each in four zones elsewhere; "
                     f"{number(wide['cpu_us']['all'])} µs of CPU, {wide['ours_to_nodes']:.2f} × the nodes' own.", ""]
    for part, where in (("lag", "the embedded queue"), ("lag_on_kafka", "Kafka, one broker on the same cores")):
        if part in results:
            text += lag_table(results[part], where)
    for name, rows in results.get("growth", {}).items():
        text += growth_table(name, rows)
    if "counts" in results:
        text += counts_table(results["counts"])
    text += ["## Targets", "", "| | measured | reach | aim | |", "|---|---|---|---|---|"]
    text += [f"| {row['what']} | {number(row['value'])}{row['unit']} | {number(row['reach'])} | {number(row['aim'])} | {row['verdict']} |"
             for row in results["targets"]]
    return "\n".join(text) + "\n"
