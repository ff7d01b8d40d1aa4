# SPDX-License-Identifier: Apache-2.0
"""Draws the race: every program's time and peak memory for every network, on the largest image that was measured.

    peers_chart.py SUMMARY.json CHART.png
"""

import io
import json
import sys

import matplotlib
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

# Of the palette of Okabe and Ito, which people tell apart who do not see all colours.
COLORS = {"kachel": "#0072B2", "engine": "#999999", "engine-logits": "#999999"}
PEER = "#E69F00"
SHOWN_TWICE = "kachel-zarr"


def bars(axes, rows, key, unit, scale, digits):
    values = [(row[key] or 0) / scale for row in rows]
    axes.barh(range(len(rows)), values, height=0.72, color=[COLORS.get(row["program"], PEER) for row in rows])
    axes.set_xlim(0, max(values) * 1.22)
    for position, value in enumerate(values):
        text = f"{value:.{digits(value)}f} {unit}" if value else ""
        axes.text(value + max(values) * 0.015, position, text, va="center", fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(left=False)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color("#bbbbbb")


def main():
    with open(sys.argv[1]) as file:
        groups = json.load(file)
    largest = {}
    for group in groups:
        rows = [row for row in group["rows"] if "note" not in row and row["program"] != SHOWN_TWICE]
        if any(row["program"] == "kachel" for row in rows):
            # They come with the smallest image first.
            largest[group["title"]] = group | {"rows": rows}
    if not largest:
        return
    heights = [len(group["rows"]) + 1.4 for group in largest.values()]
    figure, panels = pyplot.subplots(
        len(largest), 2, figsize=(9.5, 0.27 * sum(heights) + 0.5), height_ratios=heights, squeeze=False,
        width_ratios=[3, 2], layout="constrained")
    for (times, memory), (title, group) in zip(panels, largest.items()):
        rows = group["rows"]
        bars(times, rows, "work", "s", 1, lambda value: 0 if value >= 100 else 1)
        bars(memory, rows, "peak", "GB", 2**30, lambda value: 1 if value >= 1 else 2)
        times.set_yticks(range(len(rows)), [row["title"].removesuffix(", CZI") for row in rows], fontsize=8)
        for label, row in zip(times.get_yticklabels(), rows):
            label.set_fontweight("bold" if row["program"] == "kachel" else "normal")
        memory.set_yticks([])
        times.set_title(f"{title}\nseconds for {group['side']} x {group['side']} pixels, {group['threads']} threads",
                        fontsize=9, loc="left")
        memory.set_title("peak memory", fontsize=9, loc="left")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    # A palette makes it small enough for a README.
    Image.open(drawn).convert("RGB").quantize(32).save(sys.argv[2], optimize=True)


main()
