// Tells when files change on the host, by inotify.
#ifndef VIRTIO_FS_DAX_WATCH_H_
#define VIRTIO_FS_DAX_WATCH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace virtio {

// A guest that reads mapped memory whose file was truncated is not told by KVM that it cannot: it
// tries for ever (KVM waits for the page in the background, and tries again). So somebody has to
// look. Loop thread; costs nothing while no file changes.
class DaxWatch final : public base::Operation {
 public:
  using OnChange = absl::AnyInvocable<void(int watch)>;
  using Done = absl::AnyInvocable<void()>;
  static constexpr int kNone = -1;

  // `id`: the device's. `on_change` runs on the loop when content or size of a file may have
  // changed. Errors: ResourceExhausted with errno.
  static absl::StatusOr<std::unique_ptr<DaxWatch>> Create(std::string id, base::EventLoop& loop,
                                                          OnChange on_change);
  ~DaxWatch() override = default;

  // Watches a file, and returns the same number for the same file until it was removed as often.
  // kNone: it cannot be watched, as on some network file systems or when the user has no watches
  // left.
  int Add(int file);
  // Adds a file once more, by what Add returned; kNone is no file.
  void AddAgain(int watch);
  void Remove(int watch);
  // Ends what is in flight on the loop, then runs `done`. No file may be added until then. What
  // happens to files from here on is told when the watch goes on, with Resume or a file added.
  // Resumed before that, it goes on at once, and `done` is told all the same.
  void Stop(Done done);
  void Resume();

 private:
  DaxWatch(std::string id, base::EventLoop& loop, OnChange on_change, base::UniqueFd inotify)
      : id_(std::move(id)),
        loop_(loop),
        on_change_(std::move(on_change)),
        inotify_(std::move(inotify)) {}
  void OnComplete(int32_t result) override;
  void Start();
  void ReadEvents();

  const std::string id_;
  base::EventLoop& loop_;
  OnChange on_change_;
  base::UniqueFd inotify_;
  base::LoopFile loop_file_;         // while something is in flight
  std::map<int, uint32_t> watches_;  // and how often each was added
  std::vector<Done> stop_done_;
  bool resumes_ = false;  // once it has stopped
};

}  // namespace virtio

#endif  // VIRTIO_FS_DAX_WATCH_H_
