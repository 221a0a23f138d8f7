// One callback for the end of several operations.
#ifndef BASE_GATHER_H_
#define BASE_GATHER_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace base {

// Runs `done` once: when every function that Add returned has been called and the Gather itself is
// destroyed. `done` runs on the thread of the last of these events. `done` never runs if one of the
// functions is destroyed without having been called. Use a Gather on one thread; the functions may
// be called on any.
class Gather {
 public:
  using Done = absl::AnyInvocable<void()>;

  explicit Gather(Done done) : state_(std::make_shared<State>(std::move(done))) {}
  Gather(const Gather&) = delete;
  Gather& operator=(const Gather&) = delete;
  ~Gather() { state_->Arrive(); }

  // Returns a function for one more operation. The operation calls the function once, when it ends.
  Done Add() {
    state_->missing.fetch_add(1, std::memory_order_relaxed);
    return [state = state_] { state->Arrive(); };
  }

 private:
  struct State {
    explicit State(Done function) : done(std::move(function)) {}
    void Arrive() {
      // ORDERING: acquire and release, so the last arrival sees everything that the others did
      // before.
      if (missing.fetch_sub(1, std::memory_order_acq_rel) == 1) std::exchange(done, nullptr)();
    }
    std::atomic<size_t> missing{1};  // 1 for the Gather itself
    Done done;
  };

  const std::shared_ptr<State> state_;
};

}  // namespace base

#endif  // BASE_GATHER_H_
