#include "virtio/block/block_write_order.h"

#include "base/log.h"

namespace virtio {

void BlockWriteOrder::List::Append(OrderedWrite& write) {
  write.previous_ = last_;
  write.next_ = nullptr;
  (last_ == nullptr ? first_ : last_->next_) = &write;
  last_ = &write;
}

void BlockWriteOrder::List::Remove(OrderedWrite& write) {
  (write.previous_ == nullptr ? first_ : write.previous_->next_) = write.next_;
  (write.next_ == nullptr ? last_ : write.next_->previous_) = write.previous_;
}

bool BlockWriteOrder::Enter(OrderedWrite& write, uint64_t start, uint64_t end, bool partial) {
  DCHECK(!write.entered() && start < end);
  write.start_ = start;
  write.end_ = end;
  write.awaited_ = false;
  const bool overlaps = turn_ != nullptr && start < turn_->end_ && turn_->start_ < end;
  if (!partial && !overlaps) {
    write.state_ = OrderedWrite::State::kBeside;
    beside_.Append(write);
    return true;
  }
  write.state_ = OrderedWrite::State::kInLane;
  lane_.Append(write);
  BeginTurn();
  return turn_ == &write && TakeReady() != nullptr;
}

void BlockWriteOrder::Leave(OrderedWrite& write) {
  switch (write.state_) {
    case OrderedWrite::State::kOutside:
      return;
    case OrderedWrite::State::kBeside:
      beside_.Remove(write);
      if (write.awaited_) --awaited_;
      break;
    case OrderedWrite::State::kInLane:
      lane_.Remove(write);
      break;
    case OrderedWrite::State::kNext:
    case OrderedWrite::State::kAlone:
      for (OrderedWrite* other = beside_.first(); awaited_ > 0; other = other->next_) {
        if (!other->awaited_) continue;
        other->awaited_ = false;
        --awaited_;
      }
      turn_ = nullptr;
      break;
  }
  write.state_ = OrderedWrite::State::kOutside;
  BeginTurn();
}

OrderedWrite* BlockWriteOrder::TakeReady() {
  if (turn_ == nullptr || turn_->state_ != OrderedWrite::State::kNext || awaited_ > 0) {
    return nullptr;
  }
  turn_->state_ = OrderedWrite::State::kAlone;
  return turn_;
}

// Gives the turn to the first write in the lane if no write has it.
void BlockWriteOrder::BeginTurn() {
  if (turn_ != nullptr || lane_.first() == nullptr) return;
  turn_ = lane_.first();
  lane_.Remove(*turn_);
  turn_->state_ = OrderedWrite::State::kNext;
  for (OrderedWrite* other = beside_.first(); other != nullptr; other = other->next_) {
    if (other->start_ >= turn_->end_ || turn_->start_ >= other->end_) continue;
    other->awaited_ = true;
    ++awaited_;
  }
}

}  // namespace virtio
