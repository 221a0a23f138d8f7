#include "virtio/queue/device_queue.h"

#include <poll.h>
#include <string.h>

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace virtio {
namespace {

void RunAll(std::vector<Device::Done> functions) {
  for (Device::Done& function : functions) function();
}

}  // namespace

DeviceQueue::DeviceQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index)
    : ServedQueue(loop, index), memory_(memory), doorbell_watch_(*this) {}

DeviceQueue::~DeviceQueue() { CHECK(ring_ == nullptr); }

void DeviceQueue::StartServing(EnabledQueue start, DriverNotifier& notifier) {
  CHECK(ring_ == nullptr && start.ring != nullptr);
  ring_ = std::move(start.ring);
  notifier_ = &notifier;
  loop().PollMultishot(doorbell_watch_, start.doorbell, POLLIN);
  Serve();  // pops what is available already and enables kicks for the first time
}

void DeviceQueue::Stop(Done done) {
  if (!started()) return done();
  stop_done_.push_back(std::move(done));
  if (!stopping_) {
    stopping_ = true;
    loop().Cancel(doorbell_watch_);
    CancelRequests();
  }
  loop().AtTurnEnd(*this);
}

void DeviceQueue::Pause(Done done) {
  paused_ = true;
  if (!started()) return done();
  pause_done_.push_back(std::move(done));
  PauseRequests();
  loop().AtTurnEnd(*this);
}

void DeviceQueue::Resume() {
  paused_ = false;
  pause_done_.clear();
  if (started() && !stopping_) ResumeRequests();
  Serve();
}

void DeviceQueue::DoorbellWatch::OnComplete(int32_t result) { queue_.OnDoorbell(result); }

void DeviceQueue::OnDoorbell(int32_t result) {
  loop().AtTurnEnd(*this);
  if (stopping_) return;
  if (result < 0) {
    notifier_->NeedsReset(
        absl::StrCat("queue ", index(), ": watching the doorbell: ", strerrordesc_np(-result)));
    return;
  }
  counters_.kicks.Increment();
}

void DeviceQueue::Serve() {
  if (serving_ || !MayServe() || !WantsChains()) return;
  serving_ = true;
  ring_->SuppressKicks();
  // The next turn serves the rest. The loop does not sleep before it.
  if (ServeSome() == Outcome::kOutOfBudget) loop().AtTurnEnd(*this);
  serving_ = false;
}

DeviceQueue::Outcome DeviceQueue::ServeSome() {
  // Neither long chains nor a driver that makes chains available as fast as they are served may
  // hold up the loop. The first chain is served even if others have spent the budget, so that every
  // queue makes progress.
  base::TurnBudget& budget = loop().turn_budget();
  do {
    if (!MayServe() || !WantsChains()) return Outcome::kIdle;
    Chain* chain = AcquireChain();
    if (chain == nullptr) return Outcome::kIdle;  // the next Complete leads here again
    switch (ring_->Pop(*chain)) {
      case SplitQueue::PopResult::kChain:
        counters_.chains.Increment();
        budget.Spend(chain->descriptors());
        Start(*chain);
        break;
      case SplitQueue::PopResult::kEmpty:
        ReleaseChain(*chain);
        if (!ring_->EnableKicks()) return Outcome::kIdle;
        ring_->SuppressKicks();  // chains arrived in between, perhaps without a kick
        break;
      case SplitQueue::PopResult::kBroken:
        ReleaseChain(*chain);
        notifier_->NeedsReset(absl::StrCat("queue ", index(), ": ", ToString(ring_->error())));
        return Outcome::kIdle;
    }
  } while (!budget.Spent());
  return Outcome::kOutOfBudget;
}

bool DeviceQueue::MayServe() const {
  return ring_ != nullptr && !paused_ && !stopping_ && ring_->error() == QueueError::kNone;
}

bool DeviceQueue::HoldsWholeRing() const { return ring_->in_flight() == ring_->size(); }

void DeviceQueue::Complete(Chain& chain, uint32_t written_bytes) {
  ring_->PushUsed(chain, written_bytes);
  ReleaseChain(chain);
  if (!ending_turn_) loop().AtTurnEnd(*this);
}

void DeviceQueue::GiveBack(Chain& chain) {
  ring_->Unpop(chain);
  ReleaseChain(chain);
}

void DeviceQueue::OnTurnEnd() {
  ending_turn_ = true;
  // Suppress kicks before the interrupt: Serve sees without a kick what the driver makes available
  // because of the interrupt.
  if (MayServe()) ring_->SuppressKicks();
  Publish();
  Serve();
  if (MayServe()) OnServed();
  Publish();  // what was completed at once
  ending_turn_ = false;
  FinishIfQuiet();
}

void DeviceQueue::Publish() {
  if (ring_ == nullptr || !ring_->Publish()) return;
  counters_.interrupts.Increment();
  notifier_->NotifyQueue(index());
}

void DeviceQueue::FinishIfQuiet() {
  if (ring_ == nullptr || ring_->in_flight() > resting_requests()) return;
  std::vector<Done> quiet = std::exchange(pause_done_, {});
  if (stopping_ && ring_->in_flight() == 0 && !doorbell_watch_.pending() && !HasOperations()) {
    ring_.reset();
    notifier_ = nullptr;
    stopping_ = false;
    std::vector<Done> stopped = std::exchange(stop_done_, {});
    quiet.insert(quiet.end(), std::make_move_iterator(stopped.begin()),
                 std::make_move_iterator(stopped.end()));
  }
  RunAll(std::move(quiet));  // must be last: a function may destroy this queue
}

}  // namespace virtio
