// Writing a whole file system of the host to its disk, without the loop waiting for that.
#ifndef VIRTIO_HOST_TREE_FILE_SYSTEM_SYNC_H_
#define VIRTIO_HOST_TREE_FILE_SYSTEM_SYNC_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/host_error.h"

namespace virtio {

// Calls syncfs(2), which has no ring operation and can take as long as a disk does, on a helper
// thread that lives as long as the call. At most one call is under way, whatever guests ask for:
// who asks meanwhile waits for the next one, because only a call that begins after the question
// covers all that was written before it. An error that a call has met is given to a later one if
// nobody waits any more: the host's kernel tells it once.
//
// The loop's thread, before the loop runs, or after it has stopped.
class FileSystemSync {
 public:
  // Who waits for a call. Must be cancelled, or told, before it ends.
  class Waiter {
   public:
    // 0 or an errno, on the loop's thread.
    virtual void OnSynced(HostError error) = 0;

   protected:
    ~Waiter() = default;
  };
  using Job = absl::AnyInvocable<void()>;
  struct Options {
    // Also calls sync(2), for trees with files of other file systems than that of `file`; the
    // kernel tells no errors of theirs.
    bool all = false;
    // Returns 0 or an errno. Any thread, as the next one.
    std::function<HostError(int fd)> sync = SyncFileSystem;
    std::function<void()> sync_all = SyncAll;
    // Runs `job` on a thread of its own. Errors: ResourceExhausted.
    std::function<absl::Status(Job job)> run = RunOnThread;
  };

  // syncfs(2).
  static HostError SyncFileSystem(int fd);
  // sync(2).
  static void SyncAll();
  // On a thread that nobody waits for: one that hangs in the host's kernel must not hold up the end
  // of the VM.
  static absl::Status RunOnThread(Job job);

  // `file` is any open file of the file system but an O_PATH one, and stays open until a call that
  // is under way has ended. `loop` must outlive the object.
  FileSystemSync(base::EventLoop& loop, base::UniqueFd file, Options options);
  // A call under way goes on, for nobody.
  ~FileSystemSync();
  FileSystemSync(const FileSystemSync&) = delete;
  FileSystemSync& operator=(const FileSystemSync&) = delete;

  // Tells `waiter` once a call that begins from here on has ended; at once if none can be begun.
  void Wait(Waiter& waiter);
  // `waiter`, if it waits, is not told any more.
  void Cancel(Waiter& waiter);

  uint64_t calls() const { return calls_; }  // begun so far

 private:
  // What the helper thread and the loop share.
  struct Link {
    explicit Link(base::UniqueFd opened) : file(std::move(opened)) {}

    const base::UniqueFd file;
    base::Mutex mutex;
    base::EventLoop* loop ABSL_GUARDED_BY(mutex) = nullptr;  // null: nobody is interested
    FileSystemSync* owner = nullptr;                         // the loop's thread only
  };

  void Begin();
  void End(HostError error);

  const Options options_;
  const std::shared_ptr<Link> link_;
  std::vector<Waiter*> served_;   // by the call that is under way
  std::vector<Waiter*> waiting_;  // for the next one
  bool running_ = false;
  HostError untold_error_;  // the first that nobody was told of
  uint64_t calls_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_FILE_SYSTEM_SYNC_H_
