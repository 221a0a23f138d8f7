#include "vmm/machine/device_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "vmm/machine/disk_sync.h"

namespace vmm {

struct DevicesAtWork::State {
  base::EventLoop& control;
  std::set<std::string> ids;
  absl::AnyInvocable<void()> done;
};

DevicesAtWork::DevicesAtWork(base::EventLoop& control, std::set<std::string> ids,
                             absl::AnyInvocable<void()> done) {
  if (ids.empty()) {
    control.Post(std::move(done));
    return;
  }
  state_ = std::make_shared<State>(State{control, std::move(ids), std::move(done)});
}

absl::AnyInvocable<void()> DevicesAtWork::Finisher(absl::string_view id) const {
  return [state = state_, id = std::string(id)] {
    state->control.Post([state, id] {
      if (state->ids.erase(id) != 0 && state->ids.empty()) std::exchange(state->done, nullptr)();
    });
  };
}

std::string DevicesAtWork::Names() const {
  return state_ == nullptr ? "" : absl::StrJoin(state_->ids, ", ");
}

absl::Status DeviceSet::Add(absl::StatusOr<PlacedDevice> placed) {
  RETURN_IF_ERROR(placed.status());
  const absl::string_view id = placed->device->id();
  if (Find(id) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat(id, ": there is a device with this id already"));
  }
  ASSIGN_OR_RETURN(placed->doorbells, virtio::DeviceDoorbells::Create(*placed->device));
  devices_.push_back(*std::move(placed));
  return absl::OkStatus();
}

bool DeviceSet::Remove(absl::string_view id) {
  const auto found = std::ranges::find(devices_, id, [](const auto& d) { return d.device->id(); });
  if (found == devices_.end()) return false;
  PlacedDevice placed = std::move(*found);
  devices_.erase(found);
  // LIFETIME: the host side is destroyed first. After this line none of its threads posts anything
  // for the device.
  placed.host_side.reset();
  base::EventLoop& loop = placed.device->loop();
  loop.Post([placed = std::move(placed)] {});
  return true;
}

const PlacedDevice* DeviceSet::Find(absl::string_view id) const {
  const auto found = std::ranges::find(devices_, id, [](const auto& d) { return d.device->id(); });
  return found == devices_.end() ? nullptr : &*found;
}

std::set<std::string> DeviceSet::ids() const {
  std::set<std::string> ids;
  for (const PlacedDevice& placed : devices_) ids.emplace(placed.device->id());
  return ids;
}

std::string DeviceSet::IdsOn(const base::EventLoop& loop) const {
  std::vector<absl::string_view> ids;
  for (const PlacedDevice& placed : devices_) {
    if (&placed.device->loop() == &loop) ids.push_back(placed.device->id());
  }
  return absl::StrJoin(ids, " ");
}

void DeviceSet::Pause(const DevicesAtWork& busy) const {
  for (const PlacedDevice& placed : devices_) {
    virtio::Device& device = *placed.device;
    device.loop().Post([&device, finisher = busy.Finisher(device.id())]() mutable {
      device.Pause(std::move(finisher));
    });
  }
}

void DeviceSet::Resume() const {
  for (const PlacedDevice& placed : devices_) {
    virtio::Device& device = *placed.device;
    device.loop().Post([&device] { device.Resume(); });
  }
}

void DeviceSet::Reread() const {
  for (const PlacedDevice& placed : devices_) placed.host_side->Reread();
}

void DeviceSet::ReloadClosures(
    absl::FunctionRef<HostSide::ClosureReport(absl::string_view id)> make_report) const {
  for (const PlacedDevice& placed : devices_) {
    if (!placed.host_side->has_closure()) continue;
    placed.host_side->ReloadClosure(make_report(placed.device->id()));
  }
}

bool DeviceSet::WriteThrough(std::chrono::milliseconds patience) const {
  std::vector<DiskToSync> disks;
  for (const PlacedDevice& placed : devices_) {
    const HostFile* file = placed.host_side->file();
    if (file == nullptr || file->readonly) continue;
    disks.push_back({file->path, file->fd, file->lost_writes_error});
  }
  const std::vector<UnsyncedDisk> unsynced = SyncWithin(disks, patience);
  // UNLIMITED: runs once, since the VM ends.
  for (const UnsyncedDisk& disk : unsynced) LOG(Error) << Describe(disk, patience);
  return unsynced.empty();
}

std::string DeviceSet::CountersText() const {
  std::string text;
  for (const PlacedDevice& placed : devices_) {
    std::vector<std::string> parts;
    for (const auto& [name, value] : placed.device->counters()) {
      if (value != 0) parts.push_back(absl::StrCat(name, " ", value));
    }
    absl::StrAppend(&text, placed.device->id(), ": ",
                    parts.empty() ? "nothing" : absl::StrJoin(parts, ", "), "\n");
  }
  return text;
}

void DeviceSet::Unlock() const {
  for (const PlacedDevice& placed : devices_) placed.host_side->Unlock();
}

}  // namespace vmm
