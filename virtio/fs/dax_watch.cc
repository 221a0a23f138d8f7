#include "virtio/fs/dax_watch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<std::unique_ptr<DaxWatch>> DaxWatch::Create(std::string id, base::EventLoop& loop,
                                                           OnChange on_change) {
  base::UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) {
    return base::ErrnoStatus(errno, "dax_window: inotify; see fs.inotify.max_user_instances");
  }
  return std::unique_ptr<DaxWatch>(
      new DaxWatch(std::move(id), loop, std::move(on_change), std::move(inotify)));
}

int DaxWatch::Add(int file) {
  // This path leads to the open file itself, even if its name leads to another file by now.
  const std::string path = absl::StrCat("/proc/self/fd/", file);
  const int watch = inotify_add_watch(inotify_.get(), path.c_str(), IN_MODIFY);
  if (watch < 0) {
    LOG_LIMITED(Warning, 60, id_) << id_
                                  << ": dax_window: cannot watch a file for being truncated: "
                                  << strerrordesc_np(errno);
    return kNone;
  }
  ++watches_[watch];
  if (!pending()) Start();
  return watch;
}

void DaxWatch::AddAgain(int watch) {
  if (const auto found = watches_.find(watch); found != watches_.end()) ++found->second;
}

void DaxWatch::Remove(int watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end() || --found->second > 0) return;
  watches_.erase(found);
  inotify_rm_watch(inotify_.get(), watch);
}

void DaxWatch::Start() {
  if (!loop_file_.valid()) {
    const absl::StatusOr<base::LoopFile> file = loop_.AddTemporaryFile(inotify_.get());
    if (!file.ok()) {
      LOG_LIMITED(Warning, 60, id_)
          << id_ << ": dax_window: cannot watch files: " << file.status().message();
      return;
    }
    loop_file_ = *file;
  }
  loop_.Poll(*this, loop_file_, POLLIN);
}

void DaxWatch::Stop(Done done) {
  stop_done_.push_back(std::move(done));
  if (pending()) return loop_.Cancel(*this);
  OnComplete(-ECANCELED);
}

void DaxWatch::Resume() {
  if (!stop_done_.empty()) {
    resumes_ = true;
  } else if (!watches_.empty() && !pending()) {
    Start();
  }
}

void DaxWatch::OnComplete(int32_t result) {
  if (!stop_done_.empty()) {
    if (loop_file_.valid()) loop_.RemoveFile(std::exchange(loop_file_, base::LoopFile()));
    std::vector<Done> stopped = std::exchange(stop_done_, {});
    if (std::exchange(resumes_, false)) Resume();
    for (Done& done : stopped) done();  // the last call may destroy this object
    return;
  }
  if (result > 0) ReadEvents();
  Start();
}

void DaxWatch::ReadEvents() {
  // Events of files have no names, so all have the same size. Events that do not fit are read in
  // the next turn.
  alignas(inotify_event) std::array<char, 64 * sizeof(inotify_event)> bytes;
  const ssize_t size = read(inotify_.get(), bytes.data(), bytes.size());
  for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= size;) {
    inotify_event event;
    std::memcpy(&event, &bytes[static_cast<size_t>(at)], sizeof(event));
    at += static_cast<ssize_t>(sizeof(event) + event.len);
    if ((event.mask & IN_MODIFY) != 0) on_change_(event.wd);
    if ((event.mask & IN_Q_OVERFLOW) == 0) continue;
    // The kernel has dropped events: any file may have changed.
    const std::map<int, uint32_t> all = watches_;
    for (const auto& [watch, count] : all) on_change_(watch);
  }
}

}  // namespace virtio
