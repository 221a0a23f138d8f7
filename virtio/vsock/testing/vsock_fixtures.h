// A socket device with a driver, and Unix sockets of the host, for its tests.
#ifndef VIRTIO_VSOCK_TESTING_VSOCK_FIXTURES_H_
#define VIRTIO_VSOCK_TESTING_VSOCK_FIXTURES_H_

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "tests/fakes/device_fixtures.h"
#include "virtio/vsock/vsock_device.h"

namespace virtio {

using Bytes = std::vector<uint8_t>;

inline constexpr uint64_t kGuestCid = 5;
inline constexpr uint16_t kRx = VsockReceiveQueue::kIndex;
inline constexpr uint16_t kTx = VsockTransmitQueue::kIndex;

inline Bytes BytesOf(absl::string_view text) { return Bytes(text.begin(), text.end()); }

// A packet for or of the guest.
struct Packet {
  VsockHeader header;
  Bytes data;

  unsigned operation() const { return header.operation.value(); }
};

class VsockTest : public testing::Test {
 protected:
  static constexpr uint32_t kCredit = 100'000;

  explicit VsockTest(DeviceHarness::Options options = {.queue_size = 64},
                     size_t max_connections = VsockMux::kMaxConnections)
      : harness_(std::move(options)) {
    std::string pattern = testing::TempDir() + "vmm-vsock-XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/vsock";
    device_ = VsockDevice::Create(
                  {.guest_cid = kGuestCid, .path = path_, .max_connections = max_connections},
                  harness_.loop(), harness_.memory())
                  .value();
    harness_.Start(*device_, ~uint64_t{0});
  }
  ~VsockTest() override {
    EXPECT_TRUE(harness_.Stop(*device_));
    EXPECT_EQ(Counter("connections"), 0u);
    device_.reset();
    std::filesystem::remove_all(folder_);
  }

  uint64_t Counter(const std::string& name) const { return device_->counters()[name]; }
  void Run() { harness_.loop().RunUntilIdle(); }

  // --- The guest ---

  void OfferBuffers(int count, uint32_t bytes = 4096) {
    for (int i = 0; i < count; ++i) harness_.driver(kRx).Chain().Writable(bytes).Offer();
    harness_.Publish(kRx);
  }
  // Returns the next packet that the guest has got. Offers a buffer if necessary.
  std::optional<Packet> Take() {
    FakeDriver& driver = harness_.driver(kRx);
    auto used = driver.PopUsed();
    if (!used.has_value() && driver.outstanding() == 0) {
      OfferBuffers(1);
      used = driver.PopUsed();
    }
    if (!used.has_value()) return std::nullopt;
    const Bytes bytes = driver.WritableBytes(static_cast<uint16_t>(used->id));
    Packet packet;
    if (used->len < sizeof(packet.header) || used->len > bytes.size()) {
      ADD_FAILURE() << "a packet of " << used->len << " bytes";
      return std::nullopt;
    }
    std::copy_n(bytes.begin(), sizeof(packet.header), base::WritableBytesOf(packet.header).begin());
    packet.data.assign(bytes.begin() + sizeof(packet.header), bytes.begin() + used->len);
    EXPECT_EQ(packet.header.length.value(), packet.data.size());
    return packet;
  }
  static VsockHeader Header(unsigned operation, uint32_t guest_port, uint32_t host_port) {
    VsockHeader header;
    header.source_cid = kGuestCid;
    header.destination_cid = kHostCid;
    header.source_port = guest_port;
    header.destination_port = host_port;
    header.type = VIRTIO_VSOCK_TYPE_STREAM;
    header.operation = static_cast<uint16_t>(operation);
    header.buffer_bytes = kCredit;
    return header;
  }
  void Send(VsockHeader header, const Bytes& data = {}) {
    header.length = static_cast<uint32_t>(data.size());
    SendRaw(header, data);
  }
  void SendRaw(const VsockHeader& header, const Bytes& data) {
    auto chain = harness_.driver(kTx).Chain().Readable(base::BytesOf(header));
    if (!data.empty()) chain.Readable(data);
    chain.Offer();
    harness_.Publish(kTx);
    while (harness_.driver(kTx).PopUsed().has_value()) {
    }
  }
  // Connects a port of the guest to a listener of the host. Returns the host's end.
  base::UniqueFd ConnectGuest(uint32_t guest_port, base::UnixListener& listener,
                              uint32_t host_port) {
    Send(Header(VIRTIO_VSOCK_OP_REQUEST, guest_port, host_port));
    const auto answer = Take();
    EXPECT_TRUE(answer.has_value() && answer->operation() == VIRTIO_VSOCK_OP_RESPONSE);
    return base::UniqueFd(accept(listener.fd(), nullptr, nullptr));
  }

  // --- The host ---

  base::UnixListener Listen(uint32_t port) {
    return base::UnixListener::Listen(absl::StrCat(path_, "_", port)).value();
  }
  base::UniqueFd Client() {
    base::UniqueFd client = base::ConnectUnix(path_, std::chrono::seconds(1)).value();
    Run();
    return client;
  }
  void Write(const base::UniqueFd& socket, absl::string_view text) {
    ASSERT_EQ(send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL), ssize_t(text.size()));
    Run();
  }
  // Returns what has arrived; "<end>" at the end of the stream.
  static std::string Read(const base::UniqueFd& socket) {
    std::string text(1 << 20, 0);
    const ssize_t n = recv(socket.get(), text.data(), text.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) return "<end>";
    text.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return text;
  }
  // Connects a client of the host to a port of the guest. Returns the port of the host's side.
  uint32_t ConnectHost(const base::UniqueFd& client, uint32_t guest_port) {
    Write(client, absl::StrCat("CONNECT ", guest_port, "\n"));
    const auto request = Take();
    EXPECT_TRUE(request.has_value() && request->operation() == VIRTIO_VSOCK_OP_REQUEST);
    if (!request.has_value()) return 0;
    EXPECT_EQ(request->header.destination_port.value(), guest_port);
    const uint32_t host_port = request->header.source_port.value();
    Send(Header(VIRTIO_VSOCK_OP_RESPONSE, guest_port, host_port));
    EXPECT_EQ(Read(client), absl::StrCat("OK ", host_port, "\n"));
    return host_port;
  }

  DeviceHarness harness_;
  std::string folder_;
  std::string path_;
  std::unique_ptr<VsockDevice> device_;
};

}  // namespace virtio

#endif  // VIRTIO_VSOCK_TESTING_VSOCK_FIXTURES_H_
