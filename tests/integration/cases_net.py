"""Network devices: guests that talk to the host and to each other."""

import hashlib
import os
import socket
import threading

from harness import Api, Vm, case, check, check_equal, guest_files, vm_config

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
