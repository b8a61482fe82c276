"""Files from mirrors that cut, lie, change, hang and lead astray: the right bytes come, or a sentence does."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.request import Request

import filelock
import pytest

from decathlon.data_prep.download.http_client import GiveUp, _Redirects
from decathlon.errors import BusyError, DecathlonError, Interrupted, UsageError, VerificationError
from tests.helpers import web_server as web
from tests.helpers.fetching import BODY, OTHER, PATH, Fetched, known
from tests.helpers.web_server import Page, honest, status


def interrupt_after(size: int) -> Callable[[str, int, int | None], None]:
    def progress(what: str, done: int, total: int | None) -> None:
        if done >= size:
            raise KeyboardInterrupt

    return progress


def broken_off(get: Fetched, after: int = 100_000) -> None:
    """Leave a part of the honest page."""
    page = get.server.pages[PATH]
    page.faults.insert(0, honest(cut=after))
    with pytest.raises(DecathlonError):
        get(retries=0)
    assert get.part.stat().st_size == after
    get.server.asked.clear()


def test_a_file_arrives_whole_and_alone(get: Fetched) -> None:
    get.page()
    seen: list[tuple[str, int, int | None]] = []
    assert get(progress=lambda *step: seen.append(step))
    get.whole()
    assert get.server.ranges() == [None] and get.waits == []
    assert seen[-1] == ("checking", len(BODY), len(BODY)) and ("fetching", len(BODY), len(BODY)) in seen


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145])
def test_any_size(get: Fetched, size: int) -> None:
    get.page(body=BODY[:size])
    assert get(known(get.server.url(PATH), body=BODY[:size], size=size or None))
    assert (get.folder / "a.bin").read_bytes() == BODY[:size]


def test_a_cut_connection_goes_on_where_it_stopped(get: Fetched) -> None:
    get.page(honest(cut=100_000), honest(cut=50_000))
    get()
    get.whole()
    assert get.server.ranges() == [None, "bytes=100000-", "bytes=150000-"]
    assert [headers.get("If-Range") for _, headers in get.server.asked] == [None, '"one"', '"one"']
    assert "the connection was cut after 100,000 of 300,000 bytes; trying again in" in get.lines[1]


def test_a_bad_line_that_goes_on_uses_up_no_tries(get: Fetched) -> None:
    get.page(*[honest(cut=20_000)] * 14)
    get(retries=1)
    get.whole()
    assert len(get.waits) == 14 and all(0.5 <= wait <= 1.5 for wait in get.waits)


def test_tries_without_a_new_byte_are_counted_and_wait_longer(get: Fetched) -> None:
    get.page(honest(cut=1000), *[honest(cut=0)] * 9)
    with pytest.raises(DecathlonError, match="the connection was cut after 1,000 of 300,000 bytes") as end:
        get(retries=3)
    assert end.value.exit_code == 1 and "the same command resumes after 0.0 MB" in str(end.value)
    # the first cut brought bytes, so only those after it count
    assert all(0.5 * 2**i <= wait <= 1.5 * 2**i for i, wait in enumerate(get.waits)) and len(get.waits) == 3
    assert get.part.read_bytes() == BODY[:1000] and not (get.folder / "a.bin").exists()


def test_a_later_call_goes_on_with_the_part(get: Fetched) -> None:
    get.page()
    broken_off(get)
    get()
    get.whole()
    assert get.server.ranges() == ["bytes=100000-"]


def test_a_whole_part_needs_no_request(get: Fetched) -> None:
    get.page()
    broken_off(get)
    get.part.write_bytes(BODY)
    get()
    get.whole()
    assert get.server.asked == []


@pytest.mark.parametrize("length", [100_000, 300_000, 300_001])
def test_a_damaged_part_costs_one_new_download(get: Fetched, length: int) -> None:
    get.page()
    broken_off(get)
    get.part.write_bytes(b"x" * length)
    get()
    get.whole()
    assert get.server.ranges()[-1] is None


@pytest.mark.parametrize("note", [None, "{", "[]", '{"url": "u"}'])
def test_a_lost_note_costs_a_new_download(get: Fetched, note: str | None) -> None:
    get.page()
    broken_off(get)
    path = get.folder / ".a.bin.part.json"
    path.unlink() if note is None else path.write_text(note)
    get()
    get.whole()
    assert get.server.ranges() == [None]


def test_a_server_without_ranges_begins_again(get: Fetched) -> None:
    get.page(honest(cut=100_000), ranges=False)
    get()
    get.whole()
    assert get.server.ranges() == [None, "bytes=100000-"]
    assert any("cannot resume after 0.1 MB; starting over" in line for line in get.lines)


@pytest.mark.parametrize("if_range", [True, False])
def test_two_versions_never_mix(get: Fetched, if_range: bool) -> None:
    """The old version's beginning is dropped, whether the server heeds If-Range or only tells the new ETag."""
    get.page(honest(cut=100_000), web.changing(BODY, '"two"', if_range), body=OTHER)
    get()
    get.whole()
    assert get.server.ranges() == [None, "bytes=100000-", *([] if if_range else [None])]
    assert not any("SHA-256" in line for line in get.lines)  # it was not found by the digest only


def test_a_mixed_file_is_found_by_its_digest(get: Fetched) -> None:
    """Negative control: a server that hides the change is believed, and the digest is not."""
    page = get.page(honest(cut=100_000), body=OTHER)

    def hiding(handler: web.Handler, page: Page) -> None:
        page.body = BODY
        honest()(handler, page)

    page.faults.append(hiding)
    get()
    get.whole()
    assert any("SHA-256" in line and "starting over" in line for line in get.lines)
    assert get.server.ranges() == [None, "bytes=100000-", None]


@pytest.mark.parametrize(
    ("version", "sent"),
    [
        ({}, None),
        ({"ETag": 'W/"weak"'}, None),
        ({"Last-Modified": "Mon, 20 Mar 2017 10:00:00 GMT"}, "Mon, 20 Mar 2017 10:00:00 GMT"),
        ({"ETag": 'W/"weak"', "Last-Modified": "Mon, 20 Mar 2017 10:00:00 GMT"}, "Mon, 20 Mar 2017 10:00:00 GMT"),
        ({"ETag": '"one"', "Last-Modified": "Mon, 20 Mar 2017 10:00:00 GMT"}, '"one"'),
    ],
)
def test_only_what_names_a_version_lets_a_part_go_on(
    get: Fetched, version: dict[str, str], sent: str | None
) -> None:
    get.page(honest(cut=100_000)).version = version
    get()
    get.whole()
    assert get.server.asked[1][1].get("If-Range") == sent
    assert get.server.ranges()[1] == (sent and "bytes=100000-")


@pytest.mark.parametrize("size", [len(BODY), None])
def test_nothing_after_the_part(get: Fetched, size: int | None) -> None:
    """A 416 to a part that has all bytes of a file of unknown size: it is whole. With fewer bytes: begin anew."""
    get.page()
    broken_off(get)
    if size:
        get.server.pages[PATH].faults = [status(416, Content_Range="bytes */0")]
    else:
        get.part.write_bytes(BODY)
    get(known(get.server.url(PATH), size=size))
    get.whole()
    assert get.server.ranges() == (["bytes=100000-", None] if size else ["bytes=300000-"])


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 501])
def test_a_dead_link_is_left_at_once_for_the_next_mirror(get: Fetched, code: int) -> None:
    get.page(status(code), path="/dead")
    get.page()
    get(known(get.server.url("/dead"), get.server.url(PATH)))
    get.whole()
    assert [path for path, _ in get.server.asked] == ["/dead", PATH] and get.waits == []
    assert f"it returns {code}" in get.lines[1] and "trying the next mirror" in get.lines[1]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(get: Fetched, code: int) -> None:
    get.page(status(code), status(code))
    get()
    get.whole()
    assert len(get.waits) == 2 and 0.5 <= get.waits[0] <= 1.5 and 1 <= get.waits[1] <= 3


def test_the_server_says_how_long_to_wait(get: Fetched) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = "Mon, 20 Mar 2017 10:00:00 GMT"
    get.page(*(status(503, Retry_After=text) for text in ("7", soon, past, "86400", "-3", "soon", "9" * 400)))
    get(retries=7)
    get.whole()
    assert get.waits[0] == 7 and 25 < get.waits[1] <= 30 and get.waits[2:4] == [0, 60]
    assert all(0.5 * 2**i <= wait <= min(60, 1.5 * 2**i) for i, wait in enumerate(get.waits[4:], 4))


def test_the_dead_end_names_file_digest_and_how_to_go_on(get: Fetched) -> None:
    with pytest.raises(DecathlonError) as end:
        get()
    assert end.value.exit_code == 1
    assert str(end.value) == (
        f"no mirror has a.bin (300,000 bytes, SHA-256 {known().digest}): {get.server.url(PATH)}: it "
        f"returns 404 Not Found. Add a mirror with --mirrors FILE.toml, or get the file elsewhere, put it into "
        f"{get.folder}, run this command again to check it, and continue with "
        f"'decathlon data build dtd --from {get.folder}/a.bin -o FILE.h5'."
    )
    (get.folder / "a.bin").write_bytes(BODY)
    assert not get()  # as the sentence says


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/x", "Connection refused"),
        ("ftp://127.0.0.1/x", "unknown url type"),
        ("file:///etc/hostname", "unknown url type"),
        ("data:,x", "unknown url type"),
    ],
)
def test_a_link_that_leads_nowhere(get: Fetched, url: str, message: str) -> None:
    with pytest.raises(DecathlonError, match=message):
        get(known(url), retries=0)


@pytest.mark.parametrize(("code", "tries"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3)])
def test_a_host_without_an_address(get: Fetched, monkeypatch: pytest.MonkeyPatch, code: int, tries: int) -> None:
    """A name that does not exist stays so; a name server that does not answer may come back."""
    asked = []

    def nowhere(*address: object, **more: object) -> None:
        asked.append(address)
        raise socket.gaierror(code, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(DecathlonError, match="the host does not exist" if tries == 1 else "no address"):
        get(known("http://nowhere.example/x"), retries=2)
    assert len(asked) == tries


def test_a_redirect_is_followed_with_the_range(get: Fetched) -> None:
    get.page(status(302, Location=PATH), status(307, Location=PATH), path="/old")
    get.page(honest(cut=100_000))
    get(known(get.server.url("/old")))
    get.whole()
    assert get.server.ranges() == [None, None, "bytes=100000-", "bytes=100000-"]


@pytest.mark.parametrize("scheme", ["file://", "ftp://127.0.0.1", "data:,"])
def test_no_redirect_to_another_scheme(get: Fetched, tmp_path: Path, scheme: str) -> None:
    """The file there is the right one: it must not be taken all the same."""
    (tmp_path / "local").write_bytes(BODY)
    get.page(status(302, Location=f"{scheme}{tmp_path / 'local'}"))
    with pytest.raises(DecathlonError):
        get()
    assert not (get.folder / "a.bin").exists() and get.waits == []


def test_redirects_in_a_circle_end(get: Fetched) -> None:
    get.page(*[status(302, Location=PATH)] * 30)
    with pytest.raises(DecathlonError, match="its redirect is refused"):
        get()
    assert len(get.server.asked) < 20


def test_no_redirect_from_https_to_http() -> None:
    def redirected(url: str, to: str) -> Request | None:
        return _Redirects().redirect_request(Request(url), None, 302, "Found", {}, to)  # type: ignore[arg-type]

    with pytest.raises(GiveUp, match="from https to http://b/x"):
        redirected("https://a/x", "http://b/x")
    for url, to in (("https://a/x", "https://b/x"), ("http://a/x", "https://b/x"), ("http://a/x", "http://b/x")):
        request = redirected(url, to)
        assert request is not None and request.full_url == to


def test_wrong_bytes_are_refused_with_both_digests(get: Fetched) -> None:
    flipped = bytes([BODY[0] ^ 1]) + BODY[1:]
    get.page(body=flipped)
    with pytest.raises(VerificationError) as end:
        get()
    assert end.value.exit_code == 4
    assert hashlib.sha256(BODY).hexdigest() in str(end.value) and hashlib.sha256(flipped).hexdigest() in str(
        end.value
    )
    assert list(get.folder.iterdir()) == []
    assert len(get.server.asked) == 1  # the same bytes again would help nobody


def test_after_wrong_bytes_comes_the_next_mirror(get: Fetched) -> None:
    get.page(path="/wrong", body=OTHER)
    get.page()
    get(known(get.server.url("/wrong"), get.server.url(PATH)))
    get.whole()


def test_a_part_goes_on_only_at_its_own_mirror(get: Fetched) -> None:
    get.page(path="/second")
    get.page()
    broken_off(get)
    get(known(get.server.url("/second"), get.server.url(PATH)))
    get.whole()
    assert [(path, headers.get("Range")) for path, headers in get.server.asked] == [(PATH, "bytes=100000-")]


def test_another_mirror_begins_anew(get: Fetched) -> None:
    get.page(honest(cut=100_000), status(404))
    get.page(path="/second")
    get(known(get.server.url(PATH), get.server.url("/second")))
    get.whole()
    assert get.server.asked[-1][0] == "/second" and get.server.ranges()[-1] is None


@pytest.mark.parametrize("length", ["5", "299999", "300001", "9999999999999"])
def test_a_wrong_length_is_refused_before_a_byte_is_taken(get: Fetched, length: str) -> None:
    get.page(honest(Content_Length=length))
    with pytest.raises(VerificationError, match=f"it offers {int(length):,} bytes, the file has 300,000"):
        get()
    assert not get.part.exists()


def test_a_length_that_is_none_is_no_length(get: Fetched) -> None:
    get.page(honest(Content_Length="many"))
    get()
    get.whole()


@pytest.mark.parametrize(
    "content_range", ["bytes 0-299999/300000", "bytes 99999-299999/300000", "bytes */300000", "x"]
)
def test_a_foreign_range_is_refused(get: Fetched, content_range: str) -> None:
    get.page()
    broken_off(get)
    get.server.pages[PATH].faults = [honest(Content_Range=content_range)]
    with pytest.raises(DecathlonError, match="it sends another range than requested"):
        get()


@pytest.mark.parametrize("fault", [web.unmeasured(b"x"), web.endless()])
def test_too_many_bytes_are_stopped(get: Fetched, fault: web.Fault) -> None:
    get.page(fault)
    with pytest.raises(VerificationError, match="it sends more than the 300,000 bytes the file has"):
        get()
    assert not get.part.exists()


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_server_may_say_nothing_of_the_length(get: Fetched, size: int | None) -> None:
    get.page(web.unmeasured())
    get(known(get.server.url(PATH), size=size))
    get.whole()


@pytest.mark.parametrize("after", [0, 1000])
def test_a_hanging_server_is_left(get: Fetched, after: int) -> None:
    get.page(web.hang(after))
    get(timeout=0.15)
    get.whole()
    assert any("no data arrived for too long; trying again" in line for line in get.lines)


def test_an_answer_that_is_none_is_tried_again(get: Fetched) -> None:
    get.page(web.raw(b""), web.raw(b"hello\r\n\r\n"))
    get()
    get.whole()
    assert len(get.waits) == 2


def test_a_right_file_is_kept(get: Fetched) -> None:
    get.page()
    get()
    before = (get.folder / "a.bin").stat()
    get.server.asked.clear()
    get.part.write_bytes(b"left by an older call")
    assert not get() and not get(force=True)
    get.whole()
    assert get.server.asked == [] and (get.folder / "a.bin").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("body", [OTHER, BODY[:5]])
def test_another_file_in_its_place_is_never_overwritten_by_accident(get: Fetched, body: bytes) -> None:
    get.page()
    get.folder.mkdir()
    (get.folder / "a.bin").write_bytes(body)
    with pytest.raises(VerificationError, match="Add --force to replace it") as end:
        get()
    both = ("5 bytes", "300,000") if len(body) == 5 else (hashlib.sha256(OTHER).hexdigest(), known().digest)
    assert all(value in str(end.value) for value in both)
    assert (get.folder / "a.bin").read_bytes() == body and get.server.asked == []
    assert get(force=True)
    get.whole()


def test_with_force_the_old_file_stays_until_the_new_one_is_whole(get: Fetched) -> None:
    get.page(body=OTHER)
    get.folder.mkdir()
    (get.folder / "a.bin").write_bytes(b"old")
    with pytest.raises(VerificationError):
        get(force=True)
    assert (get.folder / "a.bin").read_bytes() == b"old"


def test_a_folder_in_its_place(get: Fetched) -> None:
    (get.folder / "a.bin").mkdir(parents=True)
    with pytest.raises(UsageError, match="is not a file. Choose another folder"):
        get()


def test_ctrl_c_keeps_the_part_and_says_so(get: Fetched) -> None:
    get.page(honest(cut=200_000))
    with pytest.raises(Interrupted, match=r"0\.2 MB of a\.bin are kept; the same command resumes there") as end:
        get(progress=interrupt_after(200_000))
    assert end.value.exit_code == 130
    kept = get.part.stat().st_size
    get()
    get.whole()
    assert kept == 200_000 and get.server.ranges() == [None, f"bytes={kept}-"]


def test_ctrl_c_promises_nothing_that_cannot_go_on(get: Fetched) -> None:
    get.page(honest(cut=200_000)).version = {}
    with pytest.raises(Interrupted, match=r"Nothing of a\.bin can be resumed"):
        get(progress=interrupt_after(200_000))


def test_two_at_once_do_not_mix(get: Fetched) -> None:
    get.page()
    get.folder.mkdir()
    with filelock.FileLock(get.folder / ".a.bin.lock"), pytest.raises(BusyError, match="another process") as end:
        get()
    assert end.value.exit_code == 5 and get.server.asked == []
    assert get()
    get.whole()


def test_a_small_disk_is_found_before_anything_is_asked(get: Fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    get.page()
    broken_off(get)
    usage = shutil.disk_usage(get.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=199_999))
    with pytest.raises(DecathlonError, match=r"a\.bin needs 0\.2 MB more and .* has 0\.2 MB. Free some space"):
        get()
    assert get.server.asked == [] and get.part.stat().st_size == 100_000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    get()
    get.whole()


def test_a_small_disk_is_found_when_the_server_tells_the_size(
    get: Fetched, monkeypatch: pytest.MonkeyPatch
) -> None:
    get.page()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=299_999))
    with pytest.raises(DecathlonError, match="Free some space|free some space"):
        get(known(get.server.url(PATH), size=None))
    assert not get.part.exists()


def test_a_disk_that_refuses_to_write_is_no_fault_of_the_mirror(get: Fetched) -> None:
    get.page()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(DecathlonError, match=r"cannot write .*a\.bin \(File too large\). Free some space"):
            get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert get.waits == [] and len(get.server.asked) == 1
    get()
    get.whole()


def test_a_folder_that_is_a_file(get: Fetched) -> None:
    get.folder.write_bytes(b"")
    with pytest.raises(DecathlonError, match="choose another folder with -o"):
        get()


def test_the_bytes_are_on_the_disk_before_the_name_is(get: Fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    get.page()
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def renamed(old: Path, new: Path) -> None:
        steps.append(f"{Path(old).name} -> {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    get()
    assert steps[-3:] == [".a.bin.part", ".a.bin.part -> a.bin", "files"]


def test_md5_is_checked_where_nothing_else_is_known(get: Fetched) -> None:
    file = replace(known(get.server.url(PATH)), algorithm="md5", digest=hashlib.md5(BODY).hexdigest())
    get.page()
    assert get(file)
    get.whole()
    (get.folder / "a.bin").write_bytes(OTHER)
    with pytest.raises(VerificationError, match=f"MD5 {hashlib.md5(OTHER).hexdigest()}, .* {file.digest}"):
        get(file)
