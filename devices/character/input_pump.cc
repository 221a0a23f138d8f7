#include "devices/character/input_pump.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <span>
#include <utility>

#include "devices/character/retain_until_exit.h"

namespace devices {

InputPump::~InputPump() {
  // LIFETIME: the loop was stopped during a read, so the kernel may still write to the buffer.
  if (read_.pending()) RetainUntilExit(std::move(buffer_));
}

void InputPump::SetClient(CharacterClient* client) {
  client_ = client;
  // Delivery is posted and not done within this call, because the client may be under construction.
  if (client_ != nullptr && pending_bytes() != 0) PostDeliver();
}

void InputPump::Attach(base::LoopFile file) {
  file_ = file;
  WaitForInput();
}

void InputPump::Detach() {
  file_.reset();
  if (poll_.pending()) loop_.Cancel(poll_);
  if (read_.pending()) loop_.Cancel(read_);
}

void InputPump::ResumeInput() { PostDeliver(); }

void InputPump::PostDeliver() {
  if (deliver_posted_.exchange(true)) return;
  loop_.Post([this] {
    deliver_posted_.store(false);  // before the client is asked, so that no ResumeInput is lost
    Deliver();
  });
}

// Polls before reading, so that a file that blocks is read only when it has input.
void InputPump::WaitForInput() {
  if (!file_.has_value() || !idle()) return;
  if (pending_bytes() != 0 && !filter_) return;
  loop_.Poll(poll_, *file_, POLLIN);
}

void InputPump::OnReadable(int32_t /*result*/) {
  if (!file_.has_value()) {
    if (idle() && on_idle_) on_idle_();
    return;
  }
  // LINUX: a poll of a terminal fails with EINVAL when another program changes the terminal's mode.
  // The read that follows shows whether something is really wrong with the file.
  iov_ = {.iov_base = buffer_->data(), .iov_len = kReadBytes};
  constexpr uint64_t kCurrentPosition = ~uint64_t{0};  // for a regular file as standard input
  loop_.ReadV(read_, *file_, std::span(&iov_, 1), kCurrentPosition);
}

void InputPump::OnRead(int32_t result) {
  if (!file_.has_value()) {
    if (idle() && on_idle_) on_idle_();
    return;
  }
  if (result == -EAGAIN || result == -EINTR) return WaitForInput();
  if (result <= 0) return End();
  auto count = static_cast<size_t>(result);
  if (filter_) count = filter_(*buffer_, count);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(pending_begin_));
  pending_begin_ = 0;
  const size_t room = kMaxPendingBytes - pending_.size();
  pending_.insert(pending_.end(), buffer_->begin(),
                  buffer_->begin() + static_cast<ptrdiff_t>(std::min(count, room)));
  Deliver();
}

void InputPump::Deliver() {
  if (client_ != nullptr && pending_bytes() != 0) {
    const size_t taken = client_->OnInput(std::span(pending_).subspan(pending_begin_));
    pending_begin_ += std::min(taken, pending_bytes());
  }
  if (pending_bytes() == 0) {
    pending_.clear();
    pending_begin_ = 0;
  }
  WaitForInput();
}

// Stops using the file. LINUX: a terminal that was hung up, /dev/null and a closed pipe poll
// readable for ever.
void InputPump::End() {
  file_.reset();
  if (on_end_) on_end_();
}

}  // namespace devices
