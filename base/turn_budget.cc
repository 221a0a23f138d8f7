#include "base/turn_budget.h"

#include <algorithm>

#include "base/event_loop.h"

namespace base {

bool TurnBudget::Look() {
  const std::chrono::nanoseconds now = loop_.Now();
  if (!running_) {
    running_ = true;
    start_ = now;
  }
  if (now - start_ >= kTime) {
    steps_ = kSteps;
    return true;
  }
  next_look_ = std::min(steps_ + kStepsPerLook, kSteps);
  return false;
}

}  // namespace base
