"""Amazon's S3 on this machine: moto on loopback, and a wire in front of it that counts what is asked and can be cut."""

import contextlib
import socket
import threading

import boto3
from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def s3_listening():
    """An S3 server, as (host, port)."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()


@contextlib.contextmanager
def emptied_bucket(server, bucket):
    """The client of a bucket's owner; the bucket is made before and is gone afterwards."""
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    owner = boto3.client("s3", region_name="us-east-1", endpoint_url="http://{}:{}".format(*server), **keys)
    owner.create_bucket(Bucket=bucket)
    try:
        yield owner
    finally:
        for version in owner.list_object_versions(Bucket=bucket).get("Versions", []):
            owner.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
        owner.delete_bucket(Bucket=bucket)


class Wire:
    """A TCP proxy that closes each successive connection after so many bytes of the answer; None: never.

    Parameters
    ----------
    target : host and port
    cuts : for each connection the number of bytes of the answer that come through
    cut_of : request -> such a number, once there are no more `cuts`
    """

    def __init__(self, target, cuts=(), cut_of=lambda request: None):
        self.target, self.cuts, self.cut_of, self.asked = target, list(cuts), cut_of, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, socket.create_connection(self.target) as server:
                self.carry(client, server)

    def carry(self, client, server):
        request = b""
        while b"\r\n\r\n" not in request:
            received = client.recv(65536)
            if not received:
                return
            request += received
        self.asked.append(request.decode("latin-1"))
        # one request a connection, so that the end of the answer is the end of the stream
        server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        left = self.cuts.pop(0) if self.cuts else self.cut_of(self.asked[-1])
        with contextlib.suppress(OSError):
            while left != 0 and (answer := server.recv(65536 if left is None else min(left, 65536))):
                client.sendall(answer)
                left = left if left is None else left - len(answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
