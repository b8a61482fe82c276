"""The results file of the challenge: one predicted category for every image of a split.

A JSON list of `{"image_id": int, "category_id": int}`; other keys of a row are ignored. Rows without a list, one a
line, are read too, and the challenge's upload form, a zip of such a file. A sidecar beside it,
`<stem>.protocol.json`, may record how the predictions were made and the SHA-256 of the results it belongs to.
"""

import codecs
import hashlib
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data.ground_truth import Split
from decathlon.data.zips import opened, unpack
from decathlon.errors import DataError, VerificationError
from decathlon.system import schema
from decathlon.system.checksums import read_sealed, seal
from decathlon.system.files import read_bytes, replacing, write_bytes
from decathlon.system.json_entries import SHORT, Room, entries, lines
from decathlon.system.strict_json import dump_json, parse_json, too_long
from decathlon.system.text import format_value, several

REPREDICT = "Restore a copy or make both again with 'decathlon predict RUN --data FILE.h5 --force'"
LISTED = 10  # offenders of each kind
LARGEST = 100 * 2**20  # bytes unpacked; the official test images make 8 MB
MOST_ROWS = 1_000_000  # the official test images make 180,000


class Offenders:
    """How many of a kind there are, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def append(self, offender: object) -> None:
        """Add one."""
        self.count += 1
        if self.count <= LISTED:
            self.first.append(format_value(offender) if isinstance(offender, int) else str(offender))


Offences = dict[str, Offenders]  # by kind


@dataclass(frozen=True)
class Results:
    """Predictions read from `source`: `category_ids[i]` is the answer for `image_ids[i]`."""

    source: Path
    image_ids: tuple[int, ...]
    category_ids: tuple[int, ...]
    protocol: Mapping[str, Any] | None = None

    @property
    def split(self) -> Split | None:
        """The split that the protocol names; None where it names none."""
        return split_in(self.protocol)


def split_in(protocol: Mapping[str, Any] | None) -> Split | None:
    """Return the split that a protocol names; None where it names none."""
    return {"test": "test", "val": "val"}.get(str((protocol or {}).get("split")))  # type: ignore[return-value]


def of_split(stem: str, split: Split) -> str:
    """Return the name of a run's results or score: those of the test split have the plain one."""
    return f"{stem}.json" if split == "test" else f"{stem}-{split}.json"


def read_results(path: str | Path) -> Results:
    """Read a results file, or a zip of one, and its sidecar: for every image id the predicted category id.

    Raises DataError for anything but a list of rows with integer ids, or such rows one a line, VerificationError
    when the sidecar belongs to other results.
    """
    path = Path(path)
    data = read_bytes(path, most=LARGEST)
    if data.startswith(b"PK\3\4"):
        data = _unzipped(data, path)
    protocol = read_protocol(path, hashlib.sha256(data).hexdigest())
    image_ids, category_ids = _columns(_rows(data, path), path)
    return Results(path, image_ids, category_ids, protocol)


def _unzipped(data: bytes, path: Path) -> bytes:
    """Return the one results file in a zip."""
    try:
        with opened(io.BytesIO(data), str(path)) as archive:
            found = [each for each in archive.infolist() if _is_results(each.filename.rpartition("/")[2])]
            if len(found) != 1:
                raise DataError(f"{path} holds {several(len(found), 'results file')}. Zip one results.json.")
            if found[0].file_size > LARGEST:
                raise too_long(f"{path}:{found[0].filename}", found[0].file_size, LARGEST)
            return unpack(archive, found[0], f"{path}:{found[0].filename}")
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is not an intact zip ({error}). Copy it again.") from None


def _is_results(name: str) -> bool:
    # Archives made on a Mac hold a `._name` beside every name.
    return name.endswith((".json", ".jsonl")) and not name.startswith(".") and not name.endswith(".protocol.json")


def _rows(data: bytes, path: Path) -> Iterator[Any]:
    """Yield the rows of a results file: a list, or one object a line; raises DataError for another kind of JSON."""
    data, room = data.removeprefix(codecs.BOM_UTF8), Room(MOST_ROWS, 2 * MOST_ROWS)
    first = data.lstrip().partition(b"\n")[0].rstrip()
    before, named, _ = first.partition(b'"image_id"')
    if not (named and first.startswith(b"{") and first.endswith(b"}") and (b"[" not in before or _is_row(first))):
        for key, position, row in entries(data, str(path), room):
            if position < 0 and (key is not None or row != []):
                form = 'Results are a JSON list of {"image_id": …, "category_id": …}'
                raise DataError(f"{path} is not a list. {form}.")
            if position >= 0:
                yield row
        return
    yield from lines(data, str(path), room)


def _is_row(line: bytes) -> bool:
    """Return whether a line that begins with a list, as of scores, is a row, and not a whole file of others."""
    if len(line) > SHORT:
        return False
    try:
        return "image_id" in parse_json(line, "")
    except DataError:
        return False


def write_results(
    path: Path, image_ids: Iterable[int], category_ids: Iterable[int], protocol: Mapping[str, Any]
) -> None:
    """Write predictions and, in a sidecar, the protocol with the SHA-256 of the results.

    Takes lists and integer arrays alike. Equal predictions give equal bytes.
    """
    rows = (
        f'{{"image_id":{int(image)},"category_id":{int(category)}}}'
        for image, category in zip(image_ids, category_ids, strict=True)
    )
    data = ("[\n" + ",\n".join(rows) + "\n]\n").encode()
    sealed = seal({**protocol, "results_sha256": hashlib.sha256(data).hexdigest()})
    # The sidecar is on the disk before the results appear and gets its name after them: after a crash in between,
    # the old sidecar does not match and the pair is refused.
    with replacing(protocol_path(path)) as part:
        part.write_text(dump_json(sealed), encoding="utf-8")
        write_bytes(path, data)


def refuse_offences(source: Path, offences: Offences, found_in: str = "") -> None:
    """Raise DataError listing the first offenders of each kind, if any; `found_in` says what was looked at."""
    lines = [
        f"  {kind} ({found.count:,}): {', '.join(found.first)}{', …' if found.count > LISTED else ''}"
        for kind, found in offences.items()
    ]
    if lines:
        raise DataError(f"{source} cannot be scored{found_in}; fix the problems below.", lines)


def _columns(rows: Iterable[Any], path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    offences: Offences = defaultdict(Offenders)
    image_ids: list[int] = []
    category_ids: list[int] = []
    position = 0
    for position, row in enumerate(rows, 1):
        if position % 10_000 == 1:  # of a file of something else, some are enough
            refuse_offences(path, offences, f", as its first {position - 1:,} rows show")
        image, category = (
            (row.get("image_id", ...), row.get("category_id", ...)) if type(row) is dict else (..., ...)
        )
        if type(image) is int and type(category) is int:
            image_ids.append(image)
            category_ids.append(category)
        elif image is ... or category is ...:
            offences["malformed row, without image_id and category_id"].append(f"row {position}")
        else:
            key = "category_id" if type(image) is int else "image_id"
            offences["id that is not an integer"].append(f"row {position} {key} {format_value(row[key])}")
    if not position:
        raise DataError(f"{path} is an empty list. Name a file with predictions.")
    refuse_offences(path, offences)
    return tuple(image_ids), tuple(category_ids)


def protocol_text(protocol: Mapping[str, Any]) -> str | None:
    """Summarise what rows must share to be comparable; None when nothing is known."""
    units = {
        "split": "on {}", "fit": "{}", "epochs": "{}", "keep": "{} in validation", "average": "{} of weights",
        "changed": "{} changed",
        "size": "{} px", "eval_size": "evaluated at {} px", "trunk": "{}",
        "trained": "after ({})", "own": "own {}", "seeds": "seeds {}",
    }  # fmt: skip
    known = {name: value for name, value in protocol.items() if value is not None}
    if known.get("split") == "test":  # so it is unless said otherwise
        del known["split"]
    if "epochs" in known:
        changed = f" ({known.pop('changed')} changed)" if "changed" in known else ""
        known["epochs"] = several(known["epochs"], "epoch") + changed
    return ", ".join(unit.format(known[name]) for name, unit in units.items() if name in known) or None


def protocol_path(path: Path) -> Path:
    """Return the path of the sidecar of the results file `path`."""
    return path.with_name(f"{path.stem}.protocol.json")


def read_protocol(path: Path, digest: str) -> Mapping[str, Any] | None:
    """Read the sidecar of the results file `path` with this SHA-256; return None when there is no sidecar."""
    sidecar = protocol_path(path)
    if not sidecar.exists():
        return None
    protocol: dict[str, Any] = read_sealed(sidecar, REPREDICT)
    schema.check(protocol, dict, str(sidecar), REPREDICT)
    if protocol.get("results_sha256", digest) != digest:
        raise VerificationError(
            f"{sidecar} belongs to other results than {path} (their SHA-256 differ). {REPREDICT}, or score a "
            f"copy of {path.name} alone, without a protocol."
        )
    return protocol
