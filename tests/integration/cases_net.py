"""Network devices: guests that talk to the host and to each other."""

import contextlib
import hashlib
import os
import socket
import subprocess
import threading

from harness import (
    Api,
    Vm,
    case,
    check,
    check_equal,
    guest_files,
    vm_config,
    wait_until,
)

HOST = "10.77.0.1"
GUEST = "10.77.0.2"
MEGABYTES = 32


def net_config(test, kernel="cloud", net=None, **more):
    """Returns a vm.json whose guest has its interface up with the address GUEST."""
    setup = f"ip link set eth0 up; ip addr add {GUEST}/24 dev eth0; "
    config = vm_config(kernel=kernel, test=setup + test, name="net-test", **more)
    config["payload"]["initramfs"] = guest_files(kernel)["net-initrd"]
    config["net"] = [{"tap": "vmtest0", "ip": HOST, "mask": "255.255.255.0", **(net or {})}]
    return config


class Sink:
    """Accepts one TCP connection, and hashes what it gets."""

    def __init__(self, address, port):
        self.server = socket.create_server((address, port))
        self.digest = self.bytes = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client, _ = self.server.accept()
        digest, total = hashlib.sha256(), 0
        while data := client.recv(1 << 20):
            digest.update(data)
            total += len(data)
        self.digest, self.bytes = digest.hexdigest(), total
        client.close()


@case("net-ping-and-tcp-by-tap")
def ping_and_tcp(folder):
    data = os.urandom(1 << 20) * MEGABYTES
    test = (
        f"ping -c 3 -W 5 {HOST} | grep received; "
        f"echo LISTENING; nc -l -p 7000 </dev/null | tee /big | sha256sum; "
        f"nc {HOST} 7001 </big; echo SENT; cat /sys/class/net/eth0/address; "
        "cat /sys/class/net/eth0/mtu; ls -l /sys/class/net/eth0/device | sed 's/.*virtio/v/'; "
        "echo END; read line"
    )
    api = f"{folder}/api.sock"
    with Vm(folder, net_config(test, memory="512M"), "--api-socket", api) as vm:
        found = vm.expect(r"(\d) packets received,")
        check_equal(found.group(1), "3", "answers to ping")
        sink = Sink(HOST, 7001)
        vm.expect("LISTENING")
        client = None
        while client is None:
            try:
                client = socket.create_connection((GUEST, 7000), timeout=60)
            except ConnectionRefusedError:
                pass
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        wanted = hashlib.sha256(data).hexdigest()
        check_equal(vm.expect(r"([0-9a-f]{64})\s").group(1), wanted, "what the guest got")
        vm.expect("SENT")
        vm.expect("END")
        sink.thread.join(60)
        check_equal(sink.digest, wanted, "what the host got back")
        status, counters = Api(api).call("GET", "vm.counters")
        check_equal(status, 200, "counters")
        print(counters["_net0"])
        check(counters["_net0"]["rx_bytes"] > len(data), f"{counters['_net0']}")
        vm.send("\n")
        vm.wait(0, seconds=60)


# The host's address on its way out, which passt gives to the guest, too, and the gateway there. For
# the guest, the gateway's address is the host.
ROUTE = "10.78.0.2"
GATEWAY = "10.78.0.1"
DHCP = (
    "printf '%s\\n' '#!/bin/sh' '[ \"$1\" = bound ] || exit 0' "
    "'ip addr add $ip/24 dev $interface; ip route add default via $router' >/dhcp; "
    "chmod +x /dhcp; ip link set eth0 up; udhcpc -i eth0 -n -q -s /dhcp -t 20; "
)


def run(command):
    subprocess.run(command.split(), check=True)


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def passt(path, *options):
    """Runs passt, whose socket is at `path`."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    # In the foreground it serves one client after the other.
    command = ["passt", "--foreground", "--ipv4-only", "--socket", path, *options]
    with open(f"{path}.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or can_connect(path), path)
        check(process.poll() is None, "passt has ended")
        yield process
    finally:
        process.kill()
        process.wait()


@case("net-passt-ends-and-comes-back")
def passt_ends_and_comes_back(folder):
    run("ip link set lo up")
    run("ip tuntap add dev vmroute0 mode tap")
    run(f"ip addr add {ROUTE}/24 dev vmroute0")
    run("ip link set vmroute0 up")
    run(f"ip route add default via {GATEWAY}")
    data = os.urandom(1 << 20) * MEGABYTES
    wanted = hashlib.sha256(data).hexdigest()
    carrier = "$(cat /sys/class/net/eth0/carrier)"
    test = (
        DHCP + "cat /sys/class/net/eth0/mtu; nc -l -p 80 </dev/null >/big & "
        "until netstat -ltn | grep -q :80; do usleep 10000; done; echo LISTENING; "
        "wait; sha256sum /big; "
        f"nc {GATEWAY} 7001 </big; echo SENT; "
        f"while [ {carrier} = 1 ]; do usleep 10000; done; echo LINK-DOWN; "
        f"until [ {carrier} = 1 ]; do usleep 10000; done; echo LINK-UP; "
        f"nc {GATEWAY} 7002 </big; echo END; read line"
    )
    config = vm_config(test=test, name="passt-test", memory="512M")
    config["payload"]["initramfs"] = guest_files("cloud")["net-initrd"]
    # passt runs as nobody, since it is started by root.
    os.chmod(folder, 0o777)
    path = f"{folder}/passt.sock"
    config["net"] = [{"socket": path}]
    forward = ("--tcp-ports", "127.0.0.1/8080:80")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(passt(path, *forward))
        vm = stack.enter_context(Vm(folder, config))
        check_equal(vm.expect(r"(\d+)\s+LISTENING").group(1), "65520", "the guest's MTU")
        sink = Sink("127.0.0.1", 7001)
        with socket.create_connection(("127.0.0.1", 8080), timeout=60) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            digest = vm.expect(r"([0-9a-f]{64})\s").group(1)
        check_equal(digest, wanted, "what the guest got by the forwarded port")
        vm.expect("SENT")
        sink.thread.join(60)
        check_equal(sink.digest, wanted, "what the host got back")
        first.kill()
        vm.expect("LINK-DOWN", 60)
        sink = Sink("127.0.0.1", 7002)
        stack.enter_context(passt(path, *forward))
        vm.expect("LINK-UP", 60)
        vm.expect("END")
        sink.thread.join(60)
        check_equal(sink.digest, wanted, "what the host got after passt came back")
        vm.send("\n")
        vm.wait(0, seconds=60)
        check("link down" in vm.stderr() and "link up" in vm.stderr(), vm.stderr())
