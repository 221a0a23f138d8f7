// Reports changes of files on the host, by inotify.
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

// If a file is truncated while a guest has it mapped, a vCPU that reads the lost memory hangs: KVM
// waits for the page in the background and tries again for ever. KVM does not report that, so this
// class watches the files. Watching costs nothing while no file changes. Loop thread.
class DaxWatch final : public base::Operation {
 public:
  using OnChange = absl::AnyInvocable<void(int watch)>;
  using Done = absl::AnyInvocable<void()>;
  static constexpr int kNone = -1;

  // `id` is the device's. `on_change` runs on the loop when the content or the size of a file may
  // have changed. Errors: ResourceExhausted with errno.
  static absl::StatusOr<std::unique_ptr<DaxWatch>> Create(std::string id, base::EventLoop& loop,
                                                          OnChange on_change);
  ~DaxWatch() override = default;

  // Watches a file and returns the number of its watch. Adding the same file again returns the same
  // number; the watch ends when Remove has been called as often as Add and AddAgain. Returns kNone
  // if the file cannot be watched: the file system does not support it, or the user has no watches
  // left.
  int Add(int file);
  // Adds the file of `watch` once more. Does nothing for kNone.
  void AddAgain(int watch);
  void Remove(int watch);
  // Ends the operation in flight on the loop, then runs `done`. No file may be added before `done`
  // runs. Changes that happen while the watch is stopped are reported after Resume or the next Add.
  // If Resume is called before `done` has run, the watch resumes just before `done` runs.
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
  base::LoopFile loop_file_;         // valid while the watch is started
  std::map<int, uint32_t> watches_;  // how often the file of each watch was added
  std::vector<Done> stop_done_;
  bool resumes_ = false;  // Resume was called while the watch was stopping
};

}  // namespace virtio

#endif  // VIRTIO_FS_DAX_WATCH_H_
