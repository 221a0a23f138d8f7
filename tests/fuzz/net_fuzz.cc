// Fuzzes the network device with a driver, a host and a network peer that do anything at any time.

#include <errno.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "net/port.h"
#include "tests/fuzz/device_program.h"
#include "virtio/net/net_device.h"

namespace virtio {
namespace {

// A port that delivers what the input says, and checks what the device sends.
class FuzzPort final : public net::Port {
 public:
  FuzzPort() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  int fd() const override { return event_.get(); }
  int32_t Send(std::span<const iovec> frame) override {
    if (send_error != 0) return -send_error;
    size_t bytes = 0;
    for (const iovec& piece : frame) bytes += piece.iov_len;
    CHECK(frame.front().iov_len == net::kVnetHeaderBytes);
    CHECK(bytes >= net::kVnetHeaderBytes + 14);
    CHECK(bytes <= net::kVnetHeaderBytes + net::kMaxFrameBytes);
    sent_bytes += bytes - net::kVnetHeaderBytes;
    ++sent;
    return 0;
  }
  int32_t Receive(std::span<const iovec> to) override {
    if (receive_error != 0) return -receive_error;
    if (frames_.empty()) {
      eventfd_t value;
      eventfd_read(event_.get(), &value);
      return -EAGAIN;
    }
    const std::vector<uint8_t> frame = std::move(frames_.front());
    frames_.pop_front();
    size_t at = 0;
    for (const iovec& piece : to) {
      const size_t length = std::min(piece.iov_len, frame.size() - at);
      std::copy_n(frame.begin() + static_cast<ptrdiff_t>(at), length,
                  static_cast<uint8_t*>(piece.iov_base));
      at += length;
    }
    ++delivered;
    return static_cast<int32_t>(at);
  }
  int32_t SetOffloads(uint32_t /*offloads*/) override { return -offload_error; }
  int32_t SetActive(bool /*active*/) override { return 0; }

  void Arrive(std::vector<uint8_t> frame) {
    if (frames_.size() < 64) frames_.push_back(std::move(frame));
    CHECK(eventfd_write(event_.get(), 1) == 0);
  }

  int send_error = 0;
  int receive_error = 0;
  int offload_error = 0;
  uint64_t sent = 0;
  uint64_t sent_bytes = 0;
  uint64_t delivered = 0;

 private:
  base::UniqueFd event_;
  std::deque<std::vector<uint8_t>> frames_;
};

constexpr int kErrors[] = {0, 0, 0, EAGAIN, EIO, EBADFD, EINVAL, ENOBUFS};

void HostStep(FuzzInput& input, FuzzPort& port, NetDevice& device) {
  switch (input.Byte() % 6) {
    case 0: {  // a frame whose beginning is the input's, with a header from the input
      std::vector<uint8_t> frame(input.Number(2) * (1 + input.Byte() % 2));
      std::ranges::copy(input.Bytes(std::min<size_t>(frame.size(), 32)), frame.begin());
      return port.Arrive(std::move(frame));
    }
    case 1:
      port.send_error = kErrors[input.Byte() % std::size(kErrors)];
      // EAGAIN with a descriptor that is ready would make the device spin.
      if (port.send_error == EAGAIN) port.send_error = 0;
      return;
    case 2:
      port.receive_error = kErrors[input.Byte() % std::size(kErrors)];
      if (port.receive_error == EAGAIN) port.receive_error = 0;
      return port.Arrive({});
    case 3:
      port.offload_error = kErrors[input.Byte() % std::size(kErrors)];
      return;
    case 4:
      return device.SetLink(NetDevice::LinkSource::kUser, input.Byte() % 2 == 0);
    case 5:
      return device.Announce();
  }
}

void Run(FuzzInput input) {
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  const size_t pairs = 1 + input.Byte() % 2;
  std::vector<FuzzPort*> ports;
  std::vector<NetDevice::Pair> list;
  for (size_t i = 0; i < pairs; ++i) {
    auto port = std::make_unique<FuzzPort>();
    ports.push_back(port.get());
    list.push_back({std::move(port), harness.loop()});
  }
  NetDevice::Options options;
  options.id = "_net0";
  options.mac = {2, 0, 0, 0, 0, 1};
  options.has_uso = true;
  auto device = NetDevice::Create(options, std::move(list), harness.memory()).value();
  program.Start(*device);
  for (int steps = 0; !input.empty() && steps < 400; ++steps) {
    const uint8_t step = input.Byte();
    if (step < 0xC0) {
      program.Step(*device, step);
    } else {
      HostStep(input, *ports[step % pairs], *device);
    }
  }
  for (FuzzPort* port : ports) port->send_error = port->receive_error = 0;
  program.Finish(*device);
  Counters counters = device->counters();
  uint64_t sent = 0, sent_bytes = 0, delivered = 0;
  for (const FuzzPort* port : ports) {
    sent += port->sent;
    sent_bytes += port->sent_bytes;
    delivered += port->delivered;
  }
  CHECK(counters["tx_frames"] == sent && counters["tx_bytes"] == sent_bytes);
  CHECK(counters["rx_frames"] <= delivered);
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
