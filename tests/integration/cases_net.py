"""Network devices: guests that talk to the host and to each other."""

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from cases_leaks import Ledger
from cases_vsock import check_vsock, vsock_config
from harness import (
    READY,
    Api,
    Vm,
    case,
    check,
    check_equal,
    guest_files,
    vm_config,
    wait_until,
)

MEGABYTES = 32
TAP = "vmtest0"
OFFLOADS = 1 << 0 | 1 << 1 | 0b1111 << 7 | 0b1111 << 11 | 0b111 << 54  # [VIRTIO 1.2 §5.1.3]


class Network:
    """The addresses of the host and of a guest, in one network of each version of IP."""

    def __init__(self, number, guest=2):
        self.host = f"10.77.{number}.1"
        self.guest = f"10.77.{number}.{guest}"
        self.host6 = f"fd77:{number}::1"
        self.guest6 = f"fd77:{number}::{guest}"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def net_config(kernel="cloud", net=None, **more):
    """Returns a vm.json with a network device, whose guest runs a shell."""
    config = vm_config(kernel=kernel, memory="512M", name="net-test", **more)
    config["payload"]["initramfs"] = guest_files(kernel)["net-initrd"]
    config["net"] = [{"tap": TAP, **(net or {})}]
    return config


def set_up(vm, network, mtu=1500, interface="eth0"):
    """Gives the guest its addresses."""
    if interface == "eth0":
        vm.expect(READY)
    output = vm.shell(
        f"echo 0 >/proc/sys/net/ipv6/conf/{interface}/accept_dad; "
        f"ip link set {interface} mtu {mtu} up; ip addr add {network.guest}/24 dev {interface}; "
        f"ip -6 addr add {network.guest6}/64 dev {interface}"
    )
    check_equal(output, "", "messages of ip")


def set_up_host(network, interface=TAP):
    ip("addr", "replace", f"{network.host}/24", "dev", interface)
    ip("-6", "addr", "replace", f"{network.host6}/64", "dev", interface, "nodad")


def check_ping(vm, address, size=56):
    answer = vm.shell(f"ping -c 3 -W 9 -s {size} {address}")
    check("3 packets received" in answer, f"ping {address}: {answer}")


class Sink:
    """Accepts one TCP connection, and hashes what it gets."""

    def __init__(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server = socket.create_server((address, port), family=family)
        self.digest = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client, _ = self.server.accept()
        digest = hashlib.sha256()
        while data := client.recv(1 << 20):
            digest.update(data)
        self.digest = digest.hexdigest()
        client.close()
        self.server.close()


def connect(address, port, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((address, port), timeout=seconds)
        except ConnectionRefusedError:
            check(time.monotonic() < deadline, f"nothing listens on {address} {port}")
            time.sleep(0.1)


def check_tcp(vm, host, guest, megabytes=MEGABYTES):
    """Moves data to the guest and back, and compares its digests."""
    data = os.urandom(1 << 20) * megabytes
    wanted = hashlib.sha256(data).hexdigest()
    patience = 180 + megabytes  # seconds
    vm.send("nc -l -p 7000 </dev/null >/big; sha256sum /big\n")
    client = connect(guest, 7000)
    client.settimeout(patience)
    client.sendall(data)
    client.close()
    got = vm.expect(r"([0-9a-f]{64})\s", patience).group(1)
    check_equal(got, wanted, f"what {guest} got")
    sink = Sink(host, 7001)
    vm.shell(f"nc {host} 7001 </big; rm /big", seconds=patience)
    sink.thread.join(60)
    check_equal(sink.digest, wanted, f"what {host} got back")


def check_udp(vm, network, count=2000, size=1472):
    """Counts the datagrams that reach the guest, and lets the guest write a file by TFTP."""
    arrived = "awk '/^Udp: [0-9]/ {print $3}' /proc/net/snmp"  # to ports on which nobody listens
    before = int(vm.shell(arrived))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(count):
        sender.sendto(bytes(size), (network.guest, 9999))
        if i % 50 == 49:
            time.sleep(0.05)  # the interface's queue holds 500 frames
    time.sleep(1)
    check_equal(int(vm.shell(arrived)) - before, count, "datagrams that reached the guest")
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((network.host, 6969))
    server.settimeout(60)
    vm.send(f"seq 1 5000 >/seq; tftp -p -l /seq -r seq {network.host} 6969; echo PUT-$?\n")
    received = b""
    data, peer = server.recvfrom(2048)
    check_equal(data[:2], b"\0\2", "a write request")
    server.sendto(b"\0\4\0\0", peer)
    while True:
        data, peer = server.recvfrom(2048)
        received += data[4:]
        server.sendto(b"\0\4" + data[2:4], peer)
        if len(data) < 516:
            break
    vm.expect("PUT-0")
    check_equal(received, b"".join(b"%d\n" % i for i in range(1, 5001)), "the file of TFTP")
    server.close()


@contextlib.contextmanager
def flood(address):
    """Sends datagrams to an address as fast as the host can, and has them answered if possible."""
    stop = threading.Event()

    def run():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setblocking(False)
        while not stop.is_set():
            for _ in range(20):
                with contextlib.suppress(OSError):
                    sender.sendto(bytes(200), (address, 7))
            time.sleep(0.002)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def counters(api):
    status, answer = api.call("GET", "vm.counters")
    check_equal(status, 200, "vm.counters")
    return answer["_net0"]


def rebind(vm, times, interface="eth0"):
    """Resets a device, by taking it from its driver and giving it back."""
    vm.shell(
        f"cd /sys/bus/virtio/drivers/virtio_net; "
        f"device=$(basename $(readlink /sys/class/net/{interface}/device)); "
        f"for i in $(seq {times}); do echo $device >unbind; echo $device >bind; done; cd /",
        seconds=600,
    )


@case("net-by-tap")
def by_tap(folder):
    network = Network(1)
    api = Api(f"{folder}/api.sock")
    config = net_config(
        vcpus=2,
        net={"ip": network.host, "mask": "255.255.255.0", "mtu": 9000, "num_queues": 4},
    )
    config["io_threads"] = 2
    config["vsock"] = vsock_config(folder)
    with Vm(folder, config, "--api-socket", api.path) as vm:
        set_up(vm, network, mtu=9000)
        set_up_host(network)
        check_equal(vm.shell("cat /sys/class/net/eth0/address"), "aa:9b:a5:12:11:84", "the address")
        queues = vm.shell("ls /sys/class/net/eth0/queues | tr '\\n' ' '")
        check_equal(queues.split(), ["rx-0", "rx-1", "tx-0", "tx-1"], "queues")
        for address in (network.host, network.host6):
            check_ping(vm, address)
            check_ping(vm, address, size=8900)
        check_tcp(vm, network.host, network.guest)
        check_tcp(vm, network.host6, network.guest6, megabytes=4)
        check_udp(vm, network)
        seen = counters(api)
        check(seen["rx_bytes"] > MEGABYTES << 20, f"{seen}")
        # A buffer of the guest has a page. How much the host sends at once depends on the machine.
        check(seen["rx_frames"] < seen["rx_bytes"] / 4500, f"frames are not merged: {seen}")
        check_equal(seen["rx_dropped_no_room"], 0, f"frames that found no room: {seen}")
        check_vsock(vm, folder)
        with flood(network.guest):
            for _ in range(20):
                check_equal(api.call("PUT", "vm.pause")[0], 204, "pause")
                check_equal(api.call("PUT", "vm.resume")[0], 204, "resume")
            rebind(vm, 20)
        vm.shell(f"ip link set eth0 up; ip addr add {network.guest}/24 dev eth0")
        check_ping(vm, network.host)
        ip("link", "del", TAP)
        vm.shell(f"ping -c 2 -W 1 {network.host}")
        seen = counters(api)
        check(seen["tx_dropped_host"] > 0, f"{seen}")
        check(vm.stderr().count("_net0: cannot") < 10, vm.stderr())
        vm.send("poweroff -f\n")
        vm.wait(0, seconds=60)


def open_tap(name):
    """Opens a TAP interface as a program does that passes it to vmm. Returns the descriptor."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    mode = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), mode))  # TUNSETIFF
    return fd


@contextlib.contextmanager
def cable(number):
    """Makes two interfaces at the ends of a cable, vmlower0 and vmfar0."""
    ends = f"vmlower{number}", f"vmfar{number}"
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for end in ends:
        ip("link", "set", end, "up")
    try:
        yield ends
    finally:
        ip("link", "del", ends[0])


def received_bytes(interface):
    with open(f"/sys/class/net/{interface}/statistics/rx_bytes", encoding="ascii") as f:
        return int(f.read())


def check_between(vms, network):
    """Moves data from the first guest to the second, whose network is given."""
    # At the end of its input, busybox nc ends the connection: the FIFO has no end.
    vms[1].send("mkfifo /input; nc -l -p 7000 <>/input >/big; sha256sum /big; rm /input\n")
    sent = vms[0].shell(
        f"head -c {MEGABYTES << 20} /dev/urandom >/big; sha256sum /big; sleep 1; "
        f"nc {network.guest} 7000 </big",
        seconds=240,
    )
    got = vms[1].expect(r"([0-9a-f]{64})\s").group(1)
    check_equal(got, re.search(r"[0-9a-f]{64}", sent).group(0), "what the other guest got")


def check_link(vm, api, number):
    """Plugs the cable of an interface out and in."""

    def set_link(up):
        status, _ = api.call("PUT", "vm.set-link", {"id": f"_net{number}", "up": up})
        check_equal(status, 204, "vm.set-link")
        carrier = f"cat /sys/class/net/eth{number}/carrier"
        check_equal(vm.shell(carrier).strip(), "1" if up else "0", "the carrier")

    set_link(False)
    set_link(True)


def check_refused(folder, net, error):
    """Starts a VM with this network device, which ends with an error."""
    config = net_config()
    config["net"] = [net]
    with Vm(folder, config) as vm:
        vm.wait(1, seconds=20)
        check(error in vm.stderr(), f"the error of {net}: {vm.stderr()!r}")


@contextlib.contextmanager
def no_vhost():
    """Makes the host one without vhost-net."""
    os.rename("/dev/vhost-net", "/dev/vhost-net.away")
    try:
        yield
    finally:
        os.rename("/dev/vhost-net.away", "/dev/vhost-net")


# One guest has Linux 6.12. Its TAP interface is passed to vmm.
@case("net-of-two-guests-on-a-bridge-and-by-macvtap", boots=2)
def two_guests(folder):
    ip("link", "add", "vmbridge0", "type", "bridge")
    ip("link", "set", "vmbridge0", "up")
    networks = [Network(3, guest=10), Network(3, guest=11)]
    macvtaps = [Network(4, guest=10), Network(4, guest=11)]
    set_up_host(networks[0], "vmbridge0")
    kernels = ["cloud", "backports"]
    apis = [Api(f"{folder}/api{i}.sock") for i in range(2)]
    with cable(0) as (lower, far), contextlib.ExitStack() as stack:
        fd = open_tap("vmtest1")
        # The second guest has no offloads: the host checksums and segments for it.
        ways = [
            {"tap": "vmtest0", "vhost": "auto"},
            {"fds": [fd], "features_mask": (1 << 64) - 1 & ~OFFLOADS},
        ]
        without = stack.enter_context(contextlib.ExitStack())
        without.enter_context(no_vhost())
        check_refused(
            folder,
            {"tap": "vmtest9", "vhost": True},
            "net[0].vhost: cannot open /dev/vhost-net: No such file or directory (ENOENT); load "
            'the module vhost_net, or set vhost to "auto"',
        )
        vms = []
        for i, network in enumerate(networks):
            ip("link", "add", "link", lower, "name", f"vmmac{i}", "type", "macvtap", "mode", "bridge")
            config = net_config(kernels[i])
            config["name"] = f"guest-{i}"
            vhost = ["auto", True][i]
            config["net"] = [ways[i], {"macvtap": f"vmmac{i}", "pci_device_id": 31, "vhost": vhost}]
            options = ("--stats", "--api-socket", apis[i].path)
            fds = (fd,) if i == 1 else ()
            vms.append(stack.enter_context(Vm(folder, config, *options, fds=fds)))
            if i == 1:
                os.close(fd)
                ip("link", "set", "vmtest1", "up")
            set_up(vms[i], network)
            set_up(vms[i], macvtaps[i], interface="eth1")
            if i == 0:
                stderr = vms[0].stderr()
                for number in range(2):
                    said = f"_net{number}: vmm moves the frames itself: cannot open /dev/vhost-net"
                    check(said in stderr, f"vhost auto without vhost-net: {stderr!r}")
                without.close()
            ip("link", "set", f"vmtest{i}", "master", "vmbridge0")
        check_refused(folder, {"macvtap": "vmmac0"}, "another program uses it; each VM needs its own")
        check_ping(vms[0], networks[1].guest)
        check_ping(vms[0], networks[1].guest6)
        for address in (networks[0].host, networks[0].host6):
            check_ping(vms[1], address)
        check_tcp(vms[1], networks[1].host, networks[1].guest)
        check_udp(vms[1], networks[1])
        check_between(vms, networks[1])
        before = received_bytes(far)
        check_ping(vms[0], macvtaps[1].guest6)
        check_between(vms, macvtaps[1])
        seen = received_bytes(far) - before
        check(seen < 1 << 20, f"{seen} bytes of the guests' traffic left the host")
        set_up_host(Network(4), far)
        check_ping(vms[1], macvtaps[1].host)
        check_link(vms[0], apis[0], 0)
        # The host's kernel serves this device.
        check_link(vms[1], apis[1], 1)
        for _ in range(5):
            check_equal(apis[1].call("PUT", "vm.pause")[0], 204, "pause")
            check_equal(apis[1].call("PUT", "vm.resume")[0], 204, "resume")
        check_ping(vms[1], macvtaps[1].host)
        rebind(vms[1], 5, interface="eth1")
        set_up(vms[1], macvtaps[1], interface="eth1")
        check_ping(vms[1], macvtaps[1].host)
        for vm in vms:
            vm.send("poweroff -f\n")
            vm.wait(0, seconds=60)
        check(re.search(r"^_net0: .*rx_frames \d", vms[1].stderr(), re.M), vms[1].stderr())
        check(re.search(r"^_net1: .*host_rx_packets \d", vms[1].stderr(), re.M), vms[1].stderr())


@case("net-leaves-nothing-behind", full=True)
def no_leaks(folder):
    network = Network(4)
    ledger = Ledger()
    with Vm(folder, net_config()) as vm:
        set_up(vm, network)
        set_up_host(network)
        with flood(network.guest):
            rebind(vm, 20)
            ledger.check("resets of a network device under load", 200, lambda: rebind(vm, 200))
        vm.send("poweroff -f\n")
        vm.wait(0, seconds=60)


# The host's address on its way out, which passt gives to the guest, too, and the gateway there. For
# the guest, the gateway's address is the host.
ROUTE = "10.78.0.2"
GATEWAY = "10.78.0.1"


def dhcp(interface):
    """Returns a script that sets an interface of the guest up with what passt offers."""
    return (
        "printf '%s\\n' '#!/bin/sh' '[ \"$1\" = bound ] || exit 0' "
        "'ip addr add $ip/24 dev $interface; ip route add default via $router' >/dhcp; "
        f"chmod +x /dhcp; ip link set {interface} up; udhcpc -i {interface} -n -q -s /dhcp -t 20; "
    )


def carrier(interface):
    return f"$(cat /sys/class/net/{interface}/carrier)"


def link_goes_and_comes(interface):
    return (
        f"while [ {carrier(interface)} = 1 ]; do usleep 10000; done; echo LINK-DOWN; "
        f"until [ {carrier(interface)} = 1 ]; do usleep 10000; done; echo LINK-UP; "
    )


def run(command):
    subprocess.run(command.split(), check=True)


@contextlib.contextmanager
def route():
    """Gives the host a default route, from which passt takes the guest's address."""
    run("ip tuntap add dev vmroute0 mode tap")
    run(f"ip addr add {ROUTE}/24 dev vmroute0")
    run("ip link set vmroute0 up")
    run(f"ip route add default via {GATEWAY}")
    try:
        yield
    finally:
        run("ip link del vmroute0")


def children(pid):
    """Returns the processes that a process has started."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            found += [int(child) for child in f.read().split()]
    return found


def has_ended(pid):
    """Returns whether a process is gone, or waits for nothing but its parent."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


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


def isolated_guest(interface, port):
    """Returns a script for a guest that serves a port, and tries to get out."""
    serve = (
        f"nc -l -p {port} <>/input >/big & "
        f"until netstat -ltn | grep -q :{port}; do usleep 10000; done; echo LISTENING; "
        "wait; sha256sum /big; "
    )
    return (
        f"[ -p /input ] || mkfifo /input; {dhcp(interface)}{serve}"
        f"nc -w 5 {GATEWAY} 7003 </dev/null && echo LEAK; nc -w 5 {ROUTE} 7003 </dev/null && "
        f"echo LEAK; ping -c 1 -W 3 {GATEWAY} && echo LEAK; nslookup -type=a a.test {GATEWAY} && "
        f"echo LEAK; echo TRIED; {link_goes_and_comes(interface)}{serve}echo END"
    )


def check_isolation(vm, port):
    """Checks a guest that runs isolated_guest, and that its passt is started again."""
    data = os.urandom(1 << 20)

    def send():
        vm.expect("LISTENING", 60)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            digest = vm.expect(r"([0-9a-f]{64})\s", 60).group(1)
        check_equal(digest, hashlib.sha256(data).hexdigest(), "what the guest got")

    with socket.create_server(("0.0.0.0", 7003)) as server:
        server.settimeout(0)
        send()
        tried = vm.expect(r"([\s\S]*)TRIED\s", 60).group(1)
        check("LEAK" not in tried, f"the guest got out: {tried}")
        try:
            server.accept()
        except BlockingIOError:
            pass
        else:
            check(False, "the guest reached the host")
    (launcher,) = children(vm.process.pid)
    (first,) = children(launcher)
    os.kill(first, signal.SIGKILL)
    vm.expect("LINK-DOWN", 60)
    vm.expect("LINK-UP", 60)
    send()
    vm.expect("END")
    (second,) = children(launcher)
    vm.process.kill()
    vm.process.wait()
    for pid in (launcher, second):
        wait_until(lambda pid=pid: has_ended(pid), f"end of {pid}")


# The first device has a passt that is there already, the second has a passt of its own.
@case("net-passt-ends-and-comes-back-and-isolates")
def passt_ends_and_comes_back(folder):
    data = os.urandom(1 << 20) * MEGABYTES
    wanted = hashlib.sha256(data).hexdigest()
    test = (
        f"{dhcp('eth0')}cat /sys/class/net/eth0/mtu; mkfifo /input; "
        "nc -l -p 80 <>/input >/big & "
        "until netstat -ltn | grep -q :80; do usleep 10000; done; echo LISTENING; "
        "wait; sha256sum /big; "
        f"nc {GATEWAY} 7001 </big; echo SENT; {link_goes_and_comes('eth0')}"
        f"nc {GATEWAY} 7002 </big; ip link set eth0 down; stty -echo; echo END; "
        'read -r line; eval "$line"'
    )
    config = vm_config(test=test, name="passt-test", memory="512M")
    config["payload"]["initramfs"] = guest_files("cloud")["net-initrd"]
    # passt runs as nobody, since it is started by root.
    os.chmod(folder, 0o777)
    path = f"{folder}/passt.sock"
    own = {"forward": [{"host_port": 8081, "guest_port": 81}], "restrict": True}
    config["net"] = [{"socket": path}, {"passt": own, "pci_device_id": 31}]
    forward = ("--tcp-ports", "127.0.0.1/8080:80")
    with contextlib.ExitStack() as stack:
        stack.enter_context(route())
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
        check("link down" in vm.stderr() and "link up" in vm.stderr(), vm.stderr())
        vm.send(isolated_guest("eth1", 81) + "\n")
        check_isolation(vm, 8081)
