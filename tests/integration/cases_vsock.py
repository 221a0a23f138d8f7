"""Streams between a guest and programs of the host. The guest is that of a network case."""

import contextlib
import hashlib
import os
import socket
import threading

from harness import check, check_equal

MEGABYTES = 32
CID = 5


def vsock_config(folder):
    return {"cid": CID, "socket": f"{folder}/vsock"}


def listen(folder, port):
    """Returns a listener for the guest's connections to a port of the host."""
    path = f"{folder}/vsock_{port}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    server.settimeout(60)
    return server


def connect(folder, port):
    """Connects to a port of the guest. Returns the connection and the answer to the request."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(120)
    client.connect(f"{folder}/vsock")
    client.sendall(f"CONNECT {port}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        byte = client.recv(1)
        if not byte:
            break
        answer += byte
    return client, answer


def read_all(connection):
    digest = hashlib.sha256()
    while data := connection.recv(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def check_data(vm, folder):
    """Moves data to the guest and back, over connections that either side begins."""
    data = os.urandom(1 << 20) * MEGABYTES
    wanted = hashlib.sha256(data).hexdigest()
    vm.send("vsock listen 2000 </dev/null >/big; sha256sum /big\n")
    vm.expect("LISTENING")
    client, answer = connect(folder, 2000)
    check(answer.startswith(b"OK "), f"the answer to a request: {answer}")
    with client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        check_equal(vm.expect(r"([0-9a-f]{64})\s").group(1), wanted, "what the guest got")
    with listen(folder, 2001) as server:
        got = []

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.settimeout(120)
                got.append(read_all(connection))

        thread = threading.Thread(target=serve)
        thread.start()
        check_equal(vm.shell("vsock connect 2 2001 </big; echo $?", seconds=180).strip(), "0", "vsock")
        thread.join(120)
        check_equal(got, [wanted], "what the host got back")
    vm.shell("rm /big")


def check_half_close(vm, folder):
    """Each side ends its direction; the other direction goes on."""
    with listen(folder, 2002) as server:
        vm.send("echo question | vsock connect 2 2002; echo ENDED-$?\n")
        connection, _ = server.accept()
        with connection:
            check_equal(connection.makefile().read(), "question\n", "what the guest said")
            connection.sendall(b"answer\n")
        vm.expect(r"answer\s+ENDED-0")


def check_refusals(vm, folder):
    out = vm.shell("vsock connect 2 4999 2>&1 </dev/null; vsock connect 9 4999 2>&1 </dev/null")
    check_equal(out.count("Connection reset"), 2, f"refused connections: {out!r}")
    _, answer = connect(folder, 4999)
    check_equal(answer, b"", "the answer of a guest in which nobody listens")


def check_vsock(vm, folder):
    check_data(vm, folder)
    check_half_close(vm, folder)
    check_refusals(vm, folder)
