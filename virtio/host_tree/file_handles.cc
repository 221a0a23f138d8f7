#include "virtio/host_tree/file_handles.h"

#include <errno.h>

#include <utility>

#include "base/log.h"

namespace virtio {

FileHandles::~FileHandles() {
  CloseAll();
  CHECK(closed_.empty());
}

int FileHandles::Add(std::unique_ptr<HostFile> file, Handle*& handle) {
  if (full()) return ENFILE;
  const absl::StatusOr<base::LoopFile> added = loop_.AddTemporaryFile(file->fd());
  if (!added.ok()) return ENFILE;
  auto owned = std::make_unique<Handle>();
  handle = owned.get();
  handle->number = ++last_number_;
  handle->file = std::move(file);
  handle->loop_file = *added;
  by_number_[handle->number] = std::move(owned);
  return 0;
}

FileHandles::Handle* FileHandles::Find(uint64_t number, NodeId node) {
  const auto found = by_number_.find(number);
  if (found == by_number_.end() || found->second->file->node() != node) return nullptr;
  return found->second.get();
}

void FileHandles::Release(Handle& handle) {
  if (--handle.users > 0 || !handle.closed) return;
  loop_.RemoveFile(handle.loop_file);
  closed_.erase(handle.number);
}

void FileHandles::Close(uint64_t number) {
  if (const auto found = by_number_.find(number); found != by_number_.end()) Close(found);
}

void FileHandles::CloseAll() {
  while (!by_number_.empty()) Close(by_number_.begin());
}

void FileHandles::Close(Table::iterator at) {
  std::unique_ptr<Handle> handle = std::move(at->second);
  by_number_.erase(at);
  handle->closed = true;
  if (handle->users == 0) return loop_.RemoveFile(handle->loop_file);
  const uint64_t number = handle->number;
  closed_[number] = std::move(handle);
}

}  // namespace virtio
