#include "virtio/share/share_counters.h"

#include <errno.h>
#include <string.h>

#include "base/limited_log.h"

namespace virtio {
namespace {

bool IsCausedByGuest(HostError error) {
  return error == EBADF || error == EFBIG || error == EINVAL || error == EOPNOTSUPP ||
         error == EPERM || error == ENODEV || error == ESPIPE;
}

const char* NameOf(TransferStep step) {
  switch (step) {
    case TransferStep::kRead:
      return "read";
    case TransferStep::kWrite:
      return "write";
    case TransferStep::kAllocate:
      return "allocation";
    case TransferStep::kFlush:
      return "flush";
  }
  return "";
}

}  // namespace

void ShareCounters::NoteError(TransferStep step, HostError error) {
  if (IsCausedByGuest(error)) return;
  ++host_errors;
  LOG_LIMITED(Error, 10, id) << "share " << id << ": " << NameOf(step)
                             << " failed: " << strerrordesc_np(error.number())
                             << "; the guest sees the error";
}

void ShareCounters::AddTo(Counters& counters) const {
  counters["read_bytes"] = read_bytes;
  counters["written_bytes"] = written_bytes;
  counters["host_errors"] = host_errors;
  counters["short_transfers"] = short_transfers;
  counters["retries"] = retries;
  counters["requests_without_room"] = without_room;
}

}  // namespace virtio
