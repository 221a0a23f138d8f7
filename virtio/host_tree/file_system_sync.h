// Writing a whole file system of the host to its disk, while the loop does other work.
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

// Calls syncfs(2) on a helper thread that lives as long as the call. syncfs has no ring operation
// and can take as long as the disk takes. At most one call runs at a time, whatever guests ask for.
// A request that comes during a call waits for the next call, because only a call that begins after
// the request covers everything that was written before the request. The host's kernel reports an
// error only once. So if a call fails and nobody waits for it any more, the waiters of a later call
// get the error.
//
// All functions must be called on the loop's thread, before the loop runs, or after it has stopped.
class FileSystemSync {
 public:
  // A request that waits for a call. It must be cancelled or have its result before its life ends.
  class Waiter {
   public:
    // Called on the loop's thread with 0 or an errno.
    virtual void OnSynced(HostError error) = 0;

   protected:
    ~Waiter() = default;
  };
  using Job = absl::AnyInvocable<void()>;
  struct Options {
    // Also calls sync(2), for trees that show more file systems than that of `file`. The kernel
    // reports no errors of those.
    bool all = false;
    // Returns 0 or an errno. Called on any thread, as `sync_all` is.
    std::function<HostError(int fd)> sync = SyncFileSystem;
    std::function<void()> sync_all = SyncAll;
    // Runs `job` on a thread of its own. Errors: ResourceExhausted.
    std::function<absl::Status(Job job)> run = RunOnThread;
  };

  // Calls syncfs(2).
  static HostError SyncFileSystem(int fd);
  // Calls sync(2).
  static void SyncAll();
  // Runs `job` on a thread that nobody waits for. A thread that hangs in the host's kernel must not
  // delay the end of the VM.
  static absl::Status RunOnThread(Job job);

  // `file` is any open file of the file system, but not O_PATH. It stays open until a call that
  // runs has ended. `loop` must outlive this object.
  FileSystemSync(base::EventLoop& loop, base::UniqueFd file, Options options);
  // A call that runs continues, and its result is dropped.
  ~FileSystemSync();
  FileSystemSync(const FileSystemSync&) = delete;
  FileSystemSync& operator=(const FileSystemSync&) = delete;

  // Gives `waiter` the result of a call that begins from here on, or an error at once if no call
  // can begin.
  void Wait(Waiter& waiter);
  // Makes sure that `waiter` gets no result. No effect if it does not wait.
  void Cancel(Waiter& waiter);

  uint64_t calls() const { return calls_; }  // how many have begun so far

 private:
  // What the helper thread and the loop share.
  struct Link {
    explicit Link(base::UniqueFd opened) : file(std::move(opened)) {}

    const base::UniqueFd file;
    base::Mutex mutex;
    base::EventLoop* loop ABSL_GUARDED_BY(mutex) = nullptr;  // null: the result is dropped
    FileSystemSync* owner = nullptr;                         // for the loop's thread only
  };

  void Begin();
  void End(HostError error);

  const Options options_;
  const std::shared_ptr<Link> link_;
  std::vector<Waiter*> served_;   // wait for the call that runs
  std::vector<Waiter*> waiting_;  // wait for the next call
  bool running_ = false;
  HostError untold_error_;  // the first error that no waiter got
  uint64_t calls_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_FILE_SYSTEM_SYNC_H_
