// Keeps a connection: opens the next one after the previous one was lost, with growing pauses.
#ifndef NET_RECONNECTOR_H_
#define NET_RECONNECTOR_H_

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace net {

// How long to wait before the next attempt: 100 ms after a connection that was good, and then twice
// as long each time, up to 5 s.
class BackOff {
 public:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{5000};
  // A connection that lasted so long was good.
  static constexpr std::chrono::milliseconds kGood{5000};

  // `lasted` is how long the connection was there; zero after an attempt that failed.
  std::chrono::milliseconds Next(std::chrono::nanoseconds lasted);

 private:
  std::chrono::milliseconds next_ = kFirst;
};

// Opens connections on a thread of its own, so that nothing else waits for them. The thread sleeps
// while the connection is good.
class Reconnector {
 public:
  struct Functions {
    // Opens a connection; must not block for long.
    absl::AnyInvocable<absl::StatusOr<base::UniqueFd>()> open;
    // Takes a connection over.
    absl::AnyInvocable<void(base::UniqueFd)> opened;
    // Hears of an attempt that failed.
    absl::AnyInvocable<void(const absl::Status&)> failed;
  };
  // Tells the reconnector that the connection is lost. May outlive the reconnector. Any thread.
  class Loss {
   public:
    explicit Loss(std::shared_ptr<base::UniqueFd> event) : event_(std::move(event)) {}
    void Report() const;

   private:
    std::shared_ptr<base::UniqueFd> event_;
  };

  // Starts the thread; there is a connection at the moment. The functions run on the thread and are
  // not called after the destructor. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Reconnector>> Start(Functions functions);
  ~Reconnector();
  Reconnector(const Reconnector&) = delete;
  Reconnector& operator=(const Reconnector&) = delete;

  Loss loss() const { return Loss(lost_); }

 private:
  Reconnector(Functions functions, base::UniqueFd stop, base::UniqueFd lost);
  void Run();
  // Opens until it succeeds. Returns false if the thread has to end.
  bool Reopen(std::chrono::nanoseconds lasted);
  // Waits for `fd` to be readable, or for Stop. A negative timeout is for ever. Returns false to
  // stop.
  bool Wait(int fd, std::chrono::milliseconds timeout) const;

  Functions functions_;
  BackOff back_off_;
  const base::UniqueFd stop_;
  const std::shared_ptr<base::UniqueFd> lost_;
  std::thread thread_;
};

}  // namespace net

#endif  // NET_RECONNECTOR_H_
