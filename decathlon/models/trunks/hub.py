"""Weights from a model hub, as safetensors alone: whatever else a repository holds is never asked for."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from decathlon.errors import DecathlonError, UsageError

FILE = "model.safetensors"
PATIENCE = 5.0  # seconds for the hub's first answer


def fetch_weights(repository: str, trunk: str) -> str:
    """Return the path of a repository's safetensors in the hub's cache, downloaded unless they are there.

    Raises UsageError where the repository has none, DecathlonError, which says where the file belongs, where the
    hub does not answer, or names the variable that leads to a cache which cannot be read.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return str(hf_hub_download(repository, FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    except OSError as error:
        problem = f"cannot look for the weights of {trunk} in {constants.HF_HUB_CACHE} ({error.strerror or error})"
        raise DecathlonError(f"{problem}. Set HF_HOME to a folder of yours.") from None
    try:
        with _quiet():
            # asked first: the download would try again for a minute
            get_hf_file_metadata(hf_hub_url(repository, FILE), timeout=PATIENCE)
            return str(hf_hub_download(repository, FILE))
    except Exception as error:  # of the hub's HTTP library, which changes with its versions
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise only_pickle(trunk) from None
        folder = f"models--{repository.replace('/', '--')}"
        raise DecathlonError(
            f"the weights of {trunk} cannot be fetched from {constants.ENDPOINT} ({first_line(error)}). Run "
            f"'hf download {repository} {FILE}' where there is a network, and copy {folder} from its cache into "
            f"{constants.HF_HUB_CACHE}."
        ) from error


def only_pickle(trunk: str) -> UsageError:
    """Return the error for weights that nobody publishes as safetensors."""
    problem = f"the weights of {trunk} are published as pickle alone, which can run code and is never loaded"
    return UsageError(f"{problem}. Choose others: 'timm.list_pretrained()' lists them.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's own warnings off the terminal: the one error says what failed."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind."""
    said = re.sub(r"^\[Errno -?\d+\] ", "", str(error).strip())
    return said.splitlines()[0].rstrip(".") if said else type(error).__name__
