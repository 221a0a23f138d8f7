// Fuzzes the block device with requests that are mostly well formed and with everything else that a
// driver can do, on a host with short transfers and errors. Must hold: the image keeps its size,
// every request completes, every stop and pause ends.

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "tests/fuzz/device_program.h"
#include "virtio/block/block_device.h"

namespace virtio {
namespace {

constexpr uint64_t kImageBytes = 64 << 10;
constexpr uint16_t kQueues = 2;

base::UniqueFd MakeImage(bool direct) {
  base::UniqueFd fd(memfd_create("image", MFD_CLOEXEC));
  CHECK(fd.valid() && ftruncate(fd.get(), kImageBytes) == 0);
  if (!direct) return fd;
  // Direct I/O covers the code for aligned buffers. Linux before 6.6 has no O_DIRECT in memory.
  const std::string path = absl::StrCat("/proc/self/fd/", fd.get());
  base::UniqueFd direct_fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT));
  return direct_fd.valid() ? std::move(direct_fd) : std::move(fd);
}

// Offers the header, the data and the status in up to five buffers.
void OfferRequest(FuzzInput& input, FakeDriver& driver, base::GuestMemory& memory) {
  static constexpr std::array<uint32_t, 8> kTypes = {
      VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,          VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
      VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_IN,    VIRTIO_BLK_T_OUT};
  const uint8_t what = input.Byte();
  const uint8_t how = input.Byte();
  const uint32_t type = what < 0xF0 ? kTypes[what % 8] : static_cast<uint32_t>(input.Number(4));
  const uint64_t sector = what < 0x80 ? input.Byte() % 128 : input.Number(what % 9);
  const uint64_t base = 0x100000 + uint64_t{input.Byte()} * 0x400 + (how % 2);
  const BlockHeader header{type, 0, sector};
  uint64_t addr = base;
  memory.Store(addr, header);
  addr += sizeof(header);
  const auto data = static_cast<uint32_t>(how < 0xE0 ? 512 * (how % 9) : input.Number(2) % 0x4000);
  const bool ranges = type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES;
  std::vector<FakeDriver::Descriptor> chain;
  const uint32_t cut = what % 16;
  chain.push_back({base, cut, 0, 0});
  chain.push_back({base + cut, 16 - cut, 0, 0});
  if (ranges) {
    const uint32_t count = 1 + how % 3;
    for (uint32_t i = 0; i < count; ++i) {
      memory.Store(addr + i * sizeof(BlockRange),
                   BlockRange{input.Byte() % 130u, input.Byte() % 130u, input.Byte() % 3u});
    }
    chain.push_back({addr, static_cast<uint32_t>(count * sizeof(BlockRange)), 0, 0});
  } else {
    const uint16_t flags = type == VIRTIO_BLK_T_OUT ? 0 : 2;
    const uint32_t first = data * (how % 4) / 4;
    chain.push_back({addr, first, flags, 0});
    chain.push_back({addr + first, data - first, flags, 0});
  }
  chain.push_back({addr + data, 1, 2, 0});
  const auto head = static_cast<uint16_t>(input.Byte() % DeviceProgram::kQueueSize);
  for (size_t i = 0; i < chain.size(); ++i) {
    chain[i].next = static_cast<uint16_t>((head + i + 1) % DeviceProgram::kQueueSize);
    if (i + 1 < chain.size()) chain[i].flags |= 1;
    driver.WriteDescriptor(static_cast<uint16_t>((head + i) % DeviceProgram::kQueueSize), chain[i]);
  }
  driver.OfferRaw(head);
}

void Run(FuzzInput input) {
  const uint8_t flags = input.Byte();
  const bool readonly = flags % 8 == 1;
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  base::UniqueFd fd = MakeImage((flags & 0x40) != 0);
  const base::UniqueFd image_fd(dup(fd.get()));
  auto image = BlockImage::Open({.name = "disk",
                                 .path = "image",
                                 .fd = std::move(fd),
                                 .readonly = readonly,
                                 .sparse = (flags & 0x20) != 0,
                                 .least_direct_alignment = (flags & 0x80) != 0 ? 4096u : 512u});
  CHECK(image.ok());
  auto device = *BlockDevice::Create(
      {.id = "d", .num_queues = kQueues, .queue_size = DeviceProgram::kQueueSize},
      std::move(image).value(), harness.loop(), harness.memory());
  harness.Start(*device, device->features() & ~(uint64_t{flags} << 5));
  for (int steps = 0; !input.empty() && steps < 400; ++steps) {
    const uint8_t step = input.Byte();
    if (step < 0x60) {
      program.Step(*device, step);
    } else if (step < 0xF0) {
      const uint16_t queue = step % kQueues;
      OfferRequest(input, harness.driver(queue), harness.memory());
      if (step % 4 < 2) harness.Kick(queue);
    } else if (step < 0xF8) {
      std::vector<uint8_t> bytes(input.Byte());
      device->ReadConfig(static_cast<uint32_t>(input.Number(input.Byte() % 5)), bytes);
    } else {
      device->Resize(input.Number(4) % (kImageBytes + 1));
    }
  }
  program.Finish(*device);
  struct stat file;
  CHECK(fstat(image_fd.get(), &file) == 0 && file.st_size == kImageBytes);
  CHECK(harness.loop().in_flight() == 0);
  if (readonly) {
    const Counters counters = device->counters();
    CHECK(counters.at("write_ops") == 0 && counters.at("discard_ops") == 0);
    CHECK(counters.at("write_zeroes_ops") == 0);
  }
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The device logs what a hostile guest causes; these lines are useless for each input here.
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
