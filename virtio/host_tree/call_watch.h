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

// nfsd delegates files to its clients. A call that removes, renames or changes such a file waits in
// the kernel until the client has given the file back, no flag makes the call fail instead, and
// nothing but a further call tells beforehand whether there is a client. But signals end the wait:
// a thread here looks whether the same call is under way for longer than kPatience, and then sends
// the thread that makes the call a signal, again and again until the call has ended. The client was
// asked for the file by then. Quick calls cost no system call, but the first after a pause, which
// wakes the watching thread.
//
// Waits for a disk do not end by signals: such calls take as long as they take.
class CallWatch {
 public:
  static constexpr std::chrono::milliseconds kPatience{20};

  CallWatch() = default;
  ~CallWatch();
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  // Starts the thread, once; without it calls wait. Takes the signal SIGRTMIN + 1. Errors:
  // ResourceExhausted.
  absl::Status Start();

  // Makes a call of the host that returns 0, or less and sets errno. Returns 0, the errno, or
  // EAGAIN if the call had to wait too long: then nothing was done. One thread at a time.
  HostError Run(absl::FunctionRef<int()> call);

 private:
  void Watch();
  // For so many milliseconds, or -1, or until somebody wakes the thread.
  void Sleep(int timeout_ms) const;

  base::UniqueFd wake_;  // eventfd
  std::atomic<uint64_t> begun_and_ended_{
      0};                              // calls, each counted twice: odd while one is under way
  std::atomic<pid_t> caller_{0};       // who made the last one
  std::atomic<bool> sleeping_{false};  // the thread, until the next call
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_CALL_WATCH_H_
