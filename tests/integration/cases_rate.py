"""Rate limits, measured by what guests get done."""

import hashlib
import os
import time

from cases_net import MEGABYTES, Network, Sink, connect, net_config, set_up, set_up_host
from harness import READY, Api, Vm, case, check, check_equal, vm_config

MB = 1_000_000


def check_rate(count, seconds, rate, at_once, what):
    """Checks that `count` in `seconds` is at most the rate, and not far below."""
    text = f"{what}: {count} in {seconds:.2f} s, at {rate} in a second"
    check(count <= rate * seconds * 1.05 + at_once, f"{text}: too fast")
    check(count >= rate * seconds * 0.7, f"{text}: too slow")
    print(f"    {text}")


def set_limit(api, device, limits):
    body = {"id": device, "rate_limiter_config": limits}
    check_equal(api.call("PUT", "vm.set-rate-limit", body)[0], 204, "vm.set-rate-limit")


def seen(api, device):
    status, answer = api.call("GET", "vm.counters")
    check_equal(status, 200, "vm.counters")
    return answer[device]


@case("net-at-its-rate-limit", full=True)
def net(folder):
    network = Network(9)
    api = Api(f"{folder}/api.sock")
    limit = {"bandwidth": {"size": 200_000, "refill_time": 100}}
    config = net_config(net={"rate_limiter_config": limit})
    with Vm(folder, config, "--api-socket", api.path) as vm:
        set_up(vm, network)
        set_up_host(network)

        def transfer(megabytes, direction):
            """Returns the bytes of all frames of a transfer, and its seconds."""
            before = seen(api, "_net0")[direction]
            if direction == "rx_bytes":
                data = os.urandom(megabytes * MB)
                vm.send("nc -l -p 7000 </dev/null >/big; sha256sum /big\n")
                client = connect(network.guest, 7000)
                start = time.monotonic()
                client.sendall(data)
                client.close()
                got = vm.expect(r"([0-9a-f]{64})\s").group(1)
                check_equal(got, hashlib.sha256(data).hexdigest(), "what the guest got")
            else:
                sink = Sink(network.host, 7001)
                vm.shell(f"head -c {megabytes * MB} /dev/urandom >/big")
                start = time.monotonic()
                vm.shell(f"nc {network.host} 7001 </big", seconds=180)
                sink.thread.join(60)
            end = time.monotonic()
            return seen(api, "_net0")[direction] - before, end - start

        for direction in ("rx_bytes", "tx_bytes"):
            check_rate(*transfer(10, direction), 2 * MB, 300_000, direction)
        counters = seen(api, "_net0")
        check(counters["rx_throttled"] > 0 and counters["tx_throttled"] > 0, f"{counters}")
        set_limit(api, "_net0", {"bandwidth": {"size": 400_000, "refill_time": 100}})
        check_rate(*transfer(10, "tx_bytes"), 4 * MB, 600_000, "tx_bytes with twice the limit")
        set_limit(api, "_net0", {})
        _, seconds = transfer(MEGABYTES, "tx_bytes")
        check(seconds < MEGABYTES / 4, f"{MEGABYTES} MB without a limit took {seconds} s")
        vm.send("poweroff -f\n")
        vm.wait(0, seconds=60)


@case("disks-at-their-rate-limit", full=True)
def disks(folder):
    api = Api(f"{folder}/api.sock")
    for name in ("a", "b", "c"):
        with open(f"{folder}/{name}.raw", "wb") as image:
            image.truncate(256 << 20)
    bandwidth = {"bandwidth": {"size": "1M", "refill_time": 100}}
    config = vm_config(
        vcpus=2,
        disks=[
            {"path": f"{folder}/a.raw", "num_queues": 2, "rate_limiter_config": bandwidth},
            {"path": f"{folder}/b.raw", "rate_limit_group": "slow"},
            {"path": f"{folder}/c.raw", "rate_limit_group": "slow"},
        ],
        rate_limit_groups=[{"id": "slow", "rate_limiter_config": bandwidth}],
        io_threads=2,
    )

    def read(disk, megabytes, skip=0):
        return f"dd if=/dev/{disk} of=/dev/null bs=1M count={megabytes} skip={skip} 2>/dev/null"

    def bytes_of(*devices):
        return sum(seen(api, device)["read_bytes"] for device in devices)

    with Vm(folder, config, "--api-socket", api.path) as vm:
        vm.expect(READY)
        for devices, commands, megabytes in (
            (["_disk0"], read("vda", 40), 40),
            (["_disk1", "_disk2"], f"{read('vdb', 20)} & {read('vdc', 20)}; wait", 40),
        ):
            before, start = bytes_of(*devices), time.monotonic()
            vm.shell(commands)
            count, seconds = bytes_of(*devices) - before, time.monotonic() - start
            check(count >= megabytes << 20, f"{count} bytes were read")
            check_rate(count, seconds, 10 << 20, 2 << 20, " and ".join(devices))
        vm.send(f"{read('vda', 40, skip=64)}; echo DO''NE\n")
        time.sleep(0.5)
        start = time.monotonic()
        check_equal(api.call("PUT", "vm.pause")[0], 204, "pause")
        check(time.monotonic() - start < 2, "the pause waited for the limit")
        check_equal(api.call("PUT", "vm.resume")[0], 204, "resume")
        set_limit(api, "_disk0", {})
        vm.expect(r"DONE\s", seconds=20)
        check_equal(
            api.call("PUT", "vm.set-rate-limit", {"id": "_disk1"})[0], 400, "a disk of a group"
        )
        set_limit(api, "slow", {})
        vm.send("poweroff -f\n")
        vm.wait(0, seconds=60)
