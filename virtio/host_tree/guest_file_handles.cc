#include "virtio/host_tree/guest_file_handles.h"

#include <errno.h>

#include <utility>

#include "base/log.h"

namespace virtio {

GuestFileHandles::~GuestFileHandles() {
  CloseAll();
  CHECK(closed_.empty());
}

HostError GuestFileHandles::Insert(std::unique_ptr<HostFile> file, Handle*& handle) {
  const absl::StatusOr<base::LoopFile> lent = loop_.LendFile(file->fd());
  if (!lent.ok()) return ENFILE;
  auto owned = std::make_unique<Handle>();
  handle = owned.get();
  handle->number = ++last_number_;
  handle->file = std::move(file);
  handle->loop_file = *lent;
  by_number_[handle->number] = std::move(owned);
  return 0;
}

HostError GuestFileHandles::Add(std::unique_ptr<HostFile> file, FileSync sync, Handle*& handle) {
  if (full()) return ENFILE;
  if (const HostError error = Insert(std::move(file), handle); error != 0) return error;
  handle->sync = sync;
  ++counted_;
  return 0;
}

HostError GuestFileHandles::AddForFlush(std::unique_ptr<HostFile> directory, Handle*& handle) {
  if (const HostError error = Insert(std::move(directory), handle); error != 0) return error;
  handle->counted = false;
  Use(*handle);
  Close(handle->number);
  return 0;
}

GuestFileHandles::Handle* GuestFileHandles::Find(uint64_t number, NodeId node) {
  const auto found = by_number_.find(number);
  if (found == by_number_.end() || found->second->file->node() != node) return nullptr;
  return found->second.get();
}

void GuestFileHandles::Release(Handle& handle) {
  if (--handle.users > 0 || !handle.closed) return;
  Drop(handle);
  closed_.erase(handle.number);
}

void GuestFileHandles::Drop(const Handle& handle) {
  loop_.RemoveFile(handle.loop_file);
  if (handle.counted) --counted_;
}

void GuestFileHandles::Close(uint64_t number) {
  const auto found = by_number_.find(number);
  if (found == by_number_.end()) return;
  std::unique_ptr<Handle> handle = std::move(found->second);
  by_number_.erase(found);
  Close(std::move(handle));
}

void GuestFileHandles::CloseAll() {
  // Closes all handles in one pass. To close the first handle again and again would take quadratic
  // time, because begin() of a hash table passes all slots that have become empty.
  Table all = std::exchange(by_number_, {});
  for (auto& [number, handle] : all) Close(std::move(handle));
}

void GuestFileHandles::Close(std::unique_ptr<Handle> handle) {
  handle->closed = true;
  if (handle->users == 0) return Drop(*handle);
  const uint64_t number = handle->number;
  closed_[number] = std::move(handle);
}

}  // namespace virtio
