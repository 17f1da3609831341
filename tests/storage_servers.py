"""Object stores on this machine: real servers of S3, Azure Blob and Google Cloud Storage."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_AZURE_KEY = (  # the one that every Azurite has, as its documentation says
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
PLACE = "tune-data"
"""The bucket, or container, that every store has."""


class Storage(ABC):
    """A store that runs. `environment`: what tells the client library of it."""

    scheme: str
    environment: dict[str, str]

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def url(self, key: str, place: str = PLACE) -> str:
        return f"{self.scheme}://{place}/{key}"

    @abstractmethod
    def put(self, key: str, content: bytes) -> None:
        """Write an object."""


class S3(Storage):
    scheme = "s3"

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        super().__init__(process, port)
        import boto3

        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "an-access-key",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-s3",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="an-access-key",
            aws_secret_access_key="a-secret-of-s3",
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket=PLACE)

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=PLACE, Key=key, Body=content)


class Azure(Storage):
    scheme = "az"

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        super().__init__(process, port)
        from azure.storage.blob import BlobServiceClient

        connection = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_AZURE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
        self.environment = {"AZURE_STORAGE_CONNECTION_STRING": connection}
        self._client = BlobServiceClient.from_connection_string(connection)
        self._client.create_container(PLACE)

    def put(self, key: str, content: bytes) -> None:
        self._client.get_blob_client(PLACE, key).upload_blob(content, overwrite=True)


class Gcs(Storage):
    scheme = "gs"

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        super().__init__(process, port)
        # The emulator has no gRPC, by which gcsfs asks of what kind a bucket is.
        os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
        import gcsfs

        self.environment = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}
        address = self.environment["STORAGE_EMULATOR_HOST"]
        self._system: Any = gcsfs.GCSFileSystem(endpoint_url=address, token="anon")

    def put(self, key: str, content: bytes) -> None:
        self._system.pipe_file(f"{PLACE}/{key}", content)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server: that of moto."""
    _need("s3fs", "boto3", "moto")
    with _server(_beside_python("moto_server"), "-H", "127.0.0.1", "-p", "{port}") as found:
        yield S3(*found)


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """Microsoft's emulator of Azure Blob."""
    _need("adlfs", "azure.storage.blob")
    command = os.environ.get("TUNER_TEST_AZURITE") or shutil.which("azurite-blob")
    if command is None:
        pytest.skip("azurite-blob is not there: npm install -g azurite, or TUNER_TEST_AZURITE")
    options = ("--blobHost", "127.0.0.1", "--blobPort", "{port}", "--silent", "--location")
    folder = str(tmp_path_factory.mktemp("azurite"))
    with _server(command, *options, folder, "--skipApiVersionCheck") as found:
        yield Azure(*found)


@pytest.fixture(scope="session")
def gcs() -> Iterator[Gcs]:
    """An emulator of Google Cloud Storage."""
    _need("gcsfs", "gcp_storage_emulator")
    options = ("start", "--host=127.0.0.1", "--port={port}", "--in-memory")
    command = _beside_python("gcp-storage-emulator")
    with _server(command, *options, f"--default-bucket={PLACE}") as found:
        yield Gcs(*found)


def _need(*modules: str) -> None:
    for name in modules:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{name} is not installed")


def _beside_python(command: str) -> str:
    return str(Path(sys.executable).parent / command)


@contextmanager
def _server(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port, command)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, command: Sequence[str]) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"{command[0]} does not answer"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
