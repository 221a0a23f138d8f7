#include "net/reconnector.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/thread.h"

namespace net {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

milliseconds BackOff::Next(std::chrono::nanoseconds lasted) {
  if (lasted >= kGood) next_ = kFirst;
  return std::exchange(next_, std::min(2 * next_, kLongest));
}

void Reconnector::Loss::Report() const { eventfd_write(event_->get(), 1); }

absl::StatusOr<std::unique_ptr<Reconnector>> Reconnector::Start(Functions functions) {
  base::UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  base::UniqueFd lost(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid() || !lost.valid()) return base::ErrnoStatus(errno, "cannot create an eventfd");
  std::unique_ptr<Reconnector> reconnector(
      new Reconnector(std::move(functions), std::move(stop), std::move(lost)));
  ASSIGN_OR_RETURN(reconnector->thread_,
                   base::StartThread("reconnect", [self = reconnector.get()] { self->Run(); }));
  return reconnector;
}

Reconnector::Reconnector(Functions functions, base::UniqueFd stop, base::UniqueFd lost)
    : functions_(std::move(functions)),
      stop_(std::move(stop)),
      lost_(std::make_shared<base::UniqueFd>(std::move(lost))) {}

Reconnector::~Reconnector() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

bool Reconnector::Wait(int fd, milliseconds timeout) const {
  pollfd fds[2] = {{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                   {.fd = fd, .events = POLLIN, .revents = 0}};
  while (poll(fds, 2, static_cast<int>(timeout.count())) < 0 && errno == EINTR) {
  }
  return (fds[0].revents & POLLIN) == 0;
}

bool Reconnector::Reopen(std::chrono::nanoseconds lasted) {
  while (Wait(-1, back_off_.Next(lasted))) {
    lasted = {};
    absl::StatusOr<base::UniqueFd> opened = functions_.open();
    if (opened.ok()) {
      functions_.opened(*std::move(opened));
      return true;
    }
    functions_.failed(opened.status());
  }
  return false;
}

void Reconnector::Run() {
  steady_clock::time_point since = steady_clock::now();
  while (Wait(lost_->get(), milliseconds(-1))) {
    eventfd_t count;
    eventfd_read(lost_->get(), &count);
    if (!Reopen(steady_clock::now() - since)) return;
    since = steady_clock::now();
  }
}

}  // namespace net
