#include "virtio/host_tree/file_system_sync.h"

#include <errno.h>
#include <unistd.h>

#include <utility>

#include "base/thread.h"

namespace virtio {

HostError FileSystemSync::SyncFileSystem(int fd) { return HostError::Of(syncfs(fd)); }

void FileSystemSync::SyncAll() { sync(); }

absl::Status FileSystemSync::RunOnThread(Job job) {
  auto thread = base::StartThread("syncfs", std::move(job));
  if (!thread.ok()) return thread.status();
  thread->detach();
  return absl::OkStatus();
}

FileSystemSync::FileSystemSync(base::EventLoop& loop, base::UniqueFd file, Options options)
    : options_(std::move(options)), link_(std::make_shared<Link>(std::move(file))) {
  link_->owner = this;
  const base::MutexLock lock(link_->mutex);
  link_->loop = &loop;
}

FileSystemSync::~FileSystemSync() {
  link_->owner = nullptr;
  const base::MutexLock lock(link_->mutex);
  link_->loop = nullptr;
}

void FileSystemSync::Wait(Waiter& waiter) {
  waiting_.push_back(&waiter);
  if (!running_) Begin();
}

void FileSystemSync::Cancel(Waiter& waiter) {
  std::erase(waiting_, &waiter);
  std::erase(served_, &waiter);
}

void FileSystemSync::Begin() {
  served_ = std::exchange(waiting_, {});
  running_ = true;
  ++calls_;
  const absl::Status started = options_.run([link = link_, options = options_] {
    if (options.all) options.sync_all();
    const HostError error = options.sync(link->file.get());
    const base::MutexLock lock(link->mutex);
    if (link->loop == nullptr) return;
    link->loop->Post([link, error] {
      if (link->owner != nullptr) link->owner->End(error);
    });
  });
  if (!started.ok()) End(EAGAIN);
}

void FileSystemSync::End(HostError error) {
  running_ = false;
  if (untold_error_ == 0) untold_error_ = error;
  std::vector<Waiter*> served = std::exchange(served_, {});
  const HostError told = served.empty() ? HostError() : std::exchange(untold_error_, HostError());
  // The next call begins before the waiters get their result. A waiter that asks again in OnSynced
  // then waits for a call that begins later; if no call runs, that call begins at once.
  if (!waiting_.empty()) Begin();
  for (Waiter* waiter : served) waiter->OnSynced(told);
}

}  // namespace virtio
