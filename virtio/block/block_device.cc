#include "virtio/block/block_device.h"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace virtio {
namespace {

// The header and the status take a descriptor each. [VIRTIO 1.2 §5.2.4]
uint32_t SegMax(uint16_t queue_size) {
  return std::max(std::min<uint32_t>(queue_size, kMaxChainSegments), 3u) - 2;
}

uint64_t OfferedFeatures(const BlockDevice::Options& options, const BlockImage& image) {
  // VIRTIO_BLK_F_CONFIG_WCE is not offered: the initial value of `writeback` would depend on
  // whether the driver accepts VIRTIO_BLK_F_FLUSH, but the driver may read it before the device
  // learns this. A driver that wants write-through can simply not accept flush. [VIRTIO 1.2
  // §5.2.5.2]
  uint64_t features = FeatureBit(VIRTIO_BLK_F_SEG_MAX) | FeatureBit(VIRTIO_BLK_F_BLK_SIZE) |
                      FeatureBit(VIRTIO_BLK_F_TOPOLOGY) | FeatureBit(VIRTIO_BLK_F_FLUSH);
  if (options.num_queues > 1) features |= FeatureBit(VIRTIO_BLK_F_MQ);
  if (image.readonly()) {
    features |= FeatureBit(VIRTIO_BLK_F_RO);
  } else {
    features |= FeatureBit(VIRTIO_BLK_F_WRITE_ZEROES);
    if (image.sparse()) features |= FeatureBit(VIRTIO_BLK_F_DISCARD);
  }
  return features;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockDevice>> BlockDevice::Create(const Options& options,
                                                                 BlockImage image,
                                                                 base::EventLoop& loop,
                                                                 base::GuestMemory& memory) {
  CHECK(options.num_queues > 0 && std::has_single_bit(options.queue_size) &&
        options.queue_size >= 4 && options.queue_size <= kMaxQueueSize);
  auto device = std::unique_ptr<BlockDevice>(new BlockDevice(options, std::move(image), loop));
  for (uint16_t i = 0; i < options.num_queues; ++i) {
    auto slab = RequestSlab<BlockRequest>::Create(options.queue_size);
    if (!slab.ok()) return base::Annotate(slab.status(), options.id);
    std::optional<BouncePool> bounce;
    if (device->shared_.direct) {
      auto pool = BouncePool::Create();
      if (!pool.ok()) return base::Annotate(pool.status(), options.id);
      bounce.emplace(std::move(pool).value());
    }
    device->queues_.push_back(std::make_unique<BlockQueue>(
        loop, memory, i, device->shared_, std::move(slab).value(), std::move(bounce)));
    device->AddQueue(*device->queues_.back(), options.queue_size);
  }
  auto file = loop.AddFile(device->image_.fd());
  if (!file.ok()) return base::Annotate(file.status(), options.id);
  device->shared_.file = *file;
  return device;
}

BlockDevice::BlockDevice(const Options& options, BlockImage image, base::EventLoop& loop)
    : QueuedDevice(
          {.id = options.id, .type = VIRTIO_ID_BLOCK, .features = OfferedFeatures(options, image)},
          loop),
      image_(std::move(image)),
      config_(MakeConfig(options)),
      limiter_(options.rate_limits),
      shared_(options.shared_limiter != nullptr ? *options.shared_limiter : limiter_) {
  shared_.id = options.id;
  shared_.path = image_.path();
  shared_.serial = (options.serial.empty() ? options.id : options.serial).substr(0, 20);
  shared_.direct = image_.direct();
  shared_.io_alignment = image_.io_alignment();
  shared_.range_alignment = image_.range_alignment();
  shared_.memory_alignment = image_.memory_alignment();
  shared_.limits.capacity_sectors = config_.capacity_sectors.value();
  shared_.limits.readonly = image_.readonly();
  // If the image must stay allocated, zero it in place, whatever the driver allows.
  shared_.can_zero_by_unmap = image_.sparse();
}

BlockConfigSpace BlockDevice::MakeConfig(const Options& options) const {
  const uint32_t block = image_.logical_block_bytes();
  const uint32_t blocks_per_physical = image_.physical_block_bytes() / block;
  const uint32_t align_sectors = image_.physical_block_bytes() / kSectorBytes;
  BlockConfigSpace config;
  config.capacity_sectors = image_.size_bytes() / kSectorBytes;
  config.seg_max = SegMax(options.queue_size);
  config.blk_size = block;
  config.physical_block_exp = static_cast<uint8_t>(std::countr_zero(blocks_per_physical));
  config.min_io_size = static_cast<uint16_t>(std::min(blocks_per_physical, 0xffffu));
  config.opt_io_size = image_.optimal_io_bytes() / block;
  config.writeback = 1;
  config.num_queues = options.num_queues;
  if (!image_.readonly()) {
    config.max_discard_sectors = kMaxBlockRangeSectors;
    config.max_discard_seg = kMaxBlockRanges;
    config.discard_sector_alignment = align_sectors;
    config.max_write_zeroes_sectors = kMaxBlockRangeSectors;
    config.max_write_zeroes_seg = kMaxBlockRanges;
    config.write_zeroes_may_unmap = image_.sparse() ? 1 : 0;
  }
  return config;
}

void BlockDevice::OnActivated(uint64_t features) {
  // "neither VIRTIO_BLK_F_CONFIG_WCE nor VIRTIO_BLK_F_FLUSH feature were negotiated, but
  // VIRTIO_BLK_F_FLUSH was offered": completed writes are stable. [VIRTIO 1.2 §5.2.6.2]
  shared_.write_through = (features & FeatureBit(VIRTIO_BLK_F_FLUSH)) == 0;
  shared_.limits.discard = (features & FeatureBit(VIRTIO_BLK_F_DISCARD)) != 0;
  shared_.limits.write_zeroes = (features & FeatureBit(VIRTIO_BLK_F_WRITE_ZEROES)) != 0;
}

void BlockDevice::OnDeactivated() { shared_.write_through = false; }

void BlockDevice::Resize(uint64_t size_bytes) {
  const uint64_t before = shared_.limits.capacity_sectors;
  const uint64_t size = image_.SetSize(size_bytes);
  const uint64_t after = size / kSectorBytes;
  if (after < before) {
    // UNLIMITED: only on the host's request (SIGHUP).
    LOG(Warning) << "disk " << shared_.id << ": " << image_.path() << " shrank to " << size
                 << " bytes; the guest keeps its size and gets I/O errors behind the end";
  }
  if (after <= before) return;
  // UNLIMITED: as above.
  LOG(Info) << "disk " << shared_.id << ": grown to " << size << " bytes";
  shared_.limits.capacity_sectors = after;
  ChangeConfig(/*features=*/0, [this, after] { config_.capacity_sectors = after; });
}

void BlockDevice::OnRateLimitChanged() {
  loop().Post([this] {
    for (const auto& queue : queues_) queue->OnRateLimitChanged();
  });
}

void BlockDevice::AddCounters(Counters& counters) const {
  const BlockShared::Counters& c = shared_.counters;
  counters["read_ops"] = c.read_ops;
  counters["read_bytes"] = c.read_bytes;
  counters["write_ops"] = c.write_ops;
  counters["write_bytes"] = c.write_bytes;
  counters["flush_ops"] = c.flush_ops;
  counters["discard_ops"] = c.discard_ops;
  counters["write_zeroes_ops"] = c.write_zeroes_ops;
  counters["host_errors"] = c.host_errors;
  counters["invalid_requests"] = c.invalid;
  counters["unsupported_requests"] = c.unsupported;
  counters["requests_without_status"] = c.without_status;
  counters["retries"] = c.retries;
  counters["short_transfers"] = c.short_transfers;
  counters["bounced_requests"] = c.bounced;
  counters["unaligned_writes"] = c.unaligned_writes;
  counters["syncs"] = c.syncs;
  counters["throttled"] = c.throttled;
}

}  // namespace virtio
