// A block device on a temporary file, and a driver that sends requests to it.
#ifndef VIRTIO_BLOCK_TESTING_BLOCK_FIXTURES_H_
#define VIRTIO_BLOCK_TESTING_BLOCK_FIXTURES_H_

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "tests/fakes/device_fixtures.h"
#include "virtio/block/block_device.h"
#include "virtio/block/block_wire.h"

namespace virtio {

using Bytes = std::vector<uint8_t>;

inline Bytes RandomBytes(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes result(bytes);
  for (uint8_t& byte : result) byte = static_cast<uint8_t>(random());
  return result;
}

template <base::WireType T>
Bytes BytesOf(const T& value) {
  Bytes bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline Bytes BlockHeaderBytes(uint32_t type, uint64_t sector) {
  return BytesOf(BlockHeader{type, 0, sector});
}

// A file that the destructor removes.
class TemporaryImage {
 public:
  TemporaryImage(const std::string& directory, uint64_t bytes) : path_(directory + "/disk-XXXXXX") {
    const int fd = mkstemp(path_.data());
    CHECK(fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    close(fd);
  }
  ~TemporaryImage() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }
  void Resize(uint64_t bytes) { CHECK(truncate(path_.c_str(), static_cast<off_t>(bytes)) == 0); }
  uint64_t size() const {
    const base::UniqueFd fd(open(path_.c_str(), O_RDONLY));
    return MeasureImage(fd.get()).value();
  }
  Bytes Read(uint64_t offset, size_t bytes) const {
    const base::UniqueFd fd(open(path_.c_str(), O_RDONLY));
    Bytes result(bytes);
    CHECK(pread(fd.get(), result.data(), bytes, static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes));
    return result;
  }
  void Write(uint64_t offset, const Bytes& bytes) const {
    const base::UniqueFd fd(open(path_.c_str(), O_WRONLY));
    CHECK(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes.size()));
  }

 private:
  std::string path_;
};

// Returns whether the file system of `directory` supports O_DIRECT. Any other reason why the image
// cannot be opened fails the test.
inline bool HasDirectIo(const std::string& directory) {
  const TemporaryImage image(directory, 4096);
  const base::UniqueFd fd(open(image.path().c_str(), O_RDWR | O_CLOEXEC | O_DIRECT));
  CHECK(fd.valid() || errno == EINVAL);
  return fd.valid();
}

class BlockHarness {
 public:
  static constexpr uint64_t kDiskBytes = 1 << 20;
  struct Options {
    DeviceHarness::Options harness = {.loop = {}, .queue_size = 16};
    BlockDevice::Options device = {.id = "_disk0", .serial = "S3R14L", .queue_size = 16};
    bool readonly = false;
    bool direct = false;
    bool sparse = true;
    uint32_t logical_block_bytes = 512;
    uint32_t least_direct_alignment = 512;
    uint64_t disk_bytes = kDiskBytes;
    uint64_t features_off = 0;  // features that the driver does not accept
    std::string directory = testing::TempDir();
    std::string path = {};  // path of the image, instead of a new file in `directory`
  };
  struct Result {
    uint8_t status;
    uint32_t used_bytes;
    Bytes data;  // the writable bytes without the status
  };

  explicit BlockHarness(Options options)
      : options_(std::move(options)),
        image_(options_.directory, options_.disk_bytes),
        harness_(options_.harness) {
    auto image = BlockImage::Open({.name = "disk",
                                   .path = options_.path.empty() ? image_.path() : options_.path,
                                   .readonly = options_.readonly,
                                   .direct = options_.direct,
                                   .sparse = options_.sparse,
                                   .logical_block_bytes = options_.logical_block_bytes,
                                   .least_direct_alignment = options_.least_direct_alignment});
    CHECK(image.ok());
    device_ = *BlockDevice::Create(options_.device, *std::move(image), harness_.loop(),
                                   harness_.memory());
    Start();
  }
  BlockHarness() : BlockHarness(Options()) {}
  ~BlockHarness() {
    if (started_) CHECK(Stop());
  }

  void Start() {
    harness_.Start(*device_, device_->features() & ~options_.features_off);
    started_ = true;
  }
  bool Stop() {
    started_ = false;
    return harness_.Stop(*device_);
  }

  BlockDevice& device() { return *device_; }
  DeviceHarness& harness() { return harness_; }
  base::FakeEventLoop& loop() { return harness_.loop(); }
  FakeDriver& driver(uint16_t queue = 0) { return harness_.driver(queue); }
  TemporaryImage& image() { return image_; }
  uint64_t counter(const std::string& name) { return device_->counters().at(name); }

  // Sends one request with a readable and a writable buffer and returns its result. Fails the test
  // if the request does not end.
  Result Do(const Bytes& readable, uint32_t writable) {
    driver().EnableInterrupts();
    auto builder = driver().Chain();
    if (!readable.empty()) builder.Readable(readable);
    if (writable > 0) builder.Writable(writable);
    return Finish(builder.Offer());
  }
  // Publishes all offered chains, `head` being the last of them, and returns the result of `head`.
  Result Finish(uint16_t head) {
    harness_.Publish(0);
    return TakeResult(head);
  }
  Result TakeResult(uint16_t head) {
    const auto used = driver().PopUsed();
    if (!used) {
      ADD_FAILURE() << "the request did not end";
      return {0xff, 0, {}};
    }
    EXPECT_EQ(used->id, head);
    Bytes data = driver().WritableBytes(head);
    const uint8_t status = data.empty() ? 0xff : data.back();
    if (!data.empty()) data.pop_back();
    return {status, used->len, std::move(data)};
  }
  Result Read(uint64_t sector, uint32_t bytes) {
    return Do(BlockHeaderBytes(VIRTIO_BLK_T_IN, sector), bytes + 1);
  }
  uint8_t Write(uint64_t sector, const Bytes& data) {
    Bytes bytes = BlockHeaderBytes(VIRTIO_BLK_T_OUT, sector);
    bytes.insert(bytes.end(), data.begin(), data.end());
    return Do(bytes, 1).status;
  }
  uint8_t Flush() { return Do(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0), 1).status; }
  uint8_t DoRanges(uint32_t type, const std::vector<BlockRange>& ranges) {
    Bytes bytes = BlockHeaderBytes(type, 0);
    for (const BlockRange& range : ranges) {
      const Bytes more = BytesOf(range);
      bytes.insert(bytes.end(), more.begin(), more.end());
    }
    return Do(bytes, 1).status;
  }

 private:
  const Options options_;
  TemporaryImage image_;
  DeviceHarness harness_;
  std::unique_ptr<BlockDevice> device_;
  bool started_ = false;
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_TESTING_BLOCK_FIXTURES_H_
