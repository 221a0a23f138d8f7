// The limit of what one turn of an event loop may cost, so that nothing waits long for the next
// turn.
#ifndef BASE_TURN_BUDGET_H_
#define BASE_TURN_BUDGET_H_

#include <chrono>
#include <cstdint>

namespace base {

class EventLoop;

// A budget of steps and of time that everything served in one turn shares, however many queues
// there are. Do work in pieces: count each piece here, and begin the next piece only if Spent()
// returns false. The remaining work continues in the next turn, after completions and posted
// functions have run. A piece that has begun is finished, so each piece must be short. Loop thread.
class TurnBudget {
 public:
  static constexpr std::chrono::nanoseconds kTime = std::chrono::milliseconds(2);
  // A step takes well below 100 ns.
  static constexpr uint32_t kSteps = 16384;
  // The clock is read once per this many steps, because reading it costs as much as a step.
  static constexpr uint32_t kStepsPerLook = 64;

  explicit TurnBudget(const EventLoop& loop) : loop_(loop) {}
  TurnBudget(const TurnBudget&) = delete;
  TurnBudget& operator=(const TurnBudget&) = delete;

  // Counts `steps` short steps, such as reading a descriptor or comparing a name.
  void Spend(uint32_t steps) { steps_ = steps > kSteps - steps_ ? kSteps : steps_ + steps; }
  // Announces a piece of unknown length, such as a call to the host: the next Spent() reads the
  // clock.
  void SpendHostCall() {
    if (!running_) Look();
    next_look_ = 0;
  }
  // Returns whether the turn should end. Once true, it stays true until the next turn.
  bool Spent() {
    if (steps_ < next_look_) return false;
    return steps_ >= kSteps || Look();
  }

  // Begins a turn. Only the loop calls it.
  void Renew() {
    steps_ = next_look_ = 0;
    running_ = false;
  }

 private:
  bool Look();

  const EventLoop& loop_;
  uint32_t steps_ = 0;  // at most kSteps
  uint32_t next_look_ = 0;
  bool running_ = false;  // the clock was read in this turn
  std::chrono::nanoseconds start_{0};
};

}  // namespace base

#endif  // BASE_TURN_BUDGET_H_
