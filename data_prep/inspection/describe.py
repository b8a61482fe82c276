"""Describe a packed file, for people and programs."""

from typing import Any

import numpy as np

from decathlon.data.domains import SPLITS, Domain
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.pixel_statistics import measure, measured_split
from decathlon.reports.tables import Column, Row, Table


def describe(file: PackedFile) -> dict[str, Any]:
    """Return the benchmark's name and digest, and every domain's counts, image sizes and facts."""
    domains = {domain.name: _domain(file, domain) for domain in file.benchmark}
    return {
        "name": file.benchmark.name,
        "digest": file.digest,
        "baseline": file.benchmark.baseline,
        "images": sum(entry["images"] for entry in domains.values()),
        "bytes": file.path.stat().st_size,
        "domains": domains,
    }


def _domain(file: PackedFile, domain: Domain) -> dict[str, Any]:
    splits = file.splits(domain.name)
    height, width, label = (
        {split: file.column(domain.name, split, column) for split in splits}
        for column in ("height", "width", "label")
    )
    heights, widths = np.concatenate([*height.values()]), np.concatenate([*width.values()])
    counts = {split: file.count(domain.name, split) for split in SPLITS}
    return {
        "index": domain.index,
        "classes": len(domain.categories),
        **counts,
        "images": sum(counts.values()),
        "labelled": [split for split in splits if (label[split] >= 0).all()],
        "width": [int(widths.min()), int(widths.max())],
        "height": [int(heights.min()), int(heights.max())],
        "flip": domain.flip,
        "crop": domain.crop,
        "bytes": int((3 * heights.astype(np.int64) * widths).sum()),
        "baseline_error": domain.baseline_error,
    }


def info_table(info: dict[str, Any]) -> Table:
    """Return the result of `describe` as a table with a total row."""
    columns = (
        Column("domain", "domain"),
        Column("classes", "classes", 0),
        *(Column(split, split, 0) for split in SPLITS),
        Column("labelled", "labelled"),
        Column("size", "width x height"),
        Column("flip", "flip"),
        Column("crop", "crop"),
        Column("megabytes", "MB", 1),
        Column("baseline_error", "baseline error %", 2),
    )
    rows = tuple(_info_row(name, entry) for name, entry in info["domains"].items())
    entries = info["domains"].values()
    totals = (sum(entry[key] for entry in entries) for key in ("classes", *SPLITS))
    megabytes = sum(entry["bytes"] for entry in entries) / 1e6
    footer: Row = ("total", *totals, "", "", "", "", megabytes, "")
    return Table(info["name"], columns, rows, footer)


def _info_row(name: str, entry: dict[str, Any]) -> Row:
    sides = entry["width"], entry["height"]
    error = entry["baseline_error"]
    return (
        name,
        entry["classes"],
        *(entry[split] or None for split in SPLITS),
        " ".join(entry["labelled"]) or "nothing",
        " x ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in sides),
        "yes" if entry["flip"] else "no",
        entry["crop"],
        entry["bytes"] / 1e6,
        None if error is None else 100 * error,
    )


def statistics(file: PackedFile) -> dict[str, Any]:
    """Return every domain's mean and standard deviation, measured again, with those in the file."""
    domains = {}
    for domain in file.benchmark:
        moments = measure(file, domain.name)
        domains[domain.name] = {
            "split": measured_split(file.splits(domain.name)),
            "pixels": moments.pixels,
            "mean": moments.mean,
            "std": moments.std,
            "stored_mean": domain.mean,
            "stored_std": domain.std,
        }
    return {"name": file.benchmark.name, "digest": file.digest, "domains": domains}


def statistics_table(measured: dict[str, Any]) -> Table:
    """Return the result of `statistics` as a table, two rows per domain."""
    columns = (
        Column("domain", "domain"),
        Column("of", "of"),
        *(Column(f"{kind}_{colour}", f"{kind} {colour}", 4) for kind in ("mean", "std") for colour in "RGB"),
    )
    rows: list[Row] = []
    for name, entry in measured["domains"].items():
        rows.append((name, f"{entry['split']}, measured", *entry["mean"], *entry["std"]))
        rows.append(("", "in the file", *entry["stored_mean"], *entry["stored_std"]))
    return Table(measured["name"], columns, tuple(rows))


def check_table(file: PackedFile) -> Table:
    """Return the number of images of every split of a file without problems."""
    columns = (Column("domain", "domain"), *(Column(split, split, 0) for split in SPLITS), Column("state", "state"))
    rows = [
        (domain.name, *(file.count(domain.name, split) or None for split in SPLITS), "ok")
        for domain in file.benchmark
    ]
    return Table(f"{file.path} is whole", columns, tuple(rows))
