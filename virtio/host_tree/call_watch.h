// Ending calls of the host that wait for another process.
#ifndef VIRTIO_HOST_TREE_CALL_WATCH_H_
#define VIRTIO_HOST_TREE_CALL_WATCH_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/host_error.h"

namespace virtio {

// nfsd delegates files to its clients. A call that removes, renames or changes a delegated file
// waits in the kernel until the client has given the file back. No flag makes the call fail
// instead, and only another call could tell beforehand whether there is a client. But a signal ends
// the wait. So a thread here watches whether one call runs for longer than kPatience, and then
// sends signals to the thread of the call until the call has ended. By then, the kernel has asked
// the client for the file. A quick call costs no system call, except for the first call after a
// pause, which wakes the watching thread.
//
// A signal does not end a wait for a disk: such a call takes as long as the disk takes.
class CallWatch {
 public:
  static constexpr std::chrono::milliseconds kPatience{20};

  CallWatch() = default;
  ~CallWatch();
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  // Starts the watching thread. Must be called at most once; without it, calls wait for clients.
  // Takes the signal SIGRTMIN + 1. Errors: ResourceExhausted.
  absl::Status Start();

  // Makes a call of the host that returns 0, or a negative number and sets errno. Returns 0, the
  // errno, or EAGAIN if the call waited for too long and did nothing. One thread at a time.
  HostError Run(absl::FunctionRef<int()> call);

 private:
  void Watch();
  // Sleeps for `timeout_ms`, or without limit if that is -1, or until another thread wakes this
  // one.
  void Sleep(int timeout_ms) const;

  base::UniqueFd wake_;                       // eventfd
  std::atomic<uint64_t> begun_and_ended_{0};  // counts each call twice: odd while a call runs
  std::atomic<pid_t> caller_{0};              // the thread of the last call
  std::atomic<bool> sleeping_{false};         // the watching thread sleeps until the next call
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_CALL_WATCH_H_
