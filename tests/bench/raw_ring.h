// The load that block_bench and net_bench compare the devices with: the same requests by io_uring
// alone, as a good program would make them. It uses raw system calls, so that the event loop is not
// compared with itself.
#ifndef TESTS_BENCH_RAW_RING_H_
#define TESTS_BENCH_RAW_RING_H_

#include <linux/io_uring.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace bench {

// A ring with one fixed file, used by one thread. An error ends the program.
class RawRing {
 public:
  RawRing(uint32_t entries, int file);

  // Prepare a read from the file or a write to it. The ring must have room.
  void Read(void* to, uint32_t bytes, uint64_t offset, uint64_t user_data);
  void Write(void* from, uint32_t bytes, uint64_t offset, uint64_t user_data);
  // Submits what was prepared and waits for at least one completion, in one system call.
  void SubmitAndWait();
  // Takes a completion if there is one.
  bool Next(io_uring_cqe& to);
  // Returns how many system calls SubmitAndWait has made.
  uint64_t system_calls() const { return system_calls_; }

 private:
  void Prepare(uint8_t opcode, void* buffer, uint32_t bytes, uint64_t offset, uint64_t user_data);
  template <typename T>
  T* At(void* area, uint32_t offset) {
    return reinterpret_cast<T*>(static_cast<uint8_t*>(area) + offset);
  }

  base::UniqueFd fd_;
  int registered_fd_ = -1;
  uint32_t* sq_tail_ = nullptr;
  uint32_t* sq_array_ = nullptr;
  uint32_t sq_mask_ = 0;
  io_uring_sqe* sqes_ = nullptr;
  uint32_t* cq_head_ = nullptr;
  uint32_t* cq_tail_ = nullptr;
  uint32_t cq_mask_ = 0;
  io_uring_cqe* cqes_ = nullptr;
  uint32_t prepared_ = 0;
  uint64_t system_calls_ = 0;
};

}  // namespace bench

#endif  // TESTS_BENCH_RAW_RING_H_
