#include "virtio/transport/doorbells.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<std::unique_ptr<Doorbells>> Doorbells::Create(devices::DoorbellMapper& mapper,
                                                             absl::string_view name,
                                                             uint16_t queues) {
  std::vector<base::UniqueFd> fds;
  for (uint16_t i = 0; i < queues; ++i) {
    fds.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fds.back().valid()) {
      return base::ErrnoStatus(errno, absl::StrCat("cannot create eventfd ", i, " of ", queues));
    }
  }
  return std::unique_ptr<Doorbells>(new Doorbells(mapper, name, std::move(fds)));
}

Doorbells::Doorbells(devices::DoorbellMapper& mapper, absl::string_view name,
                     std::vector<base::UniqueFd> fds)
    : mapper_(mapper),
      name_(name),
      fds_(std::move(fds)),
      enabled_(fds_.size(), false),
      mapped_(fds_.size(), false) {}

Doorbells::~Doorbells() { DisableAll(); }

void Doorbells::Signal(uint16_t queue) const {
  const uint64_t one = 1;
  // EAGAIN means that the counter is full, so the loop is being woken anyway.
  [[maybe_unused]] const ssize_t ignored = write(fd(queue), &one, sizeof(one));
}

void Doorbells::Enable(uint16_t queue) {
  base::MutexLock lock(mutex_);
  if (enabled_[queue]) return;
  enabled_[queue] = true;
  Map(queue);
}

void Doorbells::Move(std::optional<uint64_t> base) {
  base::MutexLock lock(mutex_);
  if (base == base_) return;
  for (uint16_t i = 0; i < fds_.size(); ++i) Unmap(i);
  base_ = base;
  for (uint16_t i = 0; i < fds_.size(); ++i) Map(i);
}

void Doorbells::DisableAll() {
  base::MutexLock lock(mutex_);
  for (uint16_t i = 0; i < fds_.size(); ++i) {
    Unmap(i);
    enabled_[i] = false;
  }
}

void Doorbells::Map(uint16_t queue) {
  if (!base_ || !enabled_[queue] || mapped_[queue]) return;
  const absl::Status status = mapper_.Map(Address(queue), fd(queue));
  mapped_[queue] = status.ok();
  if (!status.ok()) {
    LOG_LIMITED(Warning, 10, name_)
        << name_ << ": doorbell " << queue << " costs an exit: " << status.message();
  }
}

void Doorbells::Unmap(uint16_t queue) {
  if (mapped_[queue]) mapper_.Unmap(Address(queue), fd(queue));
  mapped_[queue] = false;
}

}  // namespace virtio
