"""Known files from the web: mirror after mirror, with retries, resumed where it stopped, checked by digest."""

from __future__ import annotations

from pathlib import Path

from decathlon.data_prep.download.http_client import GiveUp, TryAgain
from decathlon.data_prep.download.messages import interrupted, no_link, nowhere
from decathlon.data_prep.download.mirrors import KnownFile
from decathlon.data_prep.download.partial_file import Part, digest_of
from decathlon.data_prep.download.transfer import Fetching, check_room, download, host
from decathlon.errors import DecathlonError, UsageError, VerificationError
from decathlon.system.locks import locked


def fetch(file: KnownFile, folder: Path, how: Fetching) -> bool:
    """Put a known file into `folder`; return False when it was there already.

    It appears under its name only when it is whole and its digest is right. Raises VerificationError when a file
    there or from a mirror has another digest, BusyError when another process fetches it, Interrupted on Ctrl-C,
    DecathlonError when no mirror has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".{file.name}.lock", folder / file.name, "is being fetched"):
            return _fetch(file, Part(folder, file.name), how)
    except OSError as error:  # of the disk: what fails on the web has a sentence already
        reason = error.strerror or str(error)
        raise DecathlonError(
            f"cannot write {folder / file.name} ({reason}): free some space or choose another folder with -o."
        ) from None


def _fetch(file: KnownFile, part: Part, how: Fetching) -> bool:
    if _is_there(file, part, how):
        part.discard()
        return False
    if not file.mirrors:
        raise no_link(file, part)
    if file.size is not None:
        check_room(part, file.size)
    failures: dict[str, GiveUp] = {}
    begun = part.origin[0]
    for url in sorted(file.mirrors, key=lambda url: url != begun):  # a part goes on where it came from
        try:
            _from_mirror(file, url, part, how)
        except GiveUp as failure:
            failures[url] = failure
            if len(failures) < len(file.mirrors):
                how.say(f"{url}: {failure}; trying the next mirror")
        except KeyboardInterrupt:
            raise interrupted(part) from None
        else:
            part.finish()
            return True
    raise nowhere(file, failures, part)


def _is_there(file: KnownFile, part: Part, how: Fetching) -> bool:
    """Say whether the file stands there whole; raises VerificationError when another one does, without `force`."""
    if not part.target.exists():
        return False
    if not part.target.is_file():
        raise UsageError(f"{part.target} is no file: choose another folder with -o.")
    size = part.target.stat().st_size
    if file.size in (None, size):
        found = digest_of(part.target, file.algorithm, how.progress)
        if found == file.digest:
            return True
        difference = f"{file.checked_by} {found}, the known one is {file.digest}"
    else:
        difference = f"{size:,} bytes, the known one has {file.size:,}"
    if how.force:
        return False
    raise VerificationError(
        f"{part.target} is there with {difference}: add --force to replace it, or move it away."
    )


def _from_mirror(file: KnownFile, url: str, part: Part, how: Fetching) -> None:
    """Bring the whole file from one mirror and check it; raises GiveUp."""
    how.say(f"fetching {file.name} from {host(url)}")
    failed, most = 0, part.size
    while True:
        try:
            _attempt(file, url, part, how)
            return
        except TryAgain as reason:
            if part.size > most:  # it goes on, if slowly: a long file on a bad line must not use up its tries
                failed, most = 0, part.size
            failed += 1
            if failed > how.retries:
                raise GiveUp(str(reason)) from None
            wait = how.wait(failed, reason.wait)
            how.say(f"{host(url)}: {reason}; trying again in {wait:.0f} s ({failed} of {how.retries})")
            how.pause(wait)


def _attempt(file: KnownFile, url: str, part: Part, how: Fetching) -> None:
    resumed = bool(part.size)
    download(file, url, part, how)
    found = digest_of(part.path, file.algorithm, how.progress)
    if found == file.digest:
        return
    part.discard()
    difference = f"what came has {file.checked_by} {found}, the known one is {file.digest}"
    if resumed:  # the beginning may be what is wrong
        raise TryAgain(f"{difference}; from the beginning once more", wait=0)
    raise GiveUp(difference, wrong=True)
