"""What libraries raise that read files elsewhere, as one sentence that says what can be done.

Told by the names of classes and by HTTP's numbers, so that no such library has to be imported.
Knows nothing of copies, and of no way to ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from search_spaces.data_files import DataError, DataUnavailable
from search_spaces.problems import hint, listed
from search_spaces.secrets import redacted

_LONGEST = 200  # characters of a library's own words
_NAMED = 6  # files beside one that is not there

_NETWORK = (
    *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "HTTPClientError"),
    *("ConnectionClosedError", "ClientConnectorError", "ClientOSError", "ServerDisconnectedError"),
    *("ServerTimeoutError", "ServiceRequestError", "ServiceResponseError", "TransportError"),
    *("ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "TimeoutError"),
    *("gaierror", "FSTimeoutError", "ConnectError", "ConnectTimeout", "ReadTimeout"),
    *("NetworkError", "OfflineModeIsEnabled", "IncompleteRead", "ClientPayloadError"),
)
_UNKNOWN_USER = (
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("ProfileNotFound", "DefaultCredentialsError", "CredentialUnavailableError", "RefreshError"),
    *("NoAuthTokenError", "TokenRetrievalError", "ClientAuthenticationError"),
)
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or ~/.aws/credentials; "
    "FSSPEC_S3_ANON=true for a public bucket",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "or AZURE_STORAGE_CONNECTION_STRING, or `az login`",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login`; "
    "FSSPEC_GS_TOKEN=anon for a public bucket",
}
_SAME = {"s3a": "s3", "abfs": "az", "abfss": "az", "gcs": "gs"}


@contextmanager
def explained(url: str, beside: Callable[[], Sequence[str]] | None = None) -> Iterator[None]:
    """Turn what is raised into a DataError, or a DataUnavailable where the network is at fault.

    `beside`: the names in the folder of a file that is not there.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - every library raises classes of its own
        raise _translated(url, error, beside) from None


def _translated(
    url: str, error: Exception, beside: Callable[[], Sequence[str]] | None
) -> DataError:
    chain = list(_chain(error))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    status = next((s for s in map(_status, chain) if s is not None), 0)
    name, reason = redacted(url), _reason(chain[-1] if not str(error) else error)
    if (names & set(_UNKNOWN_USER) or _no_account(error)) and status not in (401, 403):
        return DataError(f"{name}: no credentials ({reason}); {_how(url)}")
    if isinstance(error, PermissionError) or status in (401, 403):
        return DataError(f"{name}: access is denied ({reason}); {_how(url)}")
    if names & set(_NETWORK) or status >= 500 or status == 429:
        cause = _reason(next((e for e in chain if type(e).__name__ in _NETWORK), error))
        return DataUnavailable(f"{name} cannot be reached ({cause}){_hanging(url, error)}")
    if isinstance(error, FileNotFoundError) or status == 404:
        return DataError(f"{name}: there is no such file{_near(url, beside)}")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{name} is a folder, expected a file")
    return DataError(f"{name} cannot be read: {type(error).__name__}: {reason}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """HTTP's number, where the error has one."""
    for name in ("status", "status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return int(value)
    return None


def _no_account(error: Exception) -> bool:
    """Adlfs says it in a ValueError."""
    return isinstance(error, ValueError) and "account" in str(error)


def _reason(error: BaseException) -> str:
    """The first line of a library's own words, without secrets."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = redacted(" ".join(lines[0].split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _how(url: str) -> str:
    scheme = url.partition("://")[0]
    found = _CREDENTIALS.get(_SAME.get(scheme, scheme))
    return "see docs/space.md, data" if found is None else f"they are looked for in {found}"


def _hanging(url: str, error: Exception) -> str:
    """Libraries look for credentials of the machine in the network where there are no others."""
    if not isinstance(error, TimeoutError):
        return ""
    advice = "TUNER_DATA_TIMEOUT is how many seconds to wait"
    scheme = url.partition("://")[0]
    words = "" if scheme.startswith("http") else f"; credentials: {_how(url)}"
    return f"; {advice}{words}"


def _near(url: str, beside: Callable[[], Sequence[str]] | None) -> str:
    """What is in its folder, or that the folder is not there either."""
    if beside is None:
        return ""
    try:
        names = sorted(beside())
    except Exception:  # noqa: BLE001 - that folder, or the right to list it, may be missing too
        return f"; {redacted(url.rpartition('/')[0])} cannot be listed either: is the name right?"
    name = url.rpartition("/")[2]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    there = f"; beside it: {listed(names[:_NAMED], 'and') if not more else ', '.join(names[:6])}"
    return (there + more if names else "; its folder is empty") + hint(name, names)
