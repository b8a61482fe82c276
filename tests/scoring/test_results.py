"""The results file: written byte for byte the same, read strictly, and checked against the truth."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decathlon.data.ground_truth import Truth
from decathlon.data.truth_file import TruthDomain
from decathlon.errors import DataError, VerificationError
from decathlon.scoring.answers import check
from decathlon.scoring.results import protocol_path, read_results, write_results

ANT = TruthDomain("ant", frozenset({10000001, 10000002}), {10200000 + i: 10000001 for i in range(1, 31)})
BEE = TruthDomain("bee", frozenset({20000001, 20000002}), {20200000 + i: 20000002 for i in range(1, 31)})
TRUTH = Truth(Path("truth"), (ANT, BEE))
PERFECT = [(image, category) for domain in TRUTH.domains for image, category in domain.answers.items()]


def put(folder: Path, rows: list[tuple[int, int]]) -> Path:
    file = folder / "results.json"
    file.write_text(json.dumps([{"image_id": image, "category_id": category} for image, category in rows]))
    return file


def refusal(path: Path, partial: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        check(read_results(path), TRUTH, partial)
    return str(caught.value)


def test_results_come_back_with_their_protocol(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, np.array([1, 2]), np.array([7, 8]), {"fit": "train"})
    assert path.read_bytes() == b'[\n{"image_id":1,"category_id":7},\n{"image_id":2,"category_id":8}\n]\n'
    found = read_results(path)
    assert (found.image_ids, found.category_ids) == ((1, 2), (7, 8))
    assert found.protocol is not None and found.protocol["fit"] == "train"
    before = path.read_bytes(), protocol_path(path).read_bytes()
    write_results(path, [1, 2], [7, 8], {"fit": "train"})
    assert (path.read_bytes(), protocol_path(path).read_bytes()) == before


def test_columns_of_unequal_length_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        write_results(tmp_path / "results.json", [1, 2], [7], {})
    assert not (tmp_path / "results.json").exists()


def test_a_protocol_of_other_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, [1], [7], {"fit": "train"})
    put(tmp_path, [(1, 8)])
    with pytest.raises(
        VerificationError,
        match="belongs to other results.*predict RUN --data FILE.h5 --force., or score a copy of results",
    ):
        read_results(path)


def test_results_without_a_sidecar_have_no_protocol(tmp_path: Path) -> None:
    assert read_results(put(tmp_path, PERFECT)).protocol is None


def test_a_malformed_sidecar_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, PERFECT)
    protocol_path(path).write_text("[]")
    with pytest.raises(DataError, match="the whole is a list, not an object"):
        read_results(path)
    protocol_path(path).write_text('{"fit": "\\ud800"}')
    with pytest.raises(DataError, match="not Unicode"):
        read_results(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"answers": [{"image_id": 1, "category_id": 2}]}', "is not a list"),
        ('{\n"image_id": 1,\n"category_id": 2}', "is not a list"),
        ('{"image_id": 1}', "malformed row"),
        ('{"image_id": 1, "category_id": 2}\n{"image_id": 3', "results.json, line 2, is cut off or damaged"),
        ("[]", "empty list"),
        ("", r"results.json is empty. Restore a copy\.$"),
        (" \n", "is empty"),
        ('[\n{"image_id": 1,\n', r"results.json is cut off or damaged \(line 3\). Restore a copy\.$"),
        ("[] []", r"is cut off or damaged. Restore"),
        ("[[1, 2]]", r"malformed row, without image_id and category_id \(1\): row 1"),
        ('[{"image_id": 1}]', "malformed row"),
        ('["x", 1, null]', r"\(3\): row 1, row 2, row 3"),
        ('[{"image_id": 1.0, "category_id": 2}]', r"not an integer \(1\): row 1 image_id 1.0"),
        ('[{"image_id": 1, "category_id": true}]', "row 1 category_id true"),
        ('[{"image_id": "1", "category_id": 2}]', "row 1 image_id '1'"),
        ('[{"image_id": 1, "category_id": null}]', "row 1 category_id null"),
        ('[{"image_id": 1, "category_id": [[1]]}]', "row 1 category_id a list"),
        ('[{"image_id": 1, "category_id": NaN}]', "NaN is not a number"),
        ('[{"image_id": 1, "category_id": 1e400}]', "too large"),
        ('[{"image_id": 1, "image_id": 1, "category_id": 2}]', "duplicate key 'image_id'"),
        (f'[{{"image_id": {"9" * 5000}, "category_id": 2}}]', "not valid JSON"),
        ("[" * 100_000, "not valid JSON: it is nested too deeply"),
    ],
)
def test_a_malformed_results_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_results(path)


def test_perfect_results_pass(tmp_path: Path) -> None:
    assert check(read_results(put(tmp_path, PERFECT)), TRUTH) == ()


def zipped(path: Path, *members: tuple[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_the_upload_form_of_the_challenge_is_read_with_its_protocol(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", [1, 2], [7, 8], {"fit": "train"})
    content = (tmp_path / "results.json").read_bytes()
    junk = ("__MACOSX/._results.json", "junk"), ("results.protocol.json", "{}"), ("readme.txt", "")
    found = read_results(zipped(tmp_path / "results.zip", ("results.json", content), *junk))
    assert (found.image_ids, found.category_ids) == ((1, 2), (7, 8))
    assert found.protocol is not None and found.protocol["fit"] == "train"


def test_a_zip_of_no_results_or_of_several_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results.zip holds 0 results files. Zip one results.json\."):
        read_results(zipped(tmp_path / "results.zip", ("readme.txt", "")))
    with pytest.raises(DataError, match="holds 2 results files"):
        read_results(zipped(tmp_path / "results.zip", ("a.json", "[]"), ("b.json", "[]")))
    whole = zipped(tmp_path / "results.zip", ("results.json", json.dumps([1] * 999))).read_bytes()
    (tmp_path / "results.zip").write_bytes(whole[:60])
    with pytest.raises(DataError, match="results.zip is not an intact zip"):
        read_results(tmp_path / "results.zip")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n\n"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_results_may_be_one_object_a_line(tmp_path: Path, ending: str, rows: int) -> None:
    path = tmp_path / "results.jsonl"
    for keys in (("image_id", "category_id", "scores"), ("scores", "image_id", "category_id")):
        lines = [json.dumps({key: [0.5] if key == "scores" else i for key in keys}) for i in range(rows)]
        path.write_bytes(((ending or "\n").join(lines) + ending).encode())
        assert read_results(path).image_ids == tuple(range(rows))


@pytest.mark.parametrize(
    "text",
    [
        '{"annotations": [{"image_id": 1, "category_id": 7}]}',
        '{"annotations": [' + '{"image_id": 1, "category_id": 7},' * 40_000 + "{}]}",
        '{"info": {"list": [1], "image_id": 1}}',
    ],
)
def test_one_object_of_others_is_no_row(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match="results.json is not a list"):
        read_results(tmp_path / "results.json")


def test_missing_images_are_listed_ten_at_most(tmp_path: Path) -> None:
    message = refusal(put(tmp_path, PERFECT[12:]))
    assert "missing image (12): 10200001 (ant), 10200002 (ant)" in message
    assert "10200010 (ant), …" in message and "10200011" not in message


def test_every_kind_of_offence_is_listed_with_its_count(tmp_path: Path) -> None:
    rows = list(PERFECT)
    rows[0] = (rows[0][0], 20000001)
    rows[1] = (rows[1][0], 10000003)
    rows[2] = rows[3]
    rows += [(99, 10000001), (10**4000, 10000001)]
    message = refusal(put(tmp_path, rows))
    assert "category of another domain (1): 10200001 (ant) as 20000001 (bee)" in message
    assert "unknown category (1): 10200002 (ant) as 10000003" in message
    assert "duplicate image (1): 10200004 (ant)" in message
    assert "foreign image, not in the ground truth (2): 99, 1000" in message
    assert "missing image (1): 10200003 (ant)" in message
    assert len(message) < 1000


def test_a_missing_domain_needs_partial(tmp_path: Path) -> None:
    path = put(tmp_path, PERFECT[:30])
    assert "missing domain; predict it, or score the others with --partial and without a total (1): bee" in refusal(
        path
    )
    assert check(read_results(path), TRUTH, partial=True) == ("bee",)


def test_partial_excuses_no_missing_image(tmp_path: Path) -> None:
    assert "missing image (1): 10200030 (ant)" in refusal(put(tmp_path, PERFECT[:29]), partial=True)


def test_partial_excuses_no_results_of_another_benchmark(tmp_path: Path) -> None:
    message = refusal(put(tmp_path, [(99, 10000001)]), partial=True)
    assert (
        "it answers no test image of ant, bee, which is what truth holds. Name the ground truth of the" in message
    )


def test_400000_rows_are_read_and_checked_in_time(tmp_path: Path) -> None:
    ids = range(10**7, 10**7 + 400_000)
    truth = Truth(tmp_path, (TruthDomain("ant", frozenset({5}), dict.fromkeys(ids, 5)),))
    write_results(tmp_path / "results.json", ids, [5] * len(ids), {})
    start = time.process_time()
    assert check(read_results(tmp_path / "results.json"), truth) == ()
    assert time.process_time() - start < 3


def test_a_truth_that_lacks_domains_is_named_as_such(tmp_path: Path) -> None:
    path = put(tmp_path, PERFECT)
    for file in ("ant_test.json", "bee_test.json"):
        (tmp_path / "truth" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "truth" / file).touch()

    def message(truth: Truth) -> str:
        with pytest.raises(DataError) as caught:
            check(read_results(path), truth, partial=True)
        return str(caught.value)

    assert message(Truth(tmp_path / "truth.zip", (ANT,))) == (
        f"{path} cannot be scored: {tmp_path / 'truth.zip'} holds ant alone, and 30 of its 60 predictions are for "
        "images of other domains. Name a folder or zip with the truth of all of them."
    )
    beside = f"Name the folder {tmp_path / 'truth'}, which holds others too."
    assert message(Truth(tmp_path / "truth" / "ant_test.json", (ANT,))).endswith(beside)
    other = replace(ANT, name="wasp", categories=frozenset({70000001}), answers={70200001: 70000001})
    assert "it answers no test image of wasp, which is what" in message(Truth(tmp_path, (other,)))


def test_a_truth_of_another_split_is_named_as_such(tmp_path: Path) -> None:
    path = put(tmp_path, PERFECT)
    val = replace(ANT, answers={10000000 + i: 10000001 for i in range(1, 31)})
    with pytest.raises(DataError, match=r"answers no val image of ant, .*, or of its test images \(--split test\)"):
        check(read_results(path), Truth(tmp_path, (val,), "val"))


def test_rows_without_a_list_are_refused_in_no_time(tmp_path: Path) -> None:
    """As many rows as an official file has, separated by commas and never closed."""
    path = tmp_path / "results.json"
    path.write_text(", ".join('{"image_id": 1, "category_id": 2}' for _ in range(100_000)) + ",")
    begun = time.monotonic()
    with pytest.raises(DataError):
        read_results(path)
    assert time.monotonic() - begun < 20


def test_lines_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"image_id": 1, "category_id": 2}\n' * 2, encoding="utf-8-sig")
    assert read_results(path).image_ids == (1, 1)


def test_a_file_of_something_else_is_not_counted_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([0] * 30_000))
    with pytest.raises(
        DataError, match=r"cannot be scored, as its first 10,000 rows show.*\n.*\(10,000\): row 1, row 2"
    ):
        read_results(path)
