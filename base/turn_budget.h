// What one turn of an event loop may cost, so that nobody waits long for the next one.
#ifndef BASE_TURN_BUDGET_H_
#define BASE_TURN_BUDGET_H_

#include <chrono>
#include <cstdint>

namespace base {

class EventLoop;

// A budget of steps and of time that everything served in one turn shares, however many queues
// there are. Work is done in pieces: note each piece here, and begin the next one only if Spent()
// says no; the rest follows in the next turn, after completions and posted functions had theirs.
// A piece that was begun is finished, so each must be short by itself. Loop thread.
class TurnBudget {
 public:
  static constexpr std::chrono::nanoseconds kTime = std::chrono::milliseconds(2);
  // Of well below 100 ns each.
  static constexpr uint32_t kSteps = 16384;
  // The clock is looked at once in so many steps: looking costs as much as a step.
  static constexpr uint32_t kStepsPerLook = 64;

  explicit TurnBudget(const EventLoop& loop) : loop_(loop) {}
  TurnBudget(const TurnBudget&) = delete;
  TurnBudget& operator=(const TurnBudget&) = delete;

  // `steps` short steps were made: a descriptor was read, a name compared.
  void Spend(uint32_t steps) { steps_ = steps > kSteps - steps_ ? kSteps : steps_ + steps; }
  // Something is about to be done whose length nobody knows beforehand, such as a call of the host:
  // the next Spent() looks at the clock.
  void SpendHostCall() {
    if (!running_) Look();
    next_look_ = 0;
  }
  // Whether the turn is to end. Stays true until the next turn.
  bool Spent() {
    if (steps_ < next_look_) return false;
    return steps_ >= kSteps || Look();
  }

  // A turn begins. For the loop alone.
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
