// A thread that runs one event loop.
#ifndef BASE_LOOP_THREAD_H_
#define BASE_LOOP_THREAD_H_

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/uring_event_loop.h"

namespace base {

// Owns an event loop and, between Start() and Stop(), the thread that runs it. Call all functions
// on the thread that created the object.
class LoopThread {
 public:
  // Creates the loop. Files and operations can be added to it until Start(). `name` is the thread's
  // name as tools show it, at most 15 bytes. Errors: those of UringEventLoop::Create.
  static absl::StatusOr<std::unique_ptr<LoopThread>> Create(std::string name,
                                                            const UringEventLoop::Options& options);
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  // Starts the thread. Once only. Errors: those of StartThread.
  absl::Status Start();
  // Lets the loop finish what was posted before and joins the thread. Has no effect if the thread
  // does not run. Do not call it on the loop's own thread.
  void Stop();
  // Do the same as Stop() in two steps, for a thread that may hang in a call to the host.
  // RequestStop() returns at once. Join() waits for at most `patience` and returns whether the
  // thread has ended. If the thread has not ended, everything that it uses has to stay alive, and
  // the process can only leave by _exit.
  void RequestStop();
  bool Join(std::chrono::nanoseconds patience);

  const std::string& name() const { return name_; }

  UringEventLoop& loop() { return *loop_; }

 private:
  LoopThread(std::string name, std::unique_ptr<UringEventLoop> loop);

  const std::string name_;
  std::unique_ptr<UringEventLoop> loop_;
  std::promise<void> end_;  // set by the thread when it ends
  const std::future<void> ended_ = end_.get_future();
  std::thread thread_;
};

}  // namespace base

#endif  // BASE_LOOP_THREAD_H_
