"""The result of a run as a table: figure, spread, goal."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, str, str, str]


def print_result(result: dict[str, Any], console: Console) -> None:
    """One table of what was measured, and one of where the time of the service went."""
    table = Table("figure", "value", "spread", "goal", title="speed and size")
    writers = {
        "throughput": _throughput,
        "latency": _latency,
        "memory": _memory,
        "imports": _imports,
        "uploads": _uploads,
        "streams": _streams,
        "aggregation": _aggregation,
        "correction": _correction,
        "rectification": _rectification,
        "exports": _exports,
        "label_studio": _label_studio,
    }
    for name, rows in writers.items():
        if name in result:
            for row in rows(result[name]):
                table.add_row(*row)
            table.add_section()
    console.print(table)
    if "throughput" in result:
        console.print(_shares_table(result["throughput"]))


def _throughput(result: dict[str, Any]) -> Iterator[Row]:
    for name, rate in result["images_per_second"].items():
        yield (f"{_plain(name)}, images/s", *_figure(rate, "{:.2f}"), "")
    for name, ratio in result["ratio"].items():
        value, runs = _figure(ratio, "{:.3f}")
        reached = ratio["median"] >= result["goal_ratio"]
        title = f"service / {_plain(name)}, {result['images']} images, same bytes"
        yield title, value, runs, _goal(f"≥ {result['goal_ratio']}", reached)
        cpu = result["processor_ratio"][name]
        yield "  the same of processor time", *_figure(cpu, "{:.3f}"), ""


def _latency(result: dict[str, Any]) -> Iterator[Row]:
    yield (
        f"one image, p50 of {result['requests']}, s",
        f"{result['p50_seconds']:.3f}",
        f"p95 {result['p95_seconds']:.3f}",
        _goal(f"≤ {result['goal_p50_seconds']}", result["reached"]),
    )
    for part, seconds in result["parts_p50_seconds"].items():
        yield f"  of it: {part}, s", f"{seconds:.3f}", "", ""
    yield "  the pipeline's own time, s", f"{result['pipeline_p50_seconds']:.3f}", "", ""


def _memory(result: dict[str, Any]) -> Iterator[Row]:
    for which in ("first", "last"):
        images, size = result[f"{which}_images"], result[f"{which}_rss_bytes"]
        yield f"worker after {images} images, MiB", f"{size / 2**20:.1f}", "", ""
    goal = _goal(f"≤ {result['goal_growth']:.0%}", result["reached"])
    yield "  growth", f"{result['growth']:+.1%}", "", goal


def _imports(result: dict[str, Any]) -> Iterator[Row]:
    value, runs = _figure(result["seconds"], "{:.2f}")
    torch = "with torch" if result["torch_imported"] else "no torch"
    goal = _goal(f"≤ {result['goal_seconds']}, no torch", result["reached"])
    yield f"import {result['module']}, s", f"{value}, {torch}", runs, goal


def _uploads(result: dict[str, Any]) -> Iterator[Row]:
    value, runs = _figure(result["images_per_second"], "{:.0f}")
    goal = _goal(f"≥ {result['goal_images_per_second']:.0f}", result["reached"])
    size = f"{result['image_bytes'] / 1000:.0f} kB"
    yield f"upload of {result['images']} JPEGs of {size}, images/s", value, runs, goal
    yield "  processor time of the API, s", *_figure(result["api_cpu_seconds"], "{:.1f}"), ""
    goal = _goal(f"≤ {result['goal_growth_bytes'] / 2**20:.0f}", result["memory_reached"])
    yield "  growth of the API's memory, MiB", f"{result['growth_bytes'] / 2**20:.1f}", "", goal


def _streams(result: dict[str, Any]) -> Iterator[Row]:
    goal = _goal(f"≤ {result['goal_cores']}, all agree", result["reached"])
    agree = "all agree" if result["all_clients_agree"] else "THEY DISAGREE"
    title = f"{result['clients']} streams of {result['images']} images, cores of 2 API processes"
    yield title, f"{result['api_cores']:.3f}", agree, goal
    yield "  events sent", str(result["events_sent"]), "", ""
    lag = f"highest {result['done_lag_highest_seconds']:.3f}"
    yield (
        "  from the first to know the end to 95 %, s",
        f"{result['done_lag_p95_seconds']:.3f}",
        lag,
        "",
    )


def _aggregation(result: dict[str, Any]) -> Iterator[Row]:
    height, width = result["size_hw"]
    asked = f"{result['points']} points, {result['components']} components, {width} x {height}"
    for name, seconds in result["seconds"].items():
        found = result["proposals"].get(name)
        kept = "" if found is None else f", {found} proposals"
        yield f"{asked}: {_plain(name)}{kept}, s", *_figure(seconds, "{:.2f}"), ""
    for name, ms in result["decoder_ms_per_prompt"].items():
        yield f"  transformer of the decoder, {name}, ms a prompt", f"{ms:.2f}", "", ""
    for name, ratio in result["ratio"].items():
        sign = "≥" if ratio["at_least"] else "≤"
        goal = _goal(f"{sign} {ratio['goal']}", ratio["reached"])
        yield f"  {_plain(name)}", *_figure(ratio, "{:.2f}"), goal
    loss = result["loss"]
    goal = _goal(f"≤ {100 * loss['goal']:.1f}", loss["reached"])
    miou = ", ".join(f"{name} {100 * value:.1f}" for name, value in result["label_miou"].items())
    yield "  label mIoU lost by fast, points", f"{100 * loss['value']:.2f}", miou, goal
    prompts = result["prompts"]
    goal = _goal(f"≤ {prompts['goal']}", prompts["reached"])
    yield "  preparation of the prompts, s", f"{prompts['seconds']:.3f}", "", goal
    memory = result["memory"]
    goal = _goal(f"≤ {memory['goal_bytes'] / 2**30:.0f}", memory["reached"])
    title = f"  memory above the model's own, {memory['proposals']} proposals, GiB"
    yield title, f"{memory['growth_bytes'] / 2**30:.2f}", "", goal


def _correction(result: dict[str, Any]) -> Iterator[Row]:
    goal = _goal(f"≤ {result['goal_seconds']:.0f}", result["reached"])
    decided_by = f"decided by: {result['decided_by']}"
    title = f"{result['regions']} regions of {result['width']} features corrected, s"
    yield title, f"{result['seconds']:.1f}", decided_by, goal
    for part, seconds in result["parts_seconds"].items():
        yield f"  of it: {part}, s", f"{seconds:.1f}", "", ""
    yield "  processor time, s", f"{result['processor_seconds']:.1f}", "", ""


def _exports(result: dict[str, Any]) -> Iterator[Row]:
    for name, one in result["formats"].items():
        rate, peak = one["labels_per_second"], one["peak_bytes"]
        goal = _goal(
            f"≥ {result['goal_labels_per_second']:.0f}", rate >= result["goal_labels_per_second"]
        )
        yield f"{result['labels']} labels as {name}, labels/s", f"{rate:.0f}", "", goal
        thirds = ", ".join(f"{size / 1e6:.0f}" for size in one["bytes_in_thirds"])
        memory = _goal(f"≤ {result['goal_bytes'] / 1e6:.0f}", peak <= result["goal_bytes"])
        yield "  memory, MB", f"{peak / 1e6:.0f}", f"in thirds {thirds}", memory
        yield "  processor time, s", f"{one['processor_seconds']:.1f}", "", ""
    brush = _goal(f"≤ {result['goal_brush_seconds']}", result["brush_reached"])
    yield "brush RLE, 2048 x 1024, 19 classes, s", f"{result['brush_seconds']:.3f}", "", brush


def _label_studio(result: dict[str, Any]) -> Iterator[Row]:
    goals = dict.fromkeys(("health", "setup"), result["goal_short_seconds"])
    for name, goal in {**goals, "predict": result["goal_predict_seconds"]}.items():
        slowest = result[name]["slowest_seconds"]
        yield (
            f"/{name} beside a busy worker, slowest of {result[name]['answers']}, s",
            f"{slowest:.3f}",
            f"median {result[name]['p50_seconds']:.3f}",
            _goal(f"≤ {goal}", slowest <= goal),
        )


def _rectification(result: dict[str, Any]) -> Iterator[Row]:
    field = result["field"]
    height, width = field["size_hw"]
    for name, seconds in field["seconds"].items():
        yield f"field, {width} x {height}, {name}, s", *_figure(seconds, "{:.2f}"), ""
    goal = _goal(f"≥ {field['goal']:.0f}", field["reached"])
    yield "  naive / exact", *_figure(field["ratio"], "{:.1f}"), goal
    largest = f"largest difference of logits {field['difference']:.1e}"
    yield "  the same answer", largest, "", f"≤ {field['most_difference']:.0e}"
    for stage in result["stages"]:
        height, width = stage["size_hw"]
        for name, seconds in stage["seconds"].items():
            yield f"stage, {width} x {height}, {name}, s", *_figure(seconds, "{:.3f}"), ""
        goal = _goal(f"≤ {stage['goal']:.2f}", stage["reached"])
        yield "  rectify / predict", *_figure(stage["ratio"], "{:.3f}"), goal


def _figure(spread: dict[str, Any], pattern: str) -> tuple[str, str]:
    low, high = pattern.format(spread["lowest"]), pattern.format(spread["highest"])
    return pattern.format(spread["median"]), f"{low} to {high}"


def _goal(text: str, reached: bool) -> str:
    return f"{text}: {'reached' if reached else 'MISSED'}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _shares_table(result: dict[str, Any]) -> Table:
    """Seconds of the service by share, and of the loops by step, one column a repeat."""
    seconds = result["seconds"]
    repeats = range(1, len(seconds["service"]) + 1)
    table = Table("seconds", *(f"repeat {n}" for n in repeats), title="where the time goes")
    for name, rows in seconds.items():
        for share in rows[0]:
            cells = (f"{row[share]:.3f}".removesuffix(".000") for row in rows)
            table.add_row(f"{_plain(name)}: {_plain(share)}", *cells)
        table.add_section()
    return table
