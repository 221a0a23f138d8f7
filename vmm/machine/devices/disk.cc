#include "vmm/machine/devices/disk.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/block/block_device.h"
#include "virtio/block/block_image.h"
#include "virtio/block/image_lock.h"
#include "vmm/config/key_path.h"
#include "vmm/machine/devices/rate_limits.h"
#include "vmm/machine/disk_measurer.h"

namespace vmm {
namespace {

class DiskHostSide final : public HostSide {
 public:
  // `device` outlives this object.
  DiskHostSide(virtio::BlockDevice& device, HostFile file,
               const std::optional<std::string>& rate_limit_group)
      : device_(device),
        file_(std::move(file)),
        rate_limit_group_(rate_limit_group),
        measurer_([&device](const absl::StatusOr<uint64_t>& size) {
          if (!size.ok()) {
            // UNLIMITED: only a SIGHUP from the host causes this line.
            LOG(Warning) << device.id() << ": " << size.status().message();
          } else {
            device.loop().Post([&device, size = *size] { device.Resize(size); });
          }
        }) {}

  const HostFile* file() const override { return &file_; }
  void Reread() override {
    if (const absl::Status status = measurer_.Measure(file_.fd); !status.ok()) {
      // UNLIMITED: only a SIGHUP from the host causes this line.
      LOG(Warning) << device_.id() << ": " << status.message();
    }
  }
  absl::Status SetRateLimits(const net::RateLimiter::Limits& limits) override {
    if (rate_limit_group_.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("its limit is that of the group ",
                                                     Printable(*rate_limit_group_),
                                                     "; give the id of the group"));
    }
    device_.limiter().Change(limits, device_.loop().Now());
    device_.OnRateLimitChanged();
    return absl::OkStatus();
  }
  void OnGroupLimitChanged() override {
    if (rate_limit_group_.has_value()) device_.OnRateLimitChanged();
  }
  // Without this, the io_uring's reference to the file would keep the lock for a moment after the
  // end of the process.
  void Unlock() override { virtio::UnlockImage(file_.fd); }

 private:
  virtio::BlockDevice& device_;
  const HostFile file_;
  const std::optional<std::string> rate_limit_group_;
  DiskMeasurer measurer_;
};

// Without this check the lock of the first disk would refuse the second disk, with an error that
// blames another VM.
absl::Status CheckNotInUse(const HostFile& file, const DeviceSet& others) {
  for (const PlacedDevice& placed : others.all()) {
    const HostFile* other = placed.host_side->file();
    if (other == nullptr || (file.readonly && other->readonly) ||
        !virtio::IsSameImage(file.path, other->fd)) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(file.key, ": ", file.path, ": is the same image as ", other->key, ", ",
                     other->path, "; give each disk its own, or set readonly in both"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PlacedDevice> CreateDisk(const DiskConfig& config, net::RateLimiter* group,
                                        const DeviceContext& context) {
  HostFile file;
  file.key = absl::StrCat("disks[", context.index, "].path");
  file.path = config.path;
  file.readonly = config.readonly;
  RETURN_IF_ERROR(CheckNotInUse(file, context.others));
  virtio::BlockImage::Options image_options;
  image_options.name = file.key;
  image_options.path = config.path;
  image_options.readonly = config.readonly;
  image_options.direct = config.direct;
  image_options.sparse = config.sparse;
  image_options.logical_block_bytes = config.logical_block_size;
  ASSIGN_OR_RETURN(virtio::BlockImage image, virtio::BlockImage::Open(std::move(image_options)));
  file.fd = image.fd();
  virtio::BlockDevice::Options options;
  options.id = config.id;
  options.serial = config.serial.value_or("");
  options.num_queues = static_cast<uint16_t>(config.num_queues);
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.rate_limits = MakeRateLimits(config.rate_limiter_config);
  options.shared_limiter = group;
  ASSIGN_OR_RETURN(auto device, virtio::BlockDevice::Create(options, std::move(image),
                                                            context.next_loop(), context.memory));
  file.lost_writes_error = &device->lost_writes_error();
  auto host_side =
      std::make_unique<DiskHostSide>(*device, std::move(file), config.rate_limit_group);
  return Place(std::move(device), config, std::move(host_side));
}

}  // namespace vmm
