// Fuzzes the socket device with a driver and with programs of the host that do anything at any
// time.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "tests/fuzz/device_program.h"
#include "virtio/vsock/vsock_device.h"
#include "virtio/vsock/vsock_wire.h"

namespace virtio {
namespace {

constexpr uint64_t kGuestCid = 3;
constexpr size_t kMaxConnections = 6;
// Few ports, so that packets meet connections.
constexpr uint32_t kPorts = 4;
constexpr uint32_t kFirstListener = 2;

// Programs of the host, and their sockets in a folder of their own.
class Host {
 public:
  Host() {
    std::string pattern = "/tmp/vmm-vsock-fuzz-XXXXXX";
    CHECK(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    for (uint32_t port = kFirstListener; port < kPorts; ++port) {
      listeners_.push_back(base::UnixListener::Listen(absl::StrCat(path(), "_", port)).value());
      CHECK(fcntl(listeners_.back().fd(), F_SETFL, O_NONBLOCK) == 0);
    }
  }
  ~Host() { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/s"; }
  void Forget() { sockets_.clear(); }

  void Step(FuzzInput& input) {
    const uint8_t step = input.Byte();
    if (step % 8 == 0) {
      if (sockets_.size() >= 16) return;
      auto client = base::ConnectUnix(path(), std::chrono::milliseconds(0));
      if (client.ok()) sockets_.push_back(*std::move(client));
      return;
    }
    if (step % 8 == 1) {
      for (const base::UnixListener& listener : listeners_) {
        base::UniqueFd accepted(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK));
        if (accepted.valid() && sockets_.size() < 16) sockets_.push_back(std::move(accepted));
      }
      return;
    }
    if (sockets_.empty()) return;
    const size_t chosen = input.Byte() % sockets_.size();
    const int socket = sockets_[chosen].get();
    std::array<char, 65536> buffer = {};
    switch (step % 8) {
      case 2: {
        const std::string line = absl::StrCat("CONNECT ", input.Byte() % kPorts, "\n");
        send(socket, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
      }
      case 3: {
        const auto bytes = input.Bytes(input.Byte());
        send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
      }
      case 4:
        send(socket, buffer.data(), input.Number(2), MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
      case 5:
        recv(socket, buffer.data(), input.Number(2), MSG_DONTWAIT);
        return;
      case 6:
        shutdown(socket, input.Byte() % 3);
        return;
      case 7:
        sockets_.erase(sockets_.begin() + static_cast<ptrdiff_t>(chosen));
        return;
    }
  }

 private:
  std::string folder_;
  std::vector<base::UnixListener> listeners_;
  std::vector<base::UniqueFd> sockets_;
};

// Sends a packet that is mostly correct.
void SendPacket(FuzzInput& input, DeviceHarness& harness) {
  FakeDriver& driver = harness.driver(VsockTransmitQueue::kIndex);
  // Other steps offer any descriptor, so the driver's own list of free ones means nothing.
  const auto head = static_cast<uint16_t>(driver.avail_index() * 2 % DeviceProgram::kQueueSize);
  if (head == 0) harness.loop().RunTurn();  // the device has taken the packets before
  const uint8_t odd = input.Byte();
  VsockHeader header;
  header.source_cid = odd == 1 ? input.Number(8) : kGuestCid;
  header.destination_cid = odd == 2 ? input.Number(8) : kHostCid;
  header.source_port = input.Byte() % kPorts;
  const uint8_t port = input.Byte();
  header.destination_port =
      port % 8 < kPorts ? port % kPorts : VsockMux::kFirstHostPort + port % 16;
  header.type = odd == 3 ? input.Byte() : uint8_t{VIRTIO_VSOCK_TYPE_STREAM};
  header.operation = static_cast<uint16_t>(odd == 4 ? input.Number(2) : input.Byte() % 9);
  header.flags = input.Byte() % 5;
  header.buffer_bytes = static_cast<uint32_t>(input.Number(input.Byte() % 5));
  header.forwarded = static_cast<uint32_t>(input.Number(input.Byte() % 5));
  const auto length = static_cast<uint32_t>(input.Number(2) * (odd % 2 == 0 ? 1 : 4));
  header.length = odd == 5 ? static_cast<uint32_t>(input.Number(4)) : length;
  // At a place for each descriptor, so that packets under way do not change.
  const uint64_t at = 0x200000 + uint64_t{head} * sizeof(header);
  CHECK(harness.memory().Write(at, base::BytesOf(header)));
  const auto second = static_cast<uint16_t>(head + 1);
  const uint16_t flags = length > 0 ? 1 : 0;  // NEXT
  driver.WriteDescriptor(head, {.addr = at, .len = sizeof(header), .flags = flags, .next = second});
  driver.WriteDescriptor(second, {.addr = 0x210000, .len = length, .flags = 0, .next = 0});
  driver.OfferRaw(head);
  harness.Kick(VsockTransmitQueue::kIndex);
}

void Run(FuzzInput input) {
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  Host host;
  auto device =
      VsockDevice::Create(
          {.guest_cid = kGuestCid, .path = host.path(), .max_connections = kMaxConnections},
          harness.loop(), harness.memory())
          .value();
  program.Start(*device);
  for (int steps = 0; !input.empty() && steps < 400; ++steps) {
    const uint8_t step = input.Byte();
    if (step < 0x60) {
      program.Step(*device, step);
    } else if (step < 0xB0) {
      SendPacket(input, harness);
    } else {
      host.Step(input);
    }
    CHECK(device->counters()["connections"] <= kMaxConnections);
  }
  host.Forget();
  program.Finish(*device);
  CHECK(device->counters()["connections"] == 0);
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
