#include "tests/fuse/fuse_bridge.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/fs/fs_wire.h"

namespace virtio {
namespace {

constexpr uint64_t kRingsAt = 0x10000;
constexpr uint64_t kRingBytes = 0x20000;
// A slot holds a request and, behind it, the answer.
constexpr uint64_t kSlotsAt = 16 << 20;
constexpr uint32_t kSlots = 64;
// Room for the largest WRITE, or for an extended attribute's name and value.
constexpr uint32_t kRequestBytes = kFsMaxTransferBytes + (64 << 10);
constexpr uint32_t kHeaderBytes = sizeof(fuse_out_header);
constexpr uint32_t kAnswerBytes = kHeaderBytes + kFsMaxTransferBytes;
constexpr uint64_t kSlotBytes = kRequestBytes + kAnswerBytes + (64 << 10) - kHeaderBytes;
static_assert(kSlotsAt + kSlots * kSlotBytes <= FuseBridge::kRamBytes);
// Room for answers whose requests do not give a size.
constexpr uint32_t kOtherAnswerBytes = 4096;

uint64_t RequestAt(uint32_t slot) { return kSlotsAt + slot * kSlotBytes; }
uint64_t AnswerAt(uint32_t slot) { return RequestAt(slot) + kRequestBytes; }

bool HasAnswer(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

template <typename T>
T ArgumentsOf(const std::vector<uint8_t>& request) {
  T arguments;
  std::memcpy(&arguments, &request[sizeof(fuse_in_header)], sizeof(T));
  return arguments;
}

// Returns how many bytes the client accepts behind the header of the answer.
uint32_t RoomFor(uint32_t opcode, const std::vector<uint8_t>& request) {
  switch (opcode) {
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return std::min(ArgumentsOf<fuse_read_in>(request).size, kFsMaxTransferBytes);
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR: {
      const uint32_t size = ArgumentsOf<fuse_getxattr_in>(request).size;
      return size == 0 ? sizeof(fuse_getxattr_out) : std::min(size, kFsMaxTransferBytes);
    }
    default:
      return kOtherAnswerBytes;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<FuseBridge>> FuseBridge::Start(FsDevice& device,
                                                              base::GuestMemory& memory) {
  auto bridge = std::unique_ptr<FuseBridge>(new FuseBridge(device, memory));
  RETURN_IF_ERROR(bridge->StartQueues());
  return bridge;
}

FuseBridge::FuseBridge(FsDevice& device, base::GuestMemory& memory)
    : device_(device),
      memory_(memory),
      interrupt_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      buffer_(std::max(kRequestBytes, kAnswerBytes)) {
  for (uint32_t slot = kSlots; slot > 0; --slot) free_slots_.push_back(slot - 1);
}

absl::Status FuseBridge::StartQueues() {
  std::vector<EnabledQueue> starts;
  for (uint16_t i = 0; i < kQueues; ++i) {
    Queue& queue = queues_[i];
    const uint16_t size = device_.queue_sizes()[i];
    queue.driver = std::make_unique<FakeDriver>(
        memory_,
        FakeDriver::Options{.size = size, .base = kRingsAt + i * kRingBytes, .event_idx = true});
    queue.doorbell.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    QueueError error;
    auto ring = SplitQueue::Create(memory_,
                                   {size, queue.driver->descriptor_table(),
                                    queue.driver->driver_area(), queue.driver->device_area()},
                                   {.event_idx = true, .indirect = true}, error);
    if (ring == nullptr) return absl::InternalError("the device takes no such queue");
    starts.push_back({i, std::move(ring), base::LoopFile()});
  }
  absl::Status status;
  RunOnLoop([this, &starts, &status] {
    for (EnabledQueue& start : starts) {
      const auto file = device_.loop().AddTemporaryFile(queues_[start.index].doorbell.get());
      if (status = file.status(); !status.ok()) return;
      start.doorbell = *file;
    }
    device_.Activate(device_.features(), *this);
    for (EnabledQueue& start : starts) device_.StartQueue(std::move(start));
  });
  return status;
}

FuseBridge::~FuseBridge() {
  for (uint16_t i = 0; i < kQueues; ++i) {
    std::promise<void> stopped;
    device_.loop().Post(
        [this, i, &stopped] { device_.StopQueue(i, [&stopped] { stopped.set_value(); }); });
    stopped.get_future().wait();
  }
  RunOnLoop([this] { device_.Deactivate(); });
}

void FuseBridge::RunOnLoop(absl::FunctionRef<void()> function) {
  std::promise<void> done;
  device_.loop().Post([function, &done] {
    function();
    done.set_value();
  });
  done.get_future().wait();
}

void FuseBridge::NotifyQueue(uint16_t /*index*/) { eventfd_write(interrupt_.get(), 1); }

void FuseBridge::NeedsReset(absl::string_view why) {
  LOG(Error) << "the device needs a reset: " << why;
  needs_reset_ = true;
  eventfd_write(interrupt_.get(), 1);
}

// --- Requests ------------------------------------------------------------------------------------

absl::Status FuseBridge::Serve(int fuse, int control) {
  while (true) {
    // While no slot is free, requests wait in the kernel.
    pollfd files[] = {{interrupt_.get(), POLLIN, 0},
                      {control, POLLIN, 0},
                      {free_slots_.empty() ? -1 : fuse, POLLIN, 0}};
    if (poll(files, std::size(files), -1) < 0 && errno != EINTR) {
      return base::ErrnoStatus(errno, "poll");
    }
    eventfd_t signals;
    eventfd_read(interrupt_.get(), &signals);
    if (needs_reset_) return absl::InternalError("the device needs a reset");
    RETURN_IF_ERROR(SendAnswers(fuse));
    if ((files[1].revents & POLLIN) != 0) RETURN_IF_ERROR(AnswerControl(control));
    ASSIGN_OR_RETURN(const bool mounted, TakeRequests(fuse));
    if (!mounted) return absl::OkStatus();
  }
}

absl::StatusOr<bool> FuseBridge::TakeRequests(int fuse) {
  while (!free_slots_.empty()) {
    const ssize_t bytes = read(fuse, buffer_.data(), kRequestBytes);
    if (bytes >= 0) {
      Offer(static_cast<size_t>(bytes));
    } else if (errno == ENODEV) {
      return false;
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR &&
               errno != ENOENT) {  // ENOENT: the client gave the request up before the read
      return base::ErrnoStatus(errno, "/dev/fuse: read");
    }
  }
  for (Queue& queue : queues_) {
    if (queue.driver->Publish()) eventfd_write(queue.doorbell.get(), 1);
  }
  return true;
}

void FuseBridge::Offer(size_t request_bytes) {
  fuse_in_header header;
  std::memcpy(&header, buffer_.data(), sizeof(header));
  const bool answered = HasAnswer(header.opcode);
  Queue& queue = queues_[answered ? kRequests : kHighPriority];
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  CHECK(memory_.Write(RequestAt(slot), std::span(buffer_).first(request_bytes)));
  auto chain = queue.driver->Chain();
  chain.ReadableAt(RequestAt(slot), static_cast<uint32_t>(request_bytes));
  if (answered) {
    chain.WritableAt(AnswerAt(slot), kHeaderBytes)
        .WritableAt(AnswerAt(slot) + kHeaderBytes, RoomFor(header.opcode, buffer_));
  }
  queue.slots[chain.Offer()] = slot;
}

absl::Status FuseBridge::SendAnswers(int fuse) {
  for (Queue& queue : queues_) {
    do {
      while (const auto used = queue.driver->PopUsed()) {
        const auto found = queue.slots.find(static_cast<uint16_t>(used->id));
        const uint32_t slot = found->second;
        queue.slots.erase(found);
        RETURN_IF_ERROR(SendAnswer(fuse, slot, used->len));
        free_slots_.push_back(slot);
      }
    } while (!queue.driver->EnableInterrupts());
  }
  return absl::OkStatus();
}

absl::Status FuseBridge::SendAnswer(int fuse, uint32_t slot, uint32_t bytes) {
  if (bytes == 0) return absl::OkStatus();  // FORGET and other requests without an answer
  if (bytes > kAnswerBytes) return absl::InternalError("an answer is longer than its buffer");
  CHECK(memory_.Read(AnswerAt(slot), std::span(buffer_).first(bytes)));
  // ENOENT: the program that asked was killed.
  if (write(fuse, buffer_.data(), bytes) < 0 && errno != ENOENT && errno != ENODEV) {
    return base::ErrnoStatus(errno, "/dev/fuse: the client refuses an answer");
  }
  return absl::OkStatus();
}

// --- Counters ------------------------------------------------------------------------------------

std::string FuseBridge::Counters() {
  virtio::Counters counters;
  timespec cpu = {};
  RunOnLoop([&] {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    counters = device_.counters();
  });
  std::string text =
      absl::StrCat("{\"cpu_ns\": ", cpu.tv_sec * int64_t{1'000'000'000} + cpu.tv_nsec);
  for (const auto& [name, value] : counters) absl::StrAppend(&text, ", \"", name, "\": ", value);
  return text + "}\n";
}

absl::Status FuseBridge::AnswerControl(int control) {
  char byte;
  if (recv(control, &byte, 1, 0) != 1) return absl::OkStatus();
  const std::string text = Counters();
  if (send(control, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
    return base::ErrnoStatus(errno, "control socket: send");
  }
  return absl::OkStatus();
}

}  // namespace virtio
