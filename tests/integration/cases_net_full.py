"""Network devices: every combination of what they depend on, and loads of minutes.

All cases take too long for every change (tests/integration/run --full -k net-).
"""

import contextlib
import hashlib
import os
import resource
import signal
import socket
import threading
import time

from cases_net import (
    GATEWAY,
    OFFLOADS,
    TAP,
    Network,
    Sink,
    cable,
    check_ping,
    check_tcp,
    check_udp,
    children,
    dhcp,
    flood,
    has_ended,
    ip,
    link_goes_and_comes,
    net_config,
    passt,
    rebind,
    route,
    set_up,
    set_up_host,
)
from harness import Api, Vm, case, check, check_equal, guest_files, vm_config, wait_until

MEGABYTES = 1024
MTUS = (1500, 9000)
NETWORK = Network(5)


@contextlib.contextmanager
def tap_way(pairs, vhost=False):
    """Makes an interface of the host. Returns the device's keys and the host's interface."""
    yield {"tap": TAP, "mtu": max(MTUS), "num_queues": 2 * pairs, "vhost": vhost}, TAP


@contextlib.contextmanager
def macvtap_way(pairs):
    with cable(5) as (lower, far):
        for interface in (lower, far):
            ip("link", "set", interface, "mtu", str(max(MTUS)))
        ip("link", "add", "link", lower, "name", "vmmac5", "type", "macvtap", "mode", "bridge")
        yield {"macvtap": "vmmac5", "mtu": max(MTUS), "num_queues": 2 * pairs}, far


WAYS = {
    "tap": tap_way,
    "vhost": lambda pairs: tap_way(pairs, vhost=True),
    "macvtap": macvtap_way,
}


def every_mtu(folder, kernel, way, pairs, offloads):
    """Moves 1 GiB both ways and some datagrams, by both versions of IP, with every MTU."""
    with WAYS[way](pairs) as (net, interface):
        if not offloads:
            net["features_mask"] = (1 << 64) - 1 & ~OFFLOADS
        config = net_config(kernel, vcpus=2, net=net)
        if "tap" not in net:
            del config["net"][0]["tap"]
        config["memory"]["size"] = "3G"  # /big may have half of it
        with Vm(folder, config) as vm:
            set_up(vm, NETWORK)
            for mtu in MTUS:
                vm.shell(f"ip link set eth0 mtu {mtu}")
                ip("link", "set", interface, "mtu", str(mtu))
                set_up_host(NETWORK, interface)
                for address in (NETWORK.host, NETWORK.host6):
                    check_ping(vm, address, size=mtu - 100)
                check_tcp(vm, NETWORK.host, NETWORK.guest, megabytes=MEGABYTES)
                check_tcp(vm, NETWORK.host6, NETWORK.guest6, megabytes=32)
                check_udp(vm, NETWORK)
            vm.send("poweroff -f\n")
            vm.wait(0, seconds=60)


for _kernel in ("cloud", "backports"):
    for _way in WAYS:
        for _pairs in (1, 2):
            for _offloads in (True, False):
                _name = f"net-{_kernel}-{_way}-{_pairs}-{'tso' if _offloads else 'no-tso'}"

                def _run(folder, kernel=_kernel, way=_way, pairs=_pairs, offloads=_offloads):
                    every_mtu(folder, kernel, way, pairs, offloads)

                case(_name, full=True)(_run)


def own_passt_config(folder, test, kernel="cloud", forwards=(80,)):
    config = vm_config(kernel=kernel, test=test, name="passt-test", memory="3G")
    config["payload"]["initramfs"] = guest_files(kernel)["net-initrd"]
    forward = [{"host_port": 8000 + port, "guest_port": port} for port in forwards]
    config["net"] = [{"passt": {"forward": forward}}]
    os.chmod(folder, 0o777)  # passt runs as nobody, since it is started by root
    return config


SERVE = (
    "nc -l -p 80 <>/input >/big & until netstat -ltn | grep -q :80; do usleep 10000; done; "
    "echo LISTENING; wait; sha256sum /big; "
)


def send_to_guest(vm, megabytes):
    """Sends data to the forwarded port. Returns the digest of what was sent."""
    digest = hashlib.sha256()
    vm.expect("LISTENING", 60)
    with socket.create_connection(("127.0.0.1", 8080), timeout=300) as client:
        for _ in range(megabytes):
            data = os.urandom(1 << 20)
            digest.update(data)
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        got = vm.expect(r"([0-9a-f]{64})\s", 600).group(1)
    check_equal(got, digest.hexdigest(), "what the guest got by the forwarded port")
    return got


def one_passt(folder, kernel):
    test = f"mkfifo /input; {dhcp('eth0')}{SERVE}nc {GATEWAY} 7001 </big; echo SENT; poweroff -f"
    with route(), Vm(folder, own_passt_config(folder, test, kernel)) as vm:
        sink = Sink("127.0.0.1", 7001)
        sent = send_to_guest(vm, MEGABYTES)
        vm.expect("SENT", 600)
        sink.thread.join(60)
        check_equal(sink.digest, sent, "what the host got back")
        vm.wait(0, seconds=60)


for _kernel in ("cloud", "backports"):
    case(f"net-{_kernel}-passt", full=True)(
        lambda folder, kernel=_kernel: one_passt(folder, kernel)
    )


@case("net-tap-under-load-for-minutes", full=True)
def tap_under_load(folder):
    """The guest takes no frame for two minutes, reboots, and loses its interface under load."""
    network = Network(6)
    api = Api(f"{folder}/api.sock")
    with Vm(folder, net_config(), "--api-socket", api.path) as vm:
        set_up(vm, network)
        set_up_host(network)
        with flood(network.guest):
            check_equal(api.call("PUT", "vm.pause")[0], 204, "pause")
            time.sleep(120)
            check_equal(api.call("PUT", "vm.resume")[0], 204, "resume")
            check_ping(vm, network.host)
            for _ in range(5):
                check_equal(api.call("PUT", "vm.reboot")[0], 204, "reboot")
                set_up(vm, network)
                check_ping(vm, network.host)
            rebind(vm, 20)
            ip("link", "del", TAP)
            time.sleep(10)
            check_equal(vm.shell("echo ALIVE").strip(), "ALIVE", "the guest's answer")
            vm.send("poweroff -f\n")
            vm.wait(0, seconds=60)


@contextlib.contextmanager
def drain(port):
    """Reads and drops what comes to a port, from one connection after the other."""
    server = socket.create_server(("127.0.0.1", port))

    def run_server():
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    while client.recv(1 << 20):
                        pass

    threading.Thread(target=run_server, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@case("net-passt-without-descriptors", full=True)
def passt_without_descriptors(folder):
    """passt is killed under load, and cannot be started again while vmm may open nothing."""
    load = f"(while :; do nc {GATEWAY} 7009 </dev/zero; sleep 1; done) & "
    test = (
        f"mkfifo /input; {dhcp('eth0')}{load}echo LOADED; {link_goes_and_comes('eth0')}"
        f"kill $!; {SERVE}echo END; poweroff -f"
    )
    with route(), drain(7009), Vm(folder, own_passt_config(folder, test)) as vm:
        vm.expect("LOADED", 60)
        time.sleep(5)
        (launcher,) = children(vm.process.pid)
        (first,) = children(launcher)
        pid = vm.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, limits[1]))
        os.kill(first, signal.SIGKILL)
        vm.expect("LINK-DOWN", 60)
        time.sleep(120)
        check(vm.stderr().count("is not back yet") in range(1, 10), vm.stderr())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        vm.expect("LINK-UP", 60)
        send_to_guest(vm, 32)
        vm.expect("END", 60)
        vm.wait(0, seconds=60)
        wait_until(lambda: has_ended(launcher), "end of the launcher")
