#include "tests/bench/raw_ring.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/log.h"

namespace bench {

RawRing::RawRing(uint32_t entries, int file) {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL;
  fd_.reset(static_cast<int>(syscall(SYS_io_uring_setup, entries, &params)));
  CHECK(fd_.valid() && (params.features & IORING_FEAT_SINGLE_MMAP) != 0);

  const size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  const size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  void* rings = mmap(nullptr, std::max(sq_bytes, cq_bytes), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, fd_.get(), IORING_OFF_SQ_RING);
  void* sqes = mmap(nullptr, params.sq_entries * sizeof(io_uring_sqe), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_POPULATE, fd_.get(), IORING_OFF_SQES);
  CHECK(rings != MAP_FAILED && sqes != MAP_FAILED);
  sq_tail_ = At<uint32_t>(rings, params.sq_off.tail);
  sq_array_ = At<uint32_t>(rings, params.sq_off.array);
  sq_mask_ = params.sq_entries - 1;
  sqes_ = static_cast<io_uring_sqe*>(sqes);
  cq_head_ = At<uint32_t>(rings, params.cq_off.head);
  cq_tail_ = At<uint32_t>(rings, params.cq_off.tail);
  cq_mask_ = params.cq_entries - 1;
  cqes_ = At<io_uring_cqe>(rings, params.cq_off.cqes);

  CHECK(syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_FILES, &file, 1) == 0);
  io_uring_rsrc_update update = {};
  update.offset = UINT32_MAX;  // any free slot
  update.data = static_cast<uint64_t>(fd_.get());
  CHECK(syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_RING_FDS, &update, 1) == 1);
  registered_fd_ = static_cast<int>(update.offset);
}

void RawRing::Read(void* to, uint32_t bytes, uint64_t offset, uint64_t user_data) {
  Prepare(IORING_OP_READ, to, bytes, offset, user_data);
}

void RawRing::Write(void* from, uint32_t bytes, uint64_t offset, uint64_t user_data) {
  Prepare(IORING_OP_WRITE, from, bytes, offset, user_data);
}

void RawRing::Prepare(uint8_t opcode, void* buffer, uint32_t bytes, uint64_t offset,
                      uint64_t user_data) {
  const uint32_t slot = (*sq_tail_ + prepared_) & sq_mask_;
  io_uring_sqe& sqe = sqes_[slot];
  sqe = {};
  sqe.opcode = opcode;
  sqe.flags = IOSQE_FIXED_FILE;
  sqe.addr = reinterpret_cast<uint64_t>(buffer);
  sqe.len = bytes;
  sqe.off = offset;
  sqe.user_data = user_data;
  sq_array_[slot] = slot;
  ++prepared_;
}

void RawRing::SubmitAndWait() {
  // ORDERING: the release pairs with the kernel's load of the tail, so that the kernel sees the
  // entries before the tail.
  std::atomic_ref(*sq_tail_).store(*sq_tail_ + prepared_, std::memory_order_release);
  long submitted;
  do {
    submitted = syscall(SYS_io_uring_enter, registered_fd_, prepared_, 1,
                        IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING, nullptr, 0);
    ++system_calls_;
  } while (submitted < 0 && errno == EINTR);
  CHECK(submitted == prepared_);
  prepared_ = 0;
}

bool RawRing::Next(io_uring_cqe& to) {
  // ORDERING: the acquire pairs with the kernel's store of the tail, so that the entry is complete.
  if (*cq_head_ == std::atomic_ref(*cq_tail_).load(std::memory_order_acquire)) return false;
  to = cqes_[*cq_head_ & cq_mask_];
  // ORDERING: the release keeps the read of the entry before the kernel's reuse of the entry.
  std::atomic_ref(*cq_head_).store(*cq_head_ + 1, std::memory_order_release);
  return true;
}

}  // namespace bench
