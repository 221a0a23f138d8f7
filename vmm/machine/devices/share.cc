#include "vmm/machine/devices/share.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/fs/fs_device.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/p9/p9_device.h"

namespace vmm {
namespace {

virtio::OwnerMap ToOwnerMap(const std::vector<IdRangeConfig>& config) {
  std::vector<virtio::OwnerRange> ranges;
  ranges.reserve(config.size());
  for (const IdRangeConfig& range : config) {
    ranges.push_back({.guest = range.guest, .host = range.host, .count = range.count});
  }
  return virtio::OwnerMap(std::move(ranges));
}

absl::StatusOr<std::unique_ptr<virtio::Device>> CreateFsDevice(
    const FsConfig& config, uint32_t max_open_files, std::unique_ptr<virtio::HostTree> tree,
    base::EventLoop& loop, base::GuestMemory& memory) {
  virtio::FsDevice::Options options;
  options.id = config.id;
  options.tag = config.tag;
  options.cache = config.NeverChanges()                ? virtio::FsCache::kAlways
                  : config.cache == ShareCache::kNever ? virtio::FsCache::kNever
                                                       : virtio::FsCache::kAuto;
  options.num_queues = static_cast<uint16_t>(config.num_queues);
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.max_open_files = max_open_files;
  options.dax_window_bytes = config.dax_window.value_or(0);
  return virtio::FsDevice::Create(std::move(options), std::move(tree), loop, memory);
}

absl::StatusOr<std::unique_ptr<virtio::Device>> CreateP9Device(
    const FsConfig& config, uint32_t max_open_files, std::unique_ptr<virtio::HostTree> tree,
    base::EventLoop& loop, base::GuestMemory& memory) {
  virtio::P9Device::Options options;
  options.id = config.id;
  options.tag = config.tag;
  options.versions = config.NeverChanges()                ? virtio::P9Versions::kConstant
                     : config.cache == ShareCache::kNever ? virtio::P9Versions::kNone
                                                          : virtio::P9Versions::kContents;
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.max_open_files = max_open_files;
  return virtio::P9Device::Create(std::move(options), std::move(tree), loop, memory);
}

class ShareHostSide final : public HostSide {
 public:
  // `tree` belongs to the device, which runs on `loop`.
  ShareHostSide(std::string id, virtio::HostTree& tree, base::EventLoop& loop)
      : id_(std::move(id)), tree_(tree), loop_(loop), has_closure_(tree.has_closure()) {}

  bool has_closure() const override { return has_closure_; }
  void ReloadClosure(ClosureReport report) override {
    if (rereading_->exchange(true)) {
      return report(
          absl::UnavailableError("it is being read already, for longer than expected; "
                                 "does the host's file system answer?"));
    }
    loop_.Post([&tree = tree_, rereading = rereading_, report = std::move(report)]() mutable {
      const size_t before = tree.closure_size();
      const absl::Status status = tree.RereadClosure();
      rereading->store(false);
      if (!status.ok()) return report(status);
      report(tree.closure_size() - before);
    });
  }
  void Reread() override {
    if (!has_closure()) return;
    ReloadClosure([id = id_](const absl::StatusOr<size_t>& added) {
      if (added.ok()) return;
      // UNLIMITED: only a SIGHUP from the host causes this line.
      LOG(Warning) << id << ": the closure stays as it was: " << added.status().message();
    });
  }

 private:
  const std::string id_;
  virtio::HostTree& tree_;  // used on `loop_` only
  base::EventLoop& loop_;
  const bool has_closure_;
  // True while the closure is being read or waits to be read. Shared with functions in the loop,
  // which may outlive this object.
  const std::shared_ptr<std::atomic<bool>> rereading_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

absl::StatusOr<PlacedDevice> CreateShare(const FsConfig& config, const ShareLimits& limits,
                                         const DeviceContext& context) {
  virtio::HostTree::Options options;
  options.name = absl::StrCat("fs[", context.index, "]");
  options.path = config.path;
  options.closure = config.closure;
  options.writable = !config.readonly;
  options.submounts = config.submounts;
  options.uids = ToOwnerMap(config.uid_map);
  options.gids = ToOwnerMap(config.gid_map);
  options.max_directories = limits.directories;
  options.max_node_bytes = limits.node_bytes;
  ASSIGN_OR_RETURN(auto tree, virtio::HostTree::Open(std::move(options)));
  base::EventLoop& loop = context.next_loop();
  auto host_side = std::make_unique<ShareHostSide>(config.id, *tree, loop);
  const auto create = config.proto == ShareProtocol::k9p ? CreateP9Device : CreateFsDevice;
  ASSIGN_OR_RETURN(auto device,
                   create(config, limits.open_files, std::move(tree), loop, context.memory));
  return Place(std::move(device), config, std::move(host_side));
}

}  // namespace vmm
