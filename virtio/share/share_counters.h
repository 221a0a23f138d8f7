// What the queues of one share count and log.
#ifndef VIRTIO_SHARE_SHARE_COUNTERS_H_
#define VIRTIO_SHARE_SHARE_COUNTERS_H_

#include <cstdint>
#include <string>

#include "virtio/device.h"
#include "virtio/host_tree/host_error.h"

namespace virtio {

// What the loop does with a file for a request. A change may be followed by a flush.
enum class TransferStep : uint8_t { kRead, kWrite, kAllocate, kFlush };

// Use it on the share's loop.
struct ShareCounters {
  std::string id;  // of the device, for log lines
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t host_errors = 0;      // failed steps, except those that failed because of the guest
  uint64_t short_transfers = 0;  // reads and writes that needed a further operation
  uint64_t retries = 0;
  uint64_t without_room = 0;  // requests that left no room for an answer

  // Counts and logs that `step` failed with `error`. Does nothing if the error says that the guest
  // asked for something impossible: such an error says nothing about the host.
  void NoteError(TransferStep step, HostError error);
  void AddTo(Counters& counters) const;
};

}  // namespace virtio

#endif  // VIRTIO_SHARE_SHARE_COUNTERS_H_
