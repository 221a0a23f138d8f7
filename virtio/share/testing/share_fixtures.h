// A share of either protocol on a temporary tree, with the driver of its device. The fixtures of
// the protocols derive from ShareHarness and add the messages.
#ifndef VIRTIO_SHARE_TESTING_SHARE_FIXTURES_H_
#define VIRTIO_SHARE_TESTING_SHARE_FIXTURES_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/fakes/device_fixtures.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {

using Bytes = std::vector<uint8_t>;

// The answer to a request.
struct ShareResult {
  int error = 0;  // a positive errno, or -1 if there is no answer
  Bytes data;     // behind the header

  template <typename T>
  T As() const {
    T value = {};
    EXPECT_GE(data.size(), sizeof(T));
    std::memcpy(&value, data.data(), std::min(sizeof(T), data.size()));
    return value;
  }
  std::string Text(size_t from = 0) const {
    const std::string text(data.begin(), data.end());
    return text.size() < from ? "?" : text.substr(from);
  }
};

template <typename Device>
class ShareHarness {
 public:
  using Result = ShareResult;

  ShareHarness(const ShareHarness&) = delete;
  ShareHarness& operator=(const ShareHarness&) = delete;

  bool Stop() {
    started_ = false;
    return harness_.Stop(*device_);
  }

  TemporaryTree& host() { return host_; }
  HostTree& tree() { return *tree_; }
  Device& device() { return *device_; }
  DeviceHarness& harness() { return harness_; }
  base::FakeEventLoop& loop() { return harness_.loop(); }
  uint64_t counter(const std::string& name) { return device_->counters().at(name); }

  // Returns the path on the host of what the guest sees at `name`, relative to the root.
  std::string HostPath(absl::string_view name) { return host_.Path(absl::StrCat("root/", name)); }
  struct stat HostStatus(absl::string_view name) {
    struct stat status = {};
    EXPECT_EQ(lstat(HostPath(name).c_str(), &status), 0) << name;
    return status;
  }
  std::string HostText(absl::string_view name) {
    std::ifstream file(HostPath(name), std::ios::binary);
    EXPECT_TRUE(file.is_open()) << name;
    return {std::istreambuf_iterator<char>(file), {}};
  }

 protected:
  // What differs between the trees of tests.
  struct Tree {
    std::optional<std::string> closure = {};  // its text
    bool writable = false;
    bool submounts = false;
    OwnerMap uids = {};
    OwnerMap gids = {};
    size_t max_node_bytes = size_t{256} << 20;
    std::optional<uint64_t> root_magic = {};  // as in HostTree::Options
  };

  // Opens the directory "root" of a new temporary tree, in which `fill(TemporaryTree)` makes files.
  // The derived class makes the device.
  template <typename Fill>
  ShareHarness(const DeviceHarness::Options& harness, const Tree& tree, const Fill& fill)
      : host_(testing::TempDir()), harness_(harness) {
    host_.Directory("root");
    fill(host_);
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.writable = tree.writable;
    options.submounts = tree.submounts;
    options.uids = tree.uids;
    options.gids = tree.gids;
    options.max_node_bytes = tree.max_node_bytes;
    options.max_directories = 8;
    options.root_magic = tree.root_magic;
    if (tree.closure.has_value()) {
      host_.Write("closure", *tree.closure);
      options.closure = host_.Path("closure");
    }
    opened_tree_ = *HostTree::Open(std::move(options));
    tree_ = opened_tree_.get();
  }
  ~ShareHarness() {
    if (started_) CHECK(Stop());
  }

  // Makes the device with `options` and the tree.
  void CreateDevice(typename Device::Options options) {
    device_ = *Device::Create(std::move(options), std::move(opened_tree_), harness_.loop(),
                              harness_.memory());
  }
  void StartDevice() {
    harness_.Start(*device_, device_->features());
    started_ = true;
  }
  // Takes the answer to the chain at `head`, which must be the next used chain: its header into
  // `header`, and returns what is behind the header. Returns nullopt if there is no answer.
  template <typename Header>
  std::optional<Bytes> TakeAnswer(uint16_t queue, uint16_t head, Header& header) {
    const auto used = harness_.driver(queue).PopUsed();
    if (!used) {
      ADD_FAILURE() << "the request did not end";
      return std::nullopt;
    }
    EXPECT_EQ(used->id, head);
    return SplitAnswer(harness_.driver(queue).WritableBytes(head), used->len, header);
  }
  // Does the same for an answer of `used` bytes at the front of `bytes`.
  template <typename Header>
  static std::optional<Bytes> SplitAnswer(const Bytes& bytes, uint32_t used, Header& header) {
    if (used < sizeof(header) || used > bytes.size()) {
      ADD_FAILURE() << "used " << used << " of " << bytes.size();
      return std::nullopt;
    }
    std::memcpy(&header, bytes.data(), sizeof(header));
    return Bytes(bytes.begin() + sizeof(header), bytes.begin() + used);
  }

 private:
  TemporaryTree host_;
  DeviceHarness harness_;
  std::unique_ptr<HostTree> opened_tree_;  // until the device has it
  HostTree* tree_ = nullptr;               // the device's
  std::unique_ptr<Device> device_;
  bool started_ = false;
};

// --- A store with one path in its closure and a secret beside it ---------------------------------

inline constexpr absl::string_view kStoreClosure = "/nix/store/1-app\n";

inline std::string RandomText(size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

inline void FillStore(const TemporaryTree& host) {
  host.Write("root/1-app/bin/tool", "content of tool");
  host.Write("root/1-app/big", RandomText(300'000));
  host.Link("../2-secret/key", "root/1-app/link");
  host.Write("root/2-secret/key", "secret");
  for (int i = 0; i < 50; ++i) host.Write(absl::StrCat("root/1-app/many/file-", i), "x");
}

// Returns the names of a listed directory.
template <typename Listed>
std::set<std::string> Names(const std::vector<Listed>& listed) {
  std::set<std::string> names;
  for (const auto& entry : listed) names.insert(entry.name);
  return names;
}

}  // namespace virtio

#endif  // VIRTIO_SHARE_TESTING_SHARE_FIXTURES_H_
